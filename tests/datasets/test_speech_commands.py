"""Speech Commands: folders are words, names have the speaker, two lists are the published split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, find
from datasets.engine.splits import Split
from datasets.synthetic.speech_commands import write

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "speech_commands_mini" / "speech_commands_v0.01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two words by five speakers."""
    write(tmp_path / "words", num_words=2, num_speakers=5, num_takes=1, seconds=(0.1, 0.1), rate_hz=8_000)
    return tmp_path / "words"


def published(corpus: Corpus) -> Split:
    return splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published")


def test_the_folder_is_the_word_and_the_name_has_the_speaker(root: Path) -> None:
    """Background noise is no word, and the notes say that it is left out."""
    corpus = find("speech_commands", root)
    assert corpus.classes == ("no", "yes")
    assert len({r.groups["speaker"] for r in corpus.recordings}) == 5
    assert all(r.id.startswith(f"{r.label}/{r.groups['speaker']}_nohash_") for r in corpus.recordings)
    assert corpus.notes == ("1 files in _background_noise_ are left out: they are no words",)
    assert corpus.problems == ()


def test_the_lists_are_the_published_split(root: Path) -> None:
    """What is in neither trains, and no speaker has two roles; a list may have Windows' ends of lines."""
    path = root / "testing_list.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    corpus = find("speech_commands", root)
    split = published(corpus)
    assert Counter(split.roles.values()) == {"train": 6, "validation": 2, "test": 2}
    speakers = {(r.groups["speaker"], split.roles[r.id]) for r in corpus.recordings}
    assert len(speakers) == 5


def test_a_list_that_cannot_be_used_is_refused(root: Path) -> None:
    """A missing list, or one file in both."""
    (root / "validation_list.txt").write_bytes((root / "testing_list.txt").read_bytes())
    with pytest.raises(CorpusError, match=r"validation_list.txt: no/.* is in testing_list.txt too; get both lists"):
        published(find("speech_commands", root))
    (root / "validation_list.txt").unlink()
    with pytest.raises(CorpusError, match=r"validation_list.txt: cannot be read .*needs testing_list.txt and validat"):
        published(find("speech_commands", root))


def test_a_file_in_another_place_is_a_problem(root: Path, tmp_path: Path) -> None:
    """The folder above the words, a file beside them, another name; a folder of nothing else is refused."""
    (root / "stray.wav").touch()
    (root / "yes" / "hello.wav").touch()
    corpus = find("speech_commands", root)
    assert sorted(p.path.name for p in corpus.problems) == ["hello.wav", "stray.wav"]
    assert "WORD/SPEAKER_nohash_NUMBER.wav; move or rename it" in corpus.problems[0].reason
    with pytest.raises(CorpusError, match="must hold a folder for each word"):
        find("speech_commands", root.parent)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_the_real_words() -> None:
    """Thirty words, ten times each, by 41 speakers; the lists of the whole corpus give 205, 44 and 51 roles."""
    corpus = find("speech_commands", REAL)
    assert set(Counter(r.label for r in corpus.recordings).values()) == {10}
    assert (len(corpus.classes), len({r.groups["speaker"] for r in corpus.recordings})) == (30, 41)
    assert corpus.problems == ()
    roles = published(corpus).roles
    assert Counter(roles.values()) == {"train": 205, "validation": 44, "test": 51}
    speakers = {(r.groups["speaker"], roles[r.id]) for r in corpus.recordings}
    assert len(speakers) == 41
