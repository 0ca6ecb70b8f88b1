"""A folder of one's own: class folders, a table or the files' names tell the classes and the groups."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine import prepare
from datasets.engine.corpus import CorpusError, find
from datasets.engine.prepare import Source, Wanted
from datasets.engine.scan import scan
from datasets.engine.words.names import names_in

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CASE = DATA.parent / "cases" / "urbansound_table" / "make.py"
DIGIT = r"(?P<label>\d)_(?P<speaker>\w+)_"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")


@pytest.fixture
def root(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Four speakers say yes and no in two sessions each; a table may be put beside the files."""
    for number in range(16):
        place = f"{('yes', 'no')[number % 2]}/s{number // 4}/day{number // 2 % 2}"
        write_wav(tmp_path / "mine" / place / f"{number}.wav", seconds=0.25, seed=number)
    return tmp_path / "mine"


@pytest.fixture
def flat(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Twelve files without folders: DIGIT_SPEAKER_TAKE.wav."""
    for number in range(12):
        write_wav(tmp_path / "flat" / f"{number % 2}_s{number // 2 % 3}_{number // 6}.wav", seconds=0.25, seed=number)
    return tmp_path / "flat"


def with_table(root: Path, text: str, name: str = "metadata.csv") -> Path:
    """The folder, with a table."""
    (root / name).write_text(text, encoding="utf-8")
    return root


def table(root: Path, head: str = "file_name,label,speaker") -> str:
    """A table of the flat files: even takes of a, odd ones of b."""
    rows = [f"{path.name},{'ab'[int(path.name[0])]},{path.name[2:4]}" for path in sorted(root.glob("*.wav"))]
    return "\n".join([head, *rows]) + "\n"


def prepared(root: Path, split: str, groups: str = "") -> prepare.Prepared:
    """The corpus, read and split."""
    return prepare.prepare(Wanted("folder", (), split, 0.25, groups), Source(root, root.parent / "cache"))


class TestClassFolders:
    """`CLASS/.../file.wav`."""

    def test_the_first_folder_is_the_class_and_the_others_are_groups(self, root: Path) -> None:
        """A deeper folder's value has the folders above it: day0 of one speaker is not that of another."""
        corpus = find("folder", root)
        first = corpus.recordings[0]
        assert corpus.classes == ("no", "yes")
        assert (first.id, first.label) == ("no/s0/day0/1", "no")
        assert first.groups == {"folder1": "s0", "folder2": "s0/day0"}
        assert corpus.group_names == ("folder1", "folder2")

    @pytest.mark.parametrize("split", ["recording", "folder1", "folder2"])
    def test_it_is_split_by_file_or_folder(self, root: Path, split: str) -> None:
        """No speaker has two roles, though each says both words, and each role has both classes."""
        roles = prepared(root, split).split.roles
        by_id = {r.id: r for r in find("folder", root).recordings}
        units: dict[str, set[str]] = {}
        for name, role in roles.items():
            units.setdefault(by_id[name].groups.get(split, name), set()).add(role)
        assert all(len(seen) == 1 for seen in units.values())
        assert len(set(roles.values())) == 3

    def test_a_folder_that_is_the_same_for_all_is_no_group(self, tmp_path: Path, write_wav: WriteWav) -> None:
        """`cat/wav/1.wav` cannot be cut by `wav`."""
        for number, label in enumerate("ab"):
            write_wav(tmp_path / label / "wav" / "1.wav", seed=number)
        assert find("folder", tmp_path).group_names == ()

    def test_names_of_all_kinds_are_classes(self, tmp_path: Path, write_wav: WriteWav) -> None:
        """Spaces, commas and other scripts; in one Unicode form whatever the disk has."""
        names = ("a b", "dog, small", "船", "Zoë")
        for seed, name in enumerate(names):
            write_wav(tmp_path / "data" / unicodedata.normalize("NFD", name) / "x.wav", seed=seed)
        corpus = find("folder", tmp_path / "data")
        assert corpus.classes == tuple(sorted(names))
        with pytest.raises(CorpusError, match="""; quote a class with a comma: --classes '"dog, small"'"""):
            find("folder", tmp_path / "data", ("dog", "small"))
        assert find("folder", tmp_path / "data", names_in('"dog, small", a b')).classes == ("a b", "dog, small")

    def test_links_are_followed(self, root: Path, tmp_path: Path, write_wav: WriteWav) -> None:
        """A class folder and a file on another disk are read; a link to nowhere is a bad file."""
        (root / "more").symlink_to(write_wav(tmp_path / "disk" / "1.wav", seed=98).parent)
        (root / "yes" / "linked.wav").symlink_to(write_wav(tmp_path / "other" / "2.wav", seed=99))
        (root / "no" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
        ids = [r.id for r in find("folder", root).recordings]
        assert {"more/1", "yes/linked"} <= set(ids)
        with pytest.raises(CorpusError, match=r"1 bad files .*\n.*gone.wav: cannot be read \(No such file"):
            scan(find("folder", root), 0.25, tmp_path / "cache")

    def test_mixed_rates_and_formats_are_read_and_told(self, root: Path, write_wav: WriteWav) -> None:
        """The notes of a report have the rates."""
        write_wav(root / "yes" / "s0" / "day0" / "cd.flac", rate_hz=44_100, seed=50)
        noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
        soundfile.write(root / "no" / "s0" / "day0" / "net.ogg", noise, 16_000)
        notes = prepared(root, "recording").notes
        assert "files were recorded at several rates: 16 at 8000 Hz, 1 at 16000 Hz, 1 at 44100 Hz" in notes

    def test_a_format_that_is_not_read_is_told(self, root: Path) -> None:
        """Rather than left out in silence."""
        (root / "yes" / "song.mp3").write_bytes(b"ID3")
        assert find("folder", root).notes == ("1 files are left out, as .mp3 is not read; convert them to FLAC",)

    def test_an_empty_class_is_refused(self, root: Path) -> None:
        """With the classes that may be chosen instead; then it is as if it were not there."""
        (root / "maybe").mkdir()
        with pytest.raises(CorpusError, match=r"no audio for class maybe; add recordings.*--classes no,yes"):
            find("folder", root)
        assert find("folder", root, ("no", "yes")).classes == ("no", "yes")

    def test_a_class_with_one_file_is_refused(self, root: Path, write_wav: WriteWav) -> None:
        """It cannot be in three roles."""
        write_wav(root / "maybe" / "1.wav", seed=40)
        with pytest.raises(CorpusError, match=r"class maybe has 1 recordings; a split needs 3; .*--classes"):
            prepared(root, "recording")

    @pytest.mark.parametrize("other", ["Yes", "YES", "yes "])
    def test_folders_that_differ_by_case_are_refused(self, root: Path, other: str, write_wav: WriteWav) -> None:
        """They are one folder on other machines, and most likely one class here."""
        write_wav(root / other / "1.wav", seed=40)
        with pytest.raises(CorpusError, match=r"classes .* and .* differ only by case or blanks; give them one name"):
            find("folder", root)

    @pytest.mark.parametrize("name", ["song.mp3", "._hidden.wav", "notes.txt"])
    def test_a_class_without_readable_audio_is_empty(self, root: Path, name: str) -> None:
        """Formats that are not read, hidden files and texts do not count."""
        (root / "maybe").mkdir()
        (root / "maybe" / name).write_bytes(b"ID3")
        with pytest.raises(CorpusError, match=r"no audio for class maybe; add recordings.*--classes no,yes"):
            find("folder", root)

    def test_a_class_that_links_to_a_part_of_another_is_refused(self, root: Path) -> None:
        """The same audio would be in two roles."""
        (root / "copy").mkdir()
        for speaker in ("s1", "s2", "s3"):
            (root / "copy" / speaker).symlink_to(root / "yes" / speaker)
        with pytest.raises(CorpusError, match=r"the same audio is in two roles; remove one of each pair:\n  copy/s"):
            prepared(root, "recording")

    def test_classes_with_commas_and_blanks_are_named_for_a_shell(self, root: Path) -> None:
        """What is proposed in the place of an empty class can be pasted."""
        (root / "maybe").mkdir()
        (root / "yes").rename(root / "yes, sir")
        with pytest.raises(CorpusError, match=r"""--classes 'no,"yes, sir"'"""):
            find("folder", root)

    def test_labels_of_a_table_that_differ_by_case_are_refused(self, flat: Path) -> None:
        """As folders are."""
        with pytest.raises(CorpusError, match=r"classes 'A' and 'a' differ only by case or blanks; give them one name"):
            find("folder", with_table(flat, table(flat).replace(",a,s0", ",A,s0")))

    def test_one_class_is_refused(self, root: Path) -> None:
        """The folder above was meant, or the names tell the class."""
        for name in ("s1", "s2", "s3"):
            shutil.rmtree(root / "yes" / name)
        with pytest.raises(CorpusError, match=r"of class s0; .*two classes; make a folder for each class"):
            find("folder", root / "yes")

    def test_a_file_outside_the_class_folders_is_bad(self, root: Path, write_wav: WriteWav) -> None:
        """It is not a class of its own."""
        write_wav(root / "stray.wav")
        (problem,) = find("folder", root).problems
        assert str(problem) == f"{root}/stray.wav: is in no class folder; move it into one"

    def test_nothing_is_refused(self, tmp_path: Path, flat: Path) -> None:
        """A folder without audio, or without classes; both messages say the layout."""
        (tmp_path / "empty").mkdir()
        with pytest.raises(CorpusError, match=r"there is no audio .*; make a folder for each class"):
            find("folder", tmp_path / "empty")
        with pytest.raises(CorpusError, match=r"nothing says the class of a file; make a folder for each class"):
            find("folder", flat)


class TestTables:
    """`metadata.csv`, `.tsv` and `.jsonl`."""

    def test_columns_are_label_and_groups(self, flat: Path) -> None:
        """Every further column is a group."""
        corpus = find("folder", with_table(flat, table(flat)))
        assert corpus.classes == ("a", "b")
        assert {r.id: dict(r.groups) for r in corpus.recordings}["0_s1_0"] == {"speaker": "s1"}
        assert prepared(flat, "speaker").split.name == "speaker"

    def test_all_forms_are_the_same_corpus(self, flat: Path) -> None:
        """Commas, semicolons, tabs, JSON lines; a byte-order mark, blank lines and Windows' ends of lines."""
        plain = find("folder", with_table(flat, table(flat)))
        (flat / "metadata.csv").unlink()
        head, *rows = [line.split(",") for line in table(flat).splitlines()]
        lines = [json.dumps(dict(zip(head, row, strict=True)) | {"boxes": [1]}) for row in rows]
        for name, text in (
            ("metadata.csv", "\ufeff" + table(flat).replace(",", ";").replace("\n", "\r\n") + "\r\n\r\n"),
            ("metadata.tsv", table(flat).replace(",", "\t")),
            ("metadata.jsonl", "\n".join(lines)),
            ("calls.csv", table(flat, "filename,label,speaker")),
        ):
            with_table(flat, text, name)
            assert find("folder", flat) == plain, name
            (flat / name).unlink()

    def test_folders_of_a_table_are_groups_too(self, root: Path) -> None:
        """And the class without a column label, as Hugging Face has it."""
        names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.wav"))]
        by_folder = find("folder", root)
        with_table(root, "\n".join(["file_name,mood", *(f"{name},good" for name in names)]))
        listed = find("folder", root)
        assert [(r.id, r.label) for r in listed.recordings] == [(r.id, r.label) for r in by_folder.recordings]
        assert listed.group_names == ("folder1", "folder2", "mood")

    def test_what_a_table_leaves_open_is_told(self, flat: Path) -> None:
        """Missing files are bad; files that it does not name, and columns with gaps, are in the notes."""
        lines = table(flat).replace("0_s0_0.wav,a,s0", "0_s0_0.wav,a,").splitlines()
        with_table(flat, "\n".join([*lines[:-1], "gone.wav,a,s1"]))
        corpus = find("folder", flat)
        assert [str(p) for p in corpus.problems] == [f"{flat}/gone.wav: named by metadata.csv but missing"]
        assert find("folder", flat, ("b",)).problems == ()
        assert corpus.group_names == ()
        assert corpus.notes == (
            "metadata.csv: speaker is not in every row, so no group",
            "1 audio files are left out, as metadata.csv does not name them",
        )

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("file,label\nx.wav,a\n", "has no column file_name; it has file, label"),
            ("file_name,label\n", "has no column file_name; it has no rows"),
            ("file_name,label\nnone.wav,a\n", "none of its 1 files is there"),
            ("file_name,label\n../x.wav,a\n", "none of its 1 files is there"),
            ("file_name,label\n0_s0_0.wav,\n", "line 2 has no label"),
            ("file_name,family\n0_s0_0.wav,x\n", r"line 2 has no label \(it has family\)"),
            ("file_name,label\n,a\n0_s0_0.wav,a\n", "has 1 cells|line 2 names no file; fill in file_name"),
            ("file_name,label\n0_s0_0.wav,a,b\n", "line 2 has 3 cells and the header has 2; quote a cell"),
            ("file_name,label\n0_s0_0.wav,a\n./0_s0_0.wav,b\n", "lines 2 and 3 name '0_s0_0.wav'; keep one"),
            ("file_name,label,x,x\n0_s0_0.wav,a,1,2\n", "has two columns x; rename one"),
            ("file_name,label,recording\n0_s0_0.wav,a,1\n", "--split has its own recording; rename the column"),
            ("file_name,label,start_s,end_s\n0_s0_0.wav,a,0,1\n", r"excerpts \(start_s\) are not read; cut them"),
        ],
    )
    def test_a_table_that_cannot_be_used_is_refused(self, flat: Path, text: str, reason: str) -> None:
        """The message names the table, the line and the remedy."""
        with pytest.raises(CorpusError, match=f"^{flat}/metadata.csv: ({reason})"):
            find("folder", with_table(flat, text))

    def test_two_tables_are_refused(self, flat: Path) -> None:
        """Nothing says which is meant; a table of something else is no table of files."""
        with_table(flat, "species,weight\ncat,4\n", "weights.csv")
        for name in ("a.csv", "b.csv"):
            with_table(flat, table(flat), name)
        with pytest.raises(CorpusError, match=r"a.csv and b.csv are both tables of files; keep one, as metadata.csv"):
            find("folder", flat)

    def test_lines_that_are_no_objects_are_refused(self, flat: Path) -> None:
        """With the form that they must have."""
        with pytest.raises(CorpusError, match=r"metadata.jsonl: line 1 is not an object of JSON; write \{"):
            find("folder", with_table(flat, "0_s0_0.wav\n", "metadata.jsonl"))


