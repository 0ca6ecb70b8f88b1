"""UrbanSound8K: its table names the files, and every disagreement with the folders of the folds is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datasets import urbansound8k
from datasets.engine import prepare, splits
from datasets.engine.corpus import CorpusError, find
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.urbansound8k import SOUNDS, write

SHARED = Path(__file__).resolve().parents[3] / "shared"
CASE, GOLDEN = SHARED / "cases" / "urbansound_table" / "make.py", SHARED / "golden" / "rethinking_cnns.json"
HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes in ten folds, empty files."""
    lines = [HEADER]
    for number, label in enumerate(("car_horn", "siren")):
        for fold in range(1, 11):
            name = f"{10 * fold + number}-{number}-0-0.wav"
            (tmp_path / "us" / "audio" / f"fold{fold}").mkdir(parents=True, exist_ok=True)
            (tmp_path / "us" / "audio" / f"fold{fold}" / name).touch()
            lines.append(f"{name},{10 * fold + number},0.0,4.0,1,{fold},{number},{label}")
    write_table(tmp_path / "us", *lines)
    return tmp_path / "us"


def write_table(root: Path, *lines: str) -> None:
    (root / "metadata").mkdir(exist_ok=True)
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def lines_of(root: Path) -> list[str]:
    return (root / "metadata" / "UrbanSound8K.csv").read_text().splitlines()


def test_label_source_and_fold_are_the_tables(root: Path) -> None:
    """A recording has the label, source and fold of its row."""
    first = find("urbansound8k", root).recordings[0]
    assert (first.id, first.label, dict(first.groups)) == ("10-0-0-0", "car_horn", {"source": "10", "fold": "1"})


def test_ten_folds_are_official(root: Path) -> None:
    """Eight for training, the ninth for validation, the tenth for test."""
    assert urbansound8k.FOLDS == 10
    corpus = find("urbansound8k", root)
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published")
    assert {r.groups["fold"] for r in corpus.recordings if split.roles[r.id] == "train"} == set("12345678")
    assert {r.groups["fold"] for r in corpus.recordings if split.roles[r.id] == "test"} == {"10"}


def test_a_file_in_another_folds_folder_is_named_with_both(root: Path) -> None:
    """It must not silently change its fold; one that is nowhere is missing."""
    (root / "audio" / "fold1" / "10-0-0-0.wav").rename(root / "audio" / "fold3" / "10-0-0-0.wav")
    (root / "audio" / "fold2" / "20-0-0-0.wav").unlink()
    reasons = [p.reason for p in find("urbansound8k", root).problems]
    assert reasons == ["is in fold3, and UrbanSound8K.csv says fold 1", "named by UrbanSound8K.csv but missing"]


def test_what_the_table_does_not_name_is_told(root: Path) -> None:
    """Hidden files of macOS do not count."""
    (root / "audio" / "fold1" / "mine.wav").touch()
    (root / "audio" / "fold1" / "._10-0-0-0.wav").touch()
    (root / "audio" / ".DS_Store").touch()
    corpus = find("urbansound8k", root)
    assert corpus.notes == ("1 audio files are left out, as UrbanSound8K.csv does not name them",)
    assert (len(corpus.recordings), corpus.problems) == (20, ())


def test_a_source_in_two_folds_is_told(root: Path) -> None:
    """The official folds are not quite independent, and must not be repaired either."""
    write_table(root, *(line.replace(",20,", ",10,") for line in lines_of(root)))
    assert find("urbansound8k", root).notes == ("source 10 (2 excerpts) is in folds 1 and 2",)


@pytest.mark.parametrize(
    "row",
    [
        "x.wav",
        "x.wav,5,0,4,1,0,1,siren",
        "x.wav,5,0,4,1,11,1,siren",
        "x.wav,5,0,4,1,1,1,",
        "x.wav,5,0,4,1,1,1,whistle",
        ",5,0,4,1,1,1,siren",
    ],
)
def test_a_row_that_is_not_whole_is_refused(row: str, root: Path) -> None:
    """The message states the line, its content and what it needs."""
    write_table(root, *lines_of(root)[:4], row, *lines_of(root)[4:])
    with pytest.raises(
        CorpusError, match=r"UrbanSound8K.csv: line 5 has slice_file_name=.*; it needs all of them, a fold of 1 to 10"
    ):
        find("urbansound8k", root)


