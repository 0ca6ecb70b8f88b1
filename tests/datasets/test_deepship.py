"""DeepShip: both layouts, every way to find a vessel, the published split, and possible faults."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.deepship import PUBLISHED_COUNTS, published_split
from datasets.engine import splits
from datasets.engine.cache import build
from datasets.engine.clips import open_clips
from datasets.engine.corpus import Corpus, CorpusError, find
from datasets.engine.scan import scan
from datasets.engine.splitting import groups

WriteWav = Callable[..., Path]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def metafile(root: Path, *rows: str, name: str = "tug-metafile") -> Path:
    (root / "Tug").mkdir(parents=True, exist_ok=True)
    (root / "Tug" / name).write_text("\n".join(rows) + "\n")
    return root / "Tug" / name


def vessels(root: Path) -> dict[str, str]:
    return {r.id: r.groups["vessel"] for r in find("deepship", root, ("Tug",)).recordings}


def test_day_and_time_find_the_vessel(tmp_path: Path) -> None:
    """Day and time decide, even if the id of the folder belongs to another row."""
    touch(tmp_path, "Tug/20171104-2/101500.wav")
    metafile(tmp_path, "1,52,RIGHT,20171104,101500,60,1-2,", "2,52,WRONG,20171104,111500,60,1-2,")
    assert vessels(tmp_path) == {"Tug/20171104-2/101500": "RIGHT"}


def test_day_and_id_find_the_vessel(tmp_path: Path) -> None:
    """If the file is named after its id, the id chooses among the rows of that day only."""
    touch(tmp_path, "Tug/20171104a-2/2.wav")
    metafile(
        tmp_path,
        "1,52,WRONG,20171104,101500,60,1-2,",
        "2,52,RIGHT,20171104,111500,60,1-2,",
        "2,52,OTHER DAY,20171105,111500,60,1-2,",
    )
    assert vessels(tmp_path) == {"Tug/20171104a-2/2": "RIGHT"}


def test_the_only_vessel_of_a_day_is_the_vessel(tmp_path: Path) -> None:
    """If neither time nor id matches but only one ship passed that day, it is that ship."""
    touch(tmp_path, "Tug/20171104-9/9.wav")
    metafile(tmp_path, "1,52,RIGHT,20171104,101500,60,1-2,", "2,52,RIGHT ,20171104,111500,60,1-2,")
    assert vessels(tmp_path) == {"Tug/20171104-9/9": "RIGHT"}


def test_letters_are_in_the_order_of_time(tmp_path: Path) -> None:
    """If a day has as many rows as recordings, the letters follow the order of the times."""
    touch(tmp_path, "Tug/20171104b-9/9.wav", "Tug/20171104a-8/8.wav")
    metafile(tmp_path, "2,52,SECOND,20171104,111500,60,1-2,", "1,52,FIRST,20171104,101500,60,1-2,")
    assert vessels(tmp_path) == {"Tug/20171104a-8/8": "FIRST", "Tug/20171104b-9/9": "SECOND"}


def test_a_flat_file_is_found_by_its_id(tmp_path: Path, write_wav: WriteWav) -> None:
    """If two rows have the id, the file's duration decides; if that fails, there is no vessel."""
    for name, seconds in (("1", 2), ("2", 2), ("3", 9)):
        write_wav(tmp_path / "Tug" / f"{name}.wav", seconds=seconds)
    metafile(
        tmp_path,
        "1,52,ONE,20171104,101500,60,1-2,",
        "2,52,LONG,20171104,111500,60,1-2,",
        "2,52,SHORT,20171105,111500,2,1-2,",
        "3,52,LONG,20171104,111500,60,1-2,",
        "3,52,SHORT,20171105,111500,2,1-2,",
    )
    assert vessels(tmp_path) == {"Tug/1": "ONE", "Tug/2": "SHORT", "Tug/3": "unknown: Tug/3"}


def test_what_no_join_finds_is_a_vessel_of_its_own(tmp_path: Path) -> None:
    """Two recordings of unknown ships never share a group, and the notes count them."""
    touch(tmp_path, "Tug/20171104-1/1.wav", "Tug/20171105-2/2.wav", "Tug/stray.wav")
    corpus = find("deepship", tmp_path, ("Tug",))
    assert len({r.groups["vessel"] for r in corpus.recordings}) == 3
    assert f"Tug: no metafile, so no vessel, in {tmp_path}/Tug" in corpus.notes
    assert "Tug: 3 recordings; vessel by 3 nothing" in corpus.notes