class TestNames:
    """`--groups REGEX`."""

    def test_a_pattern_is_label_and_groups(self, flat: Path) -> None:
        """The part named label is the class."""
        corpus = find("folder", flat, (), DIGIT)
        assert (corpus.classes, corpus.group_names) == (("0", "1"), ("speaker",))
        assert prepared(flat, "speaker", DIGIT).split.name == "speaker"

    def test_a_pattern_goes_before_folders_and_columns(self, flat: Path) -> None:
        """Another label on the same files needs neither moving nor editing."""
        with_table(flat, table(flat))
        assert find("folder", flat, (), r".*_(?P<label>s\d)_").classes == ("s0", "s1", "s2")

    def test_another_name_is_a_bad_file(self, flat: Path, write_wav: WriteWav) -> None:
        """It is named; if none fits, the pattern is refused, with a name as it is."""
        write_wav(flat / "noise.wav")
        (problem,) = find("folder", flat, (), DIGIT).problems
        assert str(problem).endswith("/noise.wav: its name is not as --groups says; rename it")
        with pytest.raises(CorpusError, match=r"no file is named so; the first is '0_s0_0.wav'"):
            find("folder", flat, (), "(?P<label>x)")

    @pytest.mark.parametrize(
        ("groups", "reason"),
        [
            ("(?P<label>", "not a regular expression"),
            (r"\d_", "names no group"),
            (r"(?P<label>\d)(?P<recording>.)", "--split has its own recording"),
            ("(?P<label>x)" + "x" * 500, "at most 300 printable characters"),
            ("(?P<label>\n)", "printable characters"),
        ],
    )
    def test_an_impossible_pattern_is_refused(self, groups: str, reason: str, flat: Path) -> None:
        """With an example of one."""
        with pytest.raises(CorpusError, match=f"^groups=.*{reason}"):
            find("folder", flat, (), groups)

    def test_a_corpus_with_its_own_names_takes_none(self, tmp_path: Path) -> None:
        """Before the folder is read."""
        with pytest.raises(CorpusError, match="emodb reads its names itself; leave it out, or set corpus=folder"):
            prepare.check(Wanted("emodb", (), "recording", 1.0, DIGIT))


