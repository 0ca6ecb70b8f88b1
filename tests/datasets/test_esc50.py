"""ESC-50: the table names the recordings, and every disagreement with the files is reported."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, find
from datasets.engine.scan import scan

HEADER = "filename,fold,target,category,esc10,src_file,take"
WriteWav = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Five folds of two classes, with one clip each."""
    rows = [(f"{fold}-{fold}{k}-A-{k}.wav", fold, k, f"{fold}{k}") for fold in range(1, 6) for k in range(2)]
    for seed, (name, *_) in enumerate(rows):
        write_wav(tmp_path / "corpus/audio" / name, seconds=0.5, seed=seed)
    lines = [f"{name},{fold},{k},{('dog', 'rain')[k]},True,{source},A" for name, fold, k, source in rows]
    write_table(tmp_path / "corpus", HEADER, *lines)
    return tmp_path / "corpus"


def table(root: Path) -> Path:
    return root / "meta" / "esc50.csv"


def write_table(root: Path, *lines: str) -> None:
    table(root).parent.mkdir(exist_ok=True)
    table(root).write_text("\n".join(lines) + "\n", encoding="utf-8")


def lines_of(root: Path) -> list[str]:
    return table(root).read_text().splitlines()


def test_label_source_and_fold_are_the_tables(root: Path) -> None:
    """A recording has the label, source and fold of its row."""
    first = find("esc50", root).recordings[0]
    assert (first.id, first.label, dict(first.groups)) == ("1-10-A-0", "dog", {"source": "10", "fold": "1"})


def test_folds_are_the_published_split(root: Path) -> None:
    """Three folds are for training, the fourth for validation, the fifth for test."""
    corpus = find("esc50", root)
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published")
    assert Counter((r.groups["fold"], split.roles[r.id]) for r in corpus.recordings) == {
        ("1", "train"): 2,
        ("2", "train"): 2,
        ("3", "train"): 2,
        ("4", "validation"): 2,
        ("5", "test"): 2,
    }


@pytest.mark.parametrize("column", ["filename", "fold", "category", "src_file"])
def test_a_missing_column_is_refused(column: str, root: Path) -> None:
    """The message names it and the required columns."""
    write_table(root, lines_of(root)[0].replace(column, "other"), *lines_of(root)[1:])
    with pytest.raises(CorpusError, match=f"esc50.csv: has no column {column}; it needs filename, fold, category"):
        find("esc50", root)


@pytest.mark.parametrize("row", ["x.wav", "x.wav,1,0,,True,5,A", ",1,0,dog,True,5,A", "x.wav,0,0,dog,True,5,A"])
def test_a_row_that_is_not_whole_is_refused(row: str, root: Path) -> None:
    """The message states the line and its content."""
    write_table(root, *lines_of(root)[:4], row, *lines_of(root)[4:])
    with pytest.raises(
        CorpusError, match=r"esc50.csv: line 5 has filename=.*; it needs all of them, and a fold of 1 to"
    ):
        find("esc50", root)


def test_a_corpus_of_this_layout_may_have_other_folds(root: Path) -> None:
    """Ten, for example; the published split of ESC-50 is then none of its splits, and the fold still is a group."""
    for number, line in enumerate(lines_of(root)[1:3]):
        name, _, *rest = line.split(",")
        copy = f"10-{number}.wav"
        shutil.copy(root / "audio" / name, root / "audio" / copy)
        write_table(root, *lines_of(root), ",".join([copy, "10", *rest]))
    corpus = find("esc50", root)
    num_clips = {r.id: 1 for r in corpus.recordings}
    assert {r.groups["fold"] for r in corpus.recordings} == {"1", "2", "3", "4", "5", "10"}
    assert set(splits.make(corpus, num_clips, "fold").roles.values()) == set(splits.ROLES)
    with pytest.raises(CorpusError, match="ESC-50 has five folds, and there is a fold 10; write split=fold"):
        splits.make(corpus, num_clips, "published")


@pytest.mark.parametrize("content", [b"", b"filename,fold,target,category,esc10,src_file,take\n"])
def test_a_table_without_rows_is_refused(content: bytes, root: Path) -> None:
    """An empty table, or one with only a header, is refused."""
    table(root).write_bytes(content)
    with pytest.raises(CorpusError, match=r"esc50\.csv: has no rows"):
        find("esc50", root)