def test_a_vessel_has_one_spelling(tmp_path: Path) -> None:
    """Case, spaces and an appended MMSI do not make a different ship."""
    touch(tmp_path, *(f"Tug/20171104-{k}/10150{k}.wav" for k in range(3)))
    names = ("Sea  Raven ", "SEA RAVEN", "SEA RAVEN 316001234")
    metafile(tmp_path, *(f"{k},52,{name},20171104,10150{k},60,1-2,\t" for k, name in enumerate(names)))
    assert set(vessels(tmp_path).values()) == {"SEA RAVEN"}


def test_a_broken_metafile_is_named_by_line(tmp_path: Path, write_wav: WriteWav) -> None:
    """Every invalid line is listed with its content; empty lines are ignored."""
    write_wav(tmp_path / "Tug" / "1.wav")
    broken = ("id,code,ship,date,time,duration", "2,52,A SHIP", "3,52,A,SHIP,20171104,101500,60,", "4,52,A,1 May,10,6,")
    path = metafile(tmp_path, "1,52,A SHIP,20171104,101500,60,1-2,", "", *broken)
    with pytest.raises(CorpusError) as error:
        scan(find("deepship", tmp_path, ("Tug",)), 0.5, tmp_path / "cache")
    lines = str(error.value).splitlines()[1:-1]
    assert [line.split(" is not ")[0] for line in lines] == [f"  {path}: line {n}" for n in (3, 4, 5, 6)]
    assert [line.rsplit(": ", 1)[1] for line in lines] == [repr(line) for line in broken]