@pytest.mark.skipif(not CASE.is_file(), reason=f"the case is not here: {CASE}")
def test_the_layout_of_urbansound(tmp_path: Path) -> None:
    """Ten fold folders and a table elsewhere. As it is, it has no classes; the names tell them, or a table of this
    corpus; and the longest clip that every file has is shorter than the 4 s of most."""
    subprocess.run([sys.executable, str(CASE), str(tmp_path)], check=True, env={**os.environ})
    own, groups = tmp_path / "own", r"(?P<source>\d+)-(?P<label>\d+)-"
    with pytest.raises(CorpusError, match="no audio for class metadata; add recordings"):
        find("folder", own)
    by_name = find("folder", own, (), groups)
    assert Counter(r.label for r in by_name.recordings) == {"0": 20, "1": 20}
    assert (len({r.groups["folder2"] for r in by_name.recordings}), by_name.group_names) == (10, ("folder2", "source"))
    head, *rows = [line.split(",") for line in (own / "metadata" / "UrbanSound8K.csv").read_text().split()]
    lines = [dict(zip(head, row, strict=True)) for row in rows]
    names = [f"audio/fold{r['fold']}/{r['slice_file_name']},{r['class']},{r['fold']},{r['fsID']}" for r in lines]
    with_table(own, "\n".join(["file_name,label,fold,source", *names]))
    corpus = find("folder", own)
    assert (corpus.classes, corpus.group_names) == (("dog_bark", "siren"), ("fold", "folder2", "source"))
    assert set(prepared(own, "fold").split.roles.values()) == {"train", "validation", "test"}
    with pytest.raises(CorpusError, match=r"bad files in(.|\n)*shorter than one clip of 4 s"):
        prepare.prepare(Wanted("folder", (), "fold", 4.0), Source(own, tmp_path / "cache"))


