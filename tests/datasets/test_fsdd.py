"""FSDD: the name of a file determines its digit, its speaker and its role in the official split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from datasets.engine import splits
from datasets.engine.corpus import CorpusError, Recording, find
from datasets.fsdd import published_split
from datasets.synthetic.fsdd import write

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "fsdd"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, eleven takes of each digit."""
    root = tmp_path_factory.mktemp("fsdd") / "fsdd"
    write(root, num_speakers=2, num_takes=11, seconds=(0.1, 0.1))
    return root


def test_a_name_says_all(root: Path) -> None:
    """A name gives label and speaker."""
    first = find("fsdd", root).recordings[0]
    assert (first.id, first.label, dict(first.groups)) == ("0_anna_0", "0", {"speaker": "anna"})


def test_the_first_five_are_the_official_test(root: Path) -> None:
    """And the next five choose the epoch, which a report must say."""
    corpus = find("fsdd", root)
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published")
    by_role: dict[str, set[str]] = {}
    for name, role in split.roles.items():
        by_role.setdefault(role, set()).add(name.rpartition("_")[2])
    assert by_role == {"test": set("01234"), "validation": set("56789"), "train": {"10"}}
    assert split.notes == ("validation is cut out of the official training: index 5 to 9",)


def test_another_name_is_named(root: Path, tmp_path: Path) -> None:
    """A file with another kind of name is bad; a folder with only such files is refused."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "notes.wav").touch()
    with pytest.raises(CorpusError, match="no file is named like those of FSDD"):
        find("fsdd", tmp_path)
    (folder / "1_anna_0.wav").symlink_to(root / "recordings" / "1_anna_0.wav")
    (folder / "2_anna_0.wav").symlink_to(root / "recordings" / "2_anna_0.wav")
    (problem,) = find("fsdd", tmp_path).problems
    assert problem.path.name == "notes.wav"
    assert "7_jackson_32" in str(problem)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_the_real_recordings() -> None:
    """Ten digits, six speakers, fifty takes; the official test has a tenth of each."""
    corpus = find("fsdd", REAL)

    def cell(recording: Recording) -> tuple[str, str]:
        return recording.label, recording.groups["speaker"]

    assert set(Counter(map(cell, corpus.recordings)).values()) == {50}
    assert len({cell(r) for r in corpus.recordings}) == 60
    roles = published_split(corpus, {}, 0.5, None).roles
    assert Counter(roles.values()) == {"train": 2_400, "validation": 300, "test": 300}
    assert set(Counter(cell(r) for r in corpus.recordings if roles[r.id] == "test").values()) == {5}
    assert corpus.problems == ()