def test_a_metafile_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are refused, but a byte-order mark is accepted."""
    touch(tmp_path, "Tug/1.wav")
    metafile(tmp_path, "").write_bytes(b"\xef\xbb\xbf1,52,A SHIP,20171104,101500,60,1-2,\r\n")
    assert vessels(tmp_path) == {"Tug/1": "A SHIP"}
    path = metafile(tmp_path, "")
    path.write_bytes(b"1,52,\xff\xfe,20171104,101500,60,1-2,\n")
    (problem,) = find("deepship", tmp_path, ("Tug",)).problems
    assert str(problem).startswith(f"{path}: cannot be read as UTF-8 text")


ROWS = "1,52,A SHIP,20171104,101500,60,1-2,\n2,52,B SHIP,20171105,101500,60,1-2,\n"
METAFILES = {
    "Windows": ROWS.replace("\n", "\r\n").encode(),
    "semicolons": ROWS.replace(",", ";").encode(),
    "tabs, UTF-16": ROWS.replace(",", "\t").encode("utf-16"),
    "quotes": ROWS.replace("A SHIP", '"A SHIP"').replace("52", '"52"').encode(),
    "an empty row before": b",,,,,,,\n" + ROWS.encode(),
}


@pytest.mark.parametrize("form", METAFILES)
def test_a_metafile_is_read_as_a_spreadsheet_writes_it(form: str, tmp_path: Path) -> None:
    """Separators, quotation marks, encodings and line ends do not change the vessels."""
    touch(tmp_path, "Tug/1.wav", "Tug/2.wav")
    metafile(tmp_path, "").write_bytes(METAFILES[form])
    assert vessels(tmp_path) == {"Tug/1": "A SHIP", "Tug/2": "B SHIP"}
    assert not find("deepship", tmp_path, ("Tug",)).problems


@pytest.mark.parametrize("number", ["9" * 5_000, "9" * 400, "1" + "0" * 400, "٣"])
def test_a_number_that_is_none_is_a_problem(number: str, tmp_path: Path) -> None:
    """Numbers with too many digits, and digits of other scripts, are reported by line without a crash."""
    touch(tmp_path, "Tug/1.wav", "Tug/2.wav")
    row = "1,52,A SHIP,20171104,101500,60,1-2,"
    metafile(tmp_path, row, row.replace("60", number), number + row[1:], row.replace("52", number))
    problems = find("deepship", tmp_path, ("Tug",)).problems
    numbered = [2, 3] if number.isascii() else [2, 3, 4]  # a code of any length is only skipped
    assert [problem.reason.split(" is not ")[0] for problem in problems] == [f"line {n}" for n in numbered]


def test_a_metafile_that_is_no_file_is_a_problem(tmp_path: Path) -> None:
    """A link to a device is not read."""
    touch(tmp_path, "Tug/1.wav")
    (tmp_path / "Tug/tug-metafile").symlink_to("/dev/zero")
    (problem,) = find("deepship", tmp_path, ("Tug",)).problems
    assert problem.reason == "cannot be read (not a file)"


def test_what_lies_beside_a_metafile_changes_nothing(tmp_path: Path) -> None:
    """A copy, a hidden file of macOS and a folder with that name do not change the joins."""
    touch(tmp_path, "Tug/1.wav", "Tug/old metafiles/notes.txt")
    path = metafile(tmp_path, "1,52,A SHIP,20171104,101500,60,1-2,")
    shutil.copy(path, path.with_name("tug-metafile.bak"))
    (tmp_path / "Tug/._tug-metafile").write_bytes(b"\x00\x05\x16\x07\xff")
    corpus = find("deepship", tmp_path, ("Tug",))
    assert vessels(tmp_path) == {"Tug/1": "A SHIP"}
    assert not corpus.problems


def test_both_names_of_the_passenger_class_are_one(tmp_path: Path) -> None:
    """The folders Passenger and Passengership, in any case, are one class."""
    touch(tmp_path, "Passenger/1.wav", "Passengership/2.wav", "PASSENGER/3.wav")
    corpus = find("deepship", tmp_path, ("Passengership",))
    assert [r.id for r in corpus.recordings] == ["Passengership/1", "Passengership/2", "Passengership/3"]


def test_one_recording_in_both_passenger_folders_is_refused(tmp_path: Path) -> None:
    """The two files are named."""
    touch(tmp_path, "Passenger/1.wav", "Passengership/1.wav")
    with pytest.raises(CorpusError, match=r"(?s)keep one file for each id:.*/Passenger/1\.wav.*/Passengership/1\.wav"):
        find("deepship", tmp_path, ("Passengership",))


@pytest.mark.parametrize("class_folder", ["missing", "empty", "without audio"])
def test_a_class_without_audio_is_refused(class_folder: str, tmp_path: Path) -> None:
    """The message names the class, and suggests choosing the others."""
    touch(tmp_path, "Cargo/1.wav", "Passengership/1.wav", "Tanker/1.wav")
    if class_folder != "missing":
        touch(tmp_path, "Tug/x")
        (tmp_path / "Tug/x").rename(tmp_path / "Tug" / ("tug-metafile" if class_folder == "without audio" else ".x"))
    with pytest.raises(CorpusError, match=r"no audio for class Tug; .*--classes Cargo,Passengership,Tanker"):
        find("deepship", tmp_path)


def test_stray_folders_are_noted_and_not_read(tmp_path: Path) -> None:
    """A folder that is not a class is ignored, and the report says so."""
    touch(tmp_path, "Tug/1.wav", "Segments_5s/Tug/1.wav", "spare/2.wav", ".git/3.wav")
    corpus = find("deepship", tmp_path, ("Tug",))
    assert [r.id for r in corpus.recordings] == ["Tug/1"]
    assert "ignored folders that are not classes: Segments_5s, spare" in corpus.notes


PIECES = {  # the names of two pieces, and the id of their recording
    "flat": ("Tug/1-Segment_1", "Tug/1-Segment_2", "Tug/1"),
    "the authors'": ("Tug/20171104-7/101500_Tug-Segment_1", "Tug/20171104-7/101500_Tug-Segment_12", "Tug/20171104-7"),
    "a plain counter": ("Tug/1_01", "Tug/1_02", "Tug/1"),
    "any name": ("Tug/SEA RAVEN part 1", "Tug/SEA RAVEN part 2", "Tug/SEA RAVEN"),
    "the folder of a passage": ("Tug/20171104-7/a", "Tug/20171104-7/b", "Tug/20171104-7"),
}


@pytest.mark.parametrize("form", PIECES)
def test_pieces_of_one_recording_are_one_unit(form: str, tmp_path: Path) -> None:
    """A recording that was cut beforehand has one vessel, which is found as that of the whole; the notes count it."""
    first, second, whole = PIECES[form]
    touch(tmp_path, f"{first}.wav", f"{second}.wav", "Tug/20171105b-3/3.wav")
    metafile(tmp_path, "1,52,RIGHT,20171104,101500,60,1-2,", "3,52,OTHER,20171105,101500,60,1-2,")
    corpus = find("deepship", tmp_path, ("Tug",))
    assert [(r.id, r.unit) for r in corpus.recordings] == sorted(
        [(first, whole), (second, whole), ("Tug/20171105b-3/3", "Tug/20171105b-3/3")]
    )
    vessel = f"unknown: {whole}" if form == "any name" else "RIGHT"
    assert vessels(tmp_path) == {first: vessel, second: vessel, "Tug/20171105b-3/3": "OTHER"}
    assert any(note.startswith("Tug: 2 recordings; vessel by ") for note in corpus.notes)
    assert "Tug: 2 files are pieces of 1 recordings, which share a role each" in corpus.notes


@pytest.mark.parametrize(
    "names", [("Tug/20171104-12", "Tug/20171104-13"), ("Tug/1", "Tug/12"), ("Tug/101500", "Tug/SEA RAVEN 2")]
)
def test_recordings_are_no_pieces(names: tuple[str, str], tmp_path: Path) -> None:
    """Names of days, ids and times have no counter."""
    touch(tmp_path, *(f"{name}.wav" for name in names))
    assert [r.unit for r in find("deepship", tmp_path, ("Tug",)).recordings] == sorted(names)


def test_letters_count_recordings_and_not_pieces(tmp_path: Path) -> None:
    """The order in a day is that of its passages, each in several pieces."""
    touch(tmp_path, *(f"Tug/20171104{letter}-9/9_{k}.wav" for letter in "ab" for k in (1, 2)))
    metafile(tmp_path, "2,52,SECOND,20171104,111500,60,1-2,", "1,52,FIRST,20171104,101500,60,1-2,")
    assert [vessel for _, vessel in sorted(vessels(tmp_path).items())] == ["FIRST", "FIRST", "SECOND", "SECOND"]


@pytest.mark.parametrize("name", ["recording", "recording:1/3", "vessel", "day"])
def test_pieces_share_a_role_under_every_split(name: str, tmp_path: Path) -> None:
    """Of twelve recordings in three pieces each, none is in two roles."""
    pieces = [(label, n, k) for label in ("Tanker", "Tug") for n in range(1, 7) for k in (1, 2, 3)]
    touch(tmp_path, *(f"{label}/{n}-Segment_{k}.wav" for label, n, k in pieces))
    for label in ("Tanker", "Tug"):
        rows = [f"{n},52,{label} {n},201711{n:02},101500,60,1-2,\n" for n in range(1, 7)]
        (tmp_path / label / f"{label.lower()}-metafile").write_text("".join(rows))
    corpus = find("deepship", tmp_path, ("Tanker", "Tug"))
    roles = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, name).roles
    assert len({(r.unit, roles[r.id]) for r in corpus.recordings}) == 12


def test_the_published_split_is_of_whole_recordings(tmp_path: Path) -> None:
    """Pieces of 5 s are the authors' clips, so that their numbers agree with the file; nothing was cut differently."""
    names = [name for names in SPLIT.values() for name in names]
    touch(tmp_path / "data", *(f"{name}_{name.split('/')[0]}-Segment_{k}.wav" for name in names for k in (1, 2)))
    corpus = find("deepship", tmp_path / "data", ("Cargo", "Tug"))
    num_clips = {r.id: 1 for r in corpus.recordings}
    with pytest.raises(CorpusError, match=r"\{'train': \(2, 4\), .*the paper has .*authors': none"):
        published_split(corpus, num_clips, 5.0, split_file(tmp_path, "csv"))
    split = published_split(corpus, num_clips, 1.0, split_file(tmp_path, "csv"))
    assert Counter(split.roles.values()) == {"train": 4, "validation": 4, "test": 4}