@pytest.mark.data
@real
class TestReal:
    """The recordings of others, as they are."""

    def test_digits_by_speaker(self) -> None:
        """FSDD: 10 digits of 6 speakers, and no speaker in two roles."""
        corpus = find("folder", DATA / "fsdd", (), DIGIT)
        assert set(Counter(r.label for r in corpus.recordings).values()) == {300}
        assert {r.groups["speaker"] for r in corpus.recordings} == {
            "george", "jackson", "lucas", "nicolas", "theo", "yweweler",
        }  # fmt: skip
        assert len(find("folder", DATA / "fsdd", (), r"\d_(?P<label>\w+)_").classes) == 6

    def test_emotions(self) -> None:
        """EmoDB by the pattern of its names has the groups of its own corpus."""
        corpus = find("folder", DATA / "emodb", (), r"(?P<speaker>\d\d)(?P<sentence>...)(?P<label>.)")
        assert Counter(r.label for r in corpus.recordings) == {"W": 127, "N": 79, "F": 71, "T": 62}
        assert corpus.group_names == ("sentence", "speaker")

    def test_words(self) -> None:
        """Speech Commands: folders are words, the names tell the speaker."""
        corpus = find("folder", DATA / "speech_commands_mini" / "speech_commands_v0.01", (), r"(?P<speaker>\w+)_nohash")
        assert (len(corpus.classes), len(corpus.recordings), corpus.group_names) == (30, 300, ("speaker",))

    def test_notes(self) -> None:
        """Its own csv tells the groups; the family is also in the names."""
        corpus = find("folder", DATA / "notes", (), "(?P<label>[a-z]+)_")
        assert all(r.label == r.groups["family"] for r in corpus.recordings)
        assert corpus.group_names == ("family", "pitch", "program", "soundfont", "velocity")
        with pytest.raises(CorpusError, match=r"notes.csv: line 2 has no label \(it has family, "):
            find("folder", DATA / "notes")

    def test_animals(self) -> None:
        """Class folders; a csv about something else beside them is not the corpus's table."""
        corpus = find("folder", DATA / "animal-sounds")
        assert Counter(r.label for r in corpus.recordings) == {"chimpanze": 8, "background": 6}