def test_a_table_that_cannot_be_used_is_refused(root: Path) -> None:
    """A missing column, no rows, no table, and the folder of the audio in the place of the corpus's."""
    write_table(root, HEADER.replace("fsID", "source"), "x.wav,1,0,4,1,1,1,siren")
    with pytest.raises(
        CorpusError, match=r"UrbanSound8K.csv: has no column fsID; it needs slice_file_name, fsID, fold"
    ):
        find("urbansound8k", root)
    write_table(root, HEADER)
    with pytest.raises(CorpusError, match=r"UrbanSound8K\.csv: has no rows"):
        find("urbansound8k", root)
    with pytest.raises(CorpusError, match=r"cannot be read .*must hold metadata/UrbanSound8K.csv and audio/fold1 to"):
        find("urbansound8k", root / "audio")


def test_a_table_is_read_as_a_spreadsheet_writes_it(root: Path) -> None:
    """Semicolons, a byte-order mark, Windows' ends of lines and an empty last row give the same corpus."""
    before = find("urbansound8k", root)
    text = "\r\n".join([*lines_of(root), ",,,,,,,"]).replace(",", ";")
    (root / "metadata" / "UrbanSound8K.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert find("urbansound8k", root) == before


def test_the_writer_puts_every_class_into_every_fold(tmp_path: Path) -> None:
    """With 15 excerpts of a class; a source stays in one fold, and many excerpts are shorter than 4 s."""
    write(tmp_path / "us", num_per_class=15, num_classes=2, seconds=(0.1, 0.3), rate_hz=16_000)
    corpus = find("urbansound8k", tmp_path / "us")
    assert len({(r.label, r.groups["fold"]) for r in corpus.recordings}) == 20
    assert len({r.groups["source"] for r in corpus.recordings}) == 20 < len(corpus.recordings) == 30
    assert (corpus.problems, corpus.notes) == ((), ())
    assert tuple(SOUNDS) == urbansound8k.CLASS_NAMES


@pytest.mark.skipif(not CASE.is_file(), reason=f"the case is not here: {CASE}")
def test_ten_folds_and_short_clips_are_read_as_they_are(tmp_path: Path) -> None:
    """Its own table and tree: a clip of 0.5 s is in all 40 files, and one of 4 s in four of them. With the columns of
    ESC-50 it is a corpus of that layout, in ten folds."""
    subprocess.run([sys.executable, str(CASE), str(tmp_path)], check=True)
    source = Source(tmp_path / "own", tmp_path / "cache")
    made = prepare.prepare(Wanted("urbansound8k", (), "published", 0.5), source)
    assert {role: files for role, (files, _) in made.counts.items()} == {"train": 32, "validation": 4, "test": 4}
    assert Counter(r.label for r in made.scan.corpus.recordings) == {"dog_bark": 20, "siren": 20}
    with pytest.raises(CorpusError, match=r"36 bad files in(.|\n)*shorter than one clip of 4 s"):
        prepare.prepare(Wanted("urbansound8k", (), "published", 4.0), source)
    with pytest.raises(CorpusError, match=r"UrbanSound8K.csv: cannot be read .*must hold metadata/UrbanSound8K.csv"):
        find("urbansound8k", tmp_path / "renamed")
    renamed = prepare.prepare(Wanted("esc50", (), "fold", 0.5), Source(tmp_path / "renamed", tmp_path / "cache"))
    assert len({r.groups["fold"] for r in renamed.scan.corpus.recordings}) == 10
    assert len(renamed.split.roles) == 40


@pytest.mark.data
@pytest.mark.skipif(not GOLDEN.is_file(), reason="the measured values are not here")
def test_the_folds_are_those_that_were_measured() -> None:
    """The classes by their numbers, and as many folds."""
    measured = json.loads(GOLDEN.read_text())["folds"]["urbansound8k"]
    assert len(measured["by_fold"]) == urbansound8k.FOLDS
    assert len(measured["by_class"]) == len(urbansound8k.CLASS_NAMES)