def test_a_list_that_divides_a_recording_is_refused(tmp_path: Path) -> None:
    """Each piece is a file of its own, but all are of one recording."""
    touch(tmp_path, *(f"{label}/{n}-Segment_{k}.wav" for label in ("Tanker", "Tug") for n in (1, 2) for k in (1, 2)))
    corpus = find("deepship", tmp_path, ("Tanker", "Tug"))
    roles = {r.id: "test" if r.id.endswith("2-Segment_2") else "train" for r in corpus.recordings}
    (tmp_path / "list.csv").write_text("recording,role\n" + "".join(f"{i},{role}\n" for i, role in roles.items()))
    with pytest.raises(
        CorpusError, match=r"parts in two roles.*\n  Tanker/2: Tanker/2-Segment_1 \((train|validation)\)"
    ):
        splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published", file=tmp_path / "list.csv")


SPLIT = {
    "train": ("Cargo/20171104-1/101500", "Tug/20171105a-7/111500"),
    "validation": ("Cargo/20171106-44/44", "Tug/20171107-8/121500"),
    "test": ("Cargo/20171108-3/131500", "Tug/20171109-9/141500"),
}


def split_file(folder: Path, form: str) -> Path:
    """`SPLIT` in the authors' form or condensed, with two clips per recording."""
    if form == "csv":
        rows = [f"{role},{name.replace('/', ',')},2" for role, names in SPLIT.items() for name in names]
        text = "\n".join(["split,class,recording_dir,wav_stem,n_segments_5s", *rows]) + "\n"
    else:
        text, index = "", 0
        for role, names in SPLIT.items():
            text += f"{role.capitalize()} indices and paths:\n"
            for label, recording, stem in (name.split("/") for name in names):
                for n in (1, 2):
                    segment = f"{stem}_{label}-Segment_{n}.wav"
                    text += f"{index}: ./Datasets/DeepShip/Segments_5s_32000hz/{label}/{recording}/{segment}\n"
                    index += 1
            text += "\n"
    (folder / f"split.{form}").write_text(text)
    return folder / f"split.{form}"