def test_a_table_that_is_no_text_is_refused(root: Path) -> None:
    """Bytes that are not UTF-8 are refused; a byte-order mark and Windows line ends are accepted."""
    table(root).write_bytes(b"\xef\xbb\xbf" + table(root).read_bytes().replace(b"\n", b"\r\n"))
    assert len(find("esc50", root).recordings) == 10
    table(root).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match=r"esc50.csv: cannot be read .*must hold meta/esc50.csv and audio/"):
        find("esc50", root)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_as_a_spreadsheet_writes_it(separator: str, encoding: str, root: Path) -> None:
    """Other separators, quotation marks, encodings and an empty last row give the same corpus."""
    before = find("esc50", root)
    lines = [*lines_of(root), ",,,,,,"]
    text = "\r\n".join(lines).replace("dog", '"dog"').replace(",", separator)
    table(root).write_bytes(text.encode(encoding))
    assert find("esc50", root) == before


def test_a_table_that_is_no_file_is_refused(root: Path) -> None:
    """A link to a device is not read."""
    table(root).unlink()
    table(root).symlink_to("/dev/zero")
    with pytest.raises(CorpusError, match=r"esc50.csv: cannot be read \(not a file\); --data-root must hold"):
        find("esc50", root)


def test_a_cell_without_end_is_refused(root: Path) -> None:
    """An unclosed quotation mark and a cell of 200,000 characters are reported by line."""
    for row in ('x.wav,1,0,"dog,True,5,A', "x" * 200_000):
        write_table(root, *lines_of(root)[:11], row)
        with pytest.raises(CorpusError, match=r"esc50.csv: line 12 has filename='x.{0,63}', fold="):
            find("esc50", root)


def test_a_corpus_without_audio_folder_is_refused(root: Path) -> None:
    """The message names the folder."""
    shutil.rmtree(root / "audio")
    with pytest.raises(CorpusError, match=r"/audio: cannot be read \(No such file or directory\)"):
        find("esc50", root)


@pytest.mark.parametrize("name", ["gone.wav", "x" * 300 + ".wav", "../meta/esc50.csv", "/etc/hostname"])
def test_a_file_that_is_not_there_is_a_problem(name: str, root: Path) -> None:
    """Files in the table but not in `audio/` are listed as bad, and the rest is read."""
    write_table(root, *lines_of(root), f"{name},1,0,dog,True,5,A")
    corpus = find("esc50", root)
    (problem,) = corpus.problems
    assert problem.reason == "named by esc50.csv but missing"
    assert len(corpus.recordings) == 10


def test_a_class_whose_files_are_all_missing_is_refused(root: Path) -> None:
    """The message names the class."""
    for path in (root / "audio").glob("*-1.wav"):
        path.unlink()
    with pytest.raises(CorpusError, match="no audio for class rain"):
        find("esc50", root)


def test_a_file_named_twice_is_refused(root: Path) -> None:
    """Two rows for one file could put it into two folds."""
    write_table(root, *lines_of(root), lines_of(root)[1].replace(",1,", ",5,", 1))
    with pytest.raises(CorpusError, match="the same recording ids; keep one file for each id"):
        find("esc50", root)


@pytest.fixture(scope="session")
def esc10(data: Path) -> Corpus:
    """The 400 real clips."""
    return find("esc50", data / "esc10")


@pytest.mark.slow
@pytest.mark.data
def test_real_clips_that_are_short_are_all_listed(esc10: Corpus, tmp_path: Path) -> None:
    """Ten of the 400 are slightly shorter than 5 s: one error names them; if dropped, 390 keep their folds."""
    with pytest.raises(CorpusError) as error:
        scan(esc10, 5.0, tmp_path)
    lines = str(error.value).splitlines()[1:-1]
    assert len(lines) == 10
    assert all("shorter than one clip of 5 s" in line for line in lines)
    scanned = scan(esc10, 5.0, tmp_path, on_bad="drop")
    assert (len(scanned.facts), len(scanned.dropped)) == (390, 10)
    counts = splits.make(scanned.corpus, scanned.num_clips(5.0), "published").counts(scanned.num_clips(5.0))
    assert sum(num for num, _ in counts.values()) == 390
    assert all(70 <= counts[role][0] <= 80 for role in ("validation", "test"))
