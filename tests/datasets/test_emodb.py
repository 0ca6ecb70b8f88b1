"""EmoDB: the name of a file determines its label and its groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.engine.corpus import CorpusError, find

WriteWav = Callable[..., Path]
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"


@pytest.fixture
def root(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Four speakers say a sentence in anger and in sadness."""
    for seed, name in enumerate(f"{speaker:02d}a01{letter}a" for speaker in (3, 8, 9, 10) for letter in "WT"):
        write_wav(tmp_path / "emodb" / "wav" / f"{name}.wav", seconds=0.5, seed=seed)
    return tmp_path / "emodb"


def test_a_name_says_all(root: Path) -> None:
    """A name gives label, speaker and sentence."""
    corpus = find("emodb", root)
    first = corpus.recordings[0]
    assert corpus.classes == ("anger", "sadness")
    assert (first.id, first.label, dict(first.groups)) == ("03a01Ta", "sadness", {"speaker": "03", "sentence": "a01"})


def test_another_name_is_named(root: Path, write_wav: WriteWav) -> None:
    """A file with another kind of name is bad; the message shows the expected form."""
    write_wav(root / "wav" / "notes.wav", seconds=0.5)
    (problem,) = find("emodb", root).problems
    assert problem.path.name == "notes.wav"
    assert "03a01Wa" in str(problem)


def test_another_folder_is_refused(tmp_path: Path, write_wav: WriteWav) -> None:
    """A folder without wav/, or without files of this corpus in it, is refused."""
    with pytest.raises(CorpusError, match="--data-root must hold wav/"):
        find("emodb", tmp_path)
    write_wav(tmp_path / "wav" / "notes.wav", seconds=0.5)
    with pytest.raises(CorpusError, match="no file is named like those of EmoDB"):
        find("emodb", tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_the_real_recordings() -> None:
    """Four emotions of ten speakers have the documented counts."""
    corpus = find("emodb", REAL)
    counts = Counter(r.label for r in corpus.recordings)
    assert counts == {"anger": 127, "neutral": 79, "happiness": 71, "sadness": 62}
    assert len({r.groups["speaker"] for r in corpus.recordings}) == 10
    assert corpus.problems == ()