def split_corpus(root: Path, absent: int = 0) -> Corpus:
    touch(root, *(f"{name}.wav" for names in SPLIT.values() for name in names[absent:]))
    return find("deepship", root, ("Cargo", "Tug")[absent:])


@pytest.mark.parametrize("form", ["txt", "csv"])
def test_the_published_split_is_read_in_both_forms(form: str, tmp_path: Path) -> None:
    """Roles come from the file; a part of the corpus gets its part of the roles, with a note."""
    corpus = split_corpus(tmp_path / "data", absent=1)
    split = published_split(corpus, {r.id: 2 for r in corpus.recordings}, 5.0, split_file(tmp_path, form))
    assert split.roles == {names[1]: role for role, names in SPLIT.items()}
    assert split.notes == ("3 of the split's 6 recordings are missing",)


SAVED = {
    "a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "Windows with a mark": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs, UTF-16": lambda text: text.replace(",", "\t").encode("utf-16"),
    "quotes": lambda text: re.sub(r"[^,\n]+", r'"\g<0>"', text).encode(),
    "backslashes": lambda text: text.replace("/", "\\").encode(),
    "empty lines": lambda text: text.replace("\n", "\n\n").encode(),
}


@pytest.mark.parametrize("form", ["txt", "csv"])
@pytest.mark.parametrize("saved", SAVED)
def test_the_published_split_is_read_as_other_machines_save_it(saved: str, form: str, tmp_path: Path) -> None:
    """The roles are the same if Windows, Excel or an editor has saved the file."""
    corpus = split_corpus(tmp_path / "data", absent=1)
    file = split_file(tmp_path, form)
    file.write_bytes(SAVED[saved](file.read_text()))
    split = published_split(corpus, {r.id: 2 for r in corpus.recordings}, 5.0, file)
    assert split.roles == {names[1]: role for role, names in SPLIT.items()}


def test_a_flat_file_takes_the_role_of_its_id(tmp_path: Path) -> None:
    """`Cargo/44.wav` of the public sample is `Cargo/20171106-44/44.wav` in the split."""
    touch(tmp_path / "data", "Cargo/44.wav")
    corpus = find("deepship", tmp_path / "data", ("Cargo",))
    assert published_split(corpus, {"Cargo/44": 2}, 5.0, split_file(tmp_path, "csv")).roles == {
        "Cargo/44": "validation"
    }


def test_two_files_of_one_folder_share_its_role(tmp_path: Path) -> None:
    """They are one recording of the split, so that missing recordings are still counted correctly."""
    touch(tmp_path / "data", "Tug/20171109-9/141500.wav", "Tug/20171109-9/141600.wav")
    corpus = find("deepship", tmp_path / "data", ("Tug",))
    split = published_split(corpus, {r.id: 1 for r in corpus.recordings}, 5.0, split_file(tmp_path, "csv"))
    assert set(split.roles.values()) == {"test"}
    assert split.notes == ("5 of the split's 6 recordings are missing",)


def test_clips_that_differ_from_the_authors_are_noted(tmp_path: Path) -> None:
    """A recording with another length than the authors' is named, but only at their clip length."""
    corpus = split_corpus(tmp_path / "data", absent=1)
    num_clips = {r.id: 2 for r in corpus.recordings} | {SPLIT["test"][1]: 3}
    file = split_file(tmp_path, "csv")
    assert any(SPLIT["test"][1] in note for note in published_split(corpus, num_clips, 5.0, file).notes)
    assert not any("cut differently" in note for note in published_split(corpus, num_clips, 3.0, file).notes)


def test_wrong_counts_of_the_whole_corpus_are_refused(tmp_path: Path) -> None:
    """If every recording of the file is present, the counts must be those of the paper."""
    corpus = split_corpus(tmp_path / "data")
    with pytest.raises(CorpusError, match=r"'train': \(2, 4\).*the paper has .*\(428, 23088\)"):
        published_split(corpus, {r.id: 2 for r in corpus.recordings}, 5.0, split_file(tmp_path, "txt"))


def test_a_recording_without_a_role_is_refused(tmp_path: Path) -> None:
    """The message names the recording."""
    touch(tmp_path / "data", "Tug/20990101-1/1.wav")
    with pytest.raises(CorpusError, match="no role for Tug/20990101-1/1; it names 6 recordings"):
        published_split(split_corpus(tmp_path / "data"), {}, 5.0, split_file(tmp_path, "txt"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither the authors' split_indices.txt nor its csv"),
        (b"Train indices and paths:\n0: ./x\n", "neither the authors' split_indices.txt nor its csv"),
        (b"\xff\xfe", "neither the authors' split_indices.txt nor its csv"),
        (b"\xff\xfe\x00", "cannot be read as UTF-16 text"),
        (b"train,Zo\xeb", r"cannot be read as UTF-8 text \(byte 0xeb in line 1\); save it as UTF-8"),
        (b"split,class,recording_dir,wav_stem,n_segments_5s\ntrain,Cargo,a,b,1\ntrain,Cargo\n", "line 3 is not split,"),
        (b"split,class,recording_dir,wav_stem,n_segments_5s\ntrain,Cargo,a,b,many\n", "line 2 is not split,"),
        (b"split,class,recording_dir,wav_stem,n_segments_5s\ntrain,Cargo,a,b," + b"9" * 5_000, "line 2 is not split,"),
        (b"split,class,recording_dir,wav_stem,n_segments_5s\ntraining,Cargo,a,b,1\n", "line 2 is not .*: 'training,Ca"),
        (b'split;class;recording_dir;wav_stem;n_segments_5s\ntrain;"Cargo;a;b;1\n', "line 2 is not .*: 'train;"),
        (b"split,class,recording_dir,wav_stem,n_segments_5s\ntrain," + b"x" * 200_000, "line 2 is not .*: 'train,x+'$"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_split_is_refused(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """The message names the file and its fault."""
    file = tmp_path / "split.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CorpusError, match=f"--split-file {file}: .*{reason}"):
        published_split(split_corpus(tmp_path / "data"), {}, 5.0, file)


def test_a_split_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A device is not read, because it has no end."""
    with pytest.raises(CorpusError, match=r"--split-file /dev/zero: cannot be read \(not a file\)"):
        published_split(split_corpus(tmp_path / "data"), {}, 5.0, Path("/dev/zero"))


def test_the_published_split_needs_its_file(tmp_path: Path) -> None:
    """The message names the option."""
    with pytest.raises(CorpusError, match="--split-file"):
        published_split(split_corpus(tmp_path / "data"), {}, 5.0, None)


@pytest.fixture(scope="session")
def whole_corpus(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, dict[str, int]]:
    """The names of all 609 recordings as empty files, with the real metafiles and the published numbers of clips."""
    root, num_clips = tmp_path_factory.mktemp("whole"), {}
    with (data / "deepship_split_recordings.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['class']}/{row['recording_dir']}/{row['wav_stem']}"
            touch(root, f"{name}.wav")
            num_clips[name] = int(row["n_segments_5s"])
    for path in data.glob("deepship-sample/*/*metafile"):
        shutil.copyfile(path, root / path.parent.name / path.name)
    return find("deepship", root), num_clips


@pytest.mark.data
def test_the_real_metafiles_join(whole_corpus: tuple[Corpus, dict[str, int]]) -> None:
    """Of 609 recordings, 498 join by day and time, 75 by day and id, 17 by the only ship, 12 by nothing."""
    num_by_join: Counter[str] = Counter()
    for note in whole_corpus[0].notes:
        num_by_join.update(
            {name: int(num) for num, name in re.findall(r"(\d+) ([a-z ]+)(?:,|$)", note.split("vessel by")[1])}
        )
    assert num_by_join == {
        "day and time": 498,
        "day and id": 75,
        "only vessel of the day": 17,
        "order in the day": 7,
        "nothing": 12,
    }
    assert not whole_corpus[0].problems


@pytest.mark.data
def test_the_published_counts_are_the_papers(whole_corpus: tuple[Corpus, dict[str, int]], data: Path) -> None:
    """428, 60 and 121 recordings and 23,088, 3,974 and 6,708 clips need no note."""
    corpus, num_clips = whole_corpus
    split = published_split(corpus, num_clips, 5.0, data / "deepship_split_recordings.csv")
    assert split.counts(num_clips) == PUBLISHED_COUNTS
    assert PUBLISHED_COUNTS == {"train": (428, 23_088), "validation": (60, 3_974), "test": (121, 6_708)}
    assert split.notes == ()


@pytest.mark.data
@pytest.mark.parametrize("name", ["recording", "vessel"])
def test_the_real_sizes_are_shared_as_asked(name: str, whole_corpus: tuple[Corpus, dict[str, int]]) -> None:
    """With the real numbers of clips, every role of every class is within one point of 70, 10, 20 %."""
    corpus, num_clips = whole_corpus
    if name == "vessel":
        with pytest.raises(CorpusError, match=r"the vessel of 12 of 609 recordings is unknown.*--bad-files drop"):
            splits.make(corpus, num_clips, name)
        known = tuple(r for r in corpus.recordings if not groups.is_unknown(r.groups["vessel"]))
        corpus = dataclasses.replace(corpus, recordings=known)
    split = splits.make(corpus, num_clips, name)
    splits.check(split, corpus, {r.id: r.id for r in corpus.recordings})
    for label in corpus.classes:
        clips: Counter[str] = Counter()
        for recording in corpus.recordings:
            clips[split.roles[recording.id]] += num_clips[recording.id] * (recording.label == label)
        shares = [clips[role] / clips.total() for role in splits.ROLES]
        assert shares == pytest.approx(splits.SHARES, abs=0.01)


@pytest.fixture(scope="session")
def sample(data: Path) -> Corpus:
    """The 17 real recordings."""
    return find("deepship", data / "deepship-sample", ("Passengership", "Tanker"))


@pytest.mark.data
def test_real_recordings_are_scanned_and_cut(sample: Corpus, tmp_path: Path) -> None:
    """All 17 are good, have 32 kHz and a plausible level, and no clip at any rate is silent."""
    scanned = scan(sample, 5.0, tmp_path)
    assert len(scanned.facts) == 17
    assert {(f.rate_hz, f.num_channels) for f in scanned.facts.values()} == {(32_000, 1)}
    assert all(1e-4 < f.rms < f.peak < 1 for f in scanned.facts.values())
    folders = build(scanned, (2_000, 16_000, 64_000), 5.0, tmp_path)
    for hz, folder in folders.items():
        clips = open_clips(folder)
        assert clips.wave.shape == (sum(scanned.num_clips(5.0).values()), 5 * hz)
        assert (clips.levels[:, 0] < clips.levels[:, 1]).all()


@pytest.mark.data
def test_real_recordings_have_their_vessels_and_roles(sample: Corpus, data: Path) -> None:
    """All 17 are in the published split; 12 have a ship, 5 Tankers match no row by id and duration."""
    with_vessel = [r for r in sample.recordings if not r.groups["vessel"].startswith("unknown")]
    assert len(with_vessel) == 12
    num_clips = dict.fromkeys((r.id for r in sample.recordings), 1)
    split = published_split(sample, num_clips, 3.0, data / "deepship_split_recordings.csv")
    assert len(split.roles) == 17
