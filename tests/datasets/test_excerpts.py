"""Excerpts of recordings: tables with times, Raven's selection tables and Audacity's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from datasets.check import main
from datasets.engine import manifest, prepare
from datasets.engine.clips import open_clips
from datasets.engine.corpus import CorpusError, find
from datasets.engine.decoding.audio import decode, to_int16
from datasets.engine.prepare import Source, Wanted
from datasets.engine.scan import scan

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HEAD = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
NUM_DAYS = 6


@pytest.fixture
def days(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Recordings of six days, ten seconds each, in the folder of their station."""
    for day in range(NUM_DAYS):
        write_wav(tmp_path / "calls" / f"station{day % 2}" / f"day{day}.wav", seconds=10, seed=day)
    return tmp_path / "calls"


def station(root: Path, day: int) -> Path:
    """The folder of a day."""
    return root / f"station{day % 2}"


def raven(path: Path, rows: Sequence[Sequence[object]], further: Sequence[str] = ("Annotation",)) -> None:
    """Writes a selection table as Raven does: each selection in two views."""
    lines = ["\t".join([*HEAD, *further])]
    for number, (start, end, *more) in enumerate(rows, 1):
        for view in ("Waveform 1", "Spectrogram 1"):
            lines.append("\t".join(map(str, (number, view, 1, start, end, 500, 2000.5, *more))))
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")


def annotated(root: Path) -> Path:
    """The folder with a selection table for each day: two songs of half a second, and a call of a quarter."""
    for day in range(NUM_DAYS):
        rows = [(1.0, 1.5, "song"), (3.25, 3.75, "song"), (6.123456, 6.373456, "call")]
        raven(station(root, day) / f"day{day}.Table.1.selections.txt", rows)
    return root


def prepared(root: Path, **fields: object) -> prepare.Prepared:
    """The excerpts, in clips of a quarter of a second."""
    wanted = Wanted("folder", (), "recording", 0.25)
    source = Source(root, root.parent / "cache", on_bad="drop" if fields.get("drop") else "refuse")
    return prepare.prepare(wanted, source)


class TestRaven:
    """Selection tables."""

    def test_each_selection_is_a_recording(self, days: Path) -> None:
        """Once, though two views have it; with its times in its id, and the folders of its file as groups."""
        corpus = find("folder", annotated(days))
        assert corpus.classes == ("call", "song")
        assert [r.id for r in corpus.recordings[:3]] == [
            "station0/day0@1-1.5", "station0/day0@3.25-3.75", "station0/day0@6.123456-6.373456",
        ]  # fmt: skip
        first = corpus.recordings[0]
        assert (first.label, first.file, first.start_s, first.end_s) == ("song", "station0/day0", 1.0, 1.5)
        assert first.groups == {"folder1": "station0"}
        assert len(corpus.recordings) == 3 * NUM_DAYS

    def test_excerpts_of_a_file_share_a_role(self, days: Path) -> None:
        """A split by recording divides no file, and every role has both classes."""
        data = prepared(annotated(days))
        roles: dict[str, set[str]] = {}
        for recording in data.scan.corpus.recordings:
            roles.setdefault(recording.file, set()).add(data.split.roles[recording.id])
        assert len(roles) == NUM_DAYS
        assert all(len(of_file) == 1 for of_file in roles.values())
        assert {role for of_file in roles.values() for role in of_file} == {"train", "validation", "test"}

    def test_clips_are_cut_out_of_the_file(self, days: Path) -> None:
        """Two of each song and one of a call, at their times; the scan that a node reads has them too."""
        data, source = prepared(annotated(days)), Source(days, days.parent / "cache")
        (folder,) = prepare.clips(data, [8_000], 0.25, source).values()
        stored = manifest.read(manifest.write(data.scan, days.parent / "scans"))
        assert stored == data.scan
        clips = open_clips(folder, stored.corpus)
        whole = to_int16(decode(days / "station0" / "day0.wav")[0])
        of_day = clips.wave[np.char.startswith(clips.recording, "station0/day0@")]
        starts = [8_000, 10_000, 26_000, 28_000, 48_988]
        assert np.array_equal(of_day, [whole[start : start + 2_000] for start in starts])
        assert len(clips.wave) == 5 * NUM_DAYS

    def test_an_excerpt_beyond_the_end_is_a_bad_row(self, days: Path) -> None:
        """With its line; a few milliseconds are rounding. The others are used if it may be dropped."""
        table = station(annotated(days), 3) / "day3.Table.1.selections.txt"
        raven(table, [(9.5, 10.004, "song"), (9.0, 10.5, "call"), (1, 2, "call")])
        with pytest.raises(CorpusError, match=rf"{table}: line 4: its excerpt ends at 10.5 s, and day3.wav at 10.00 s"):
            prepared(days)
        assert "station1/day3@9.5-10.004" in prepared(days, drop=True).scan.facts

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ((2.0, 1.0, "song"), "line 2: its excerpt ends at 1 s, and begins at 2 s"),
            (("x", 1.0, "song"), "line 2: 'x' is not a time; write seconds"),
            ((-1, 1.0, "song"), "line 2: '-1' is not a time"),
            ((1.0, 2.0, ""), "line 2: has no label; fill it in"),
        ],
    )
    def test_a_row_that_cannot_be_is_bad(self, days: Path, row: tuple[object, ...], reason: str) -> None:
        """The others are read."""
        raven(station(annotated(days), 2) / "day2.Table.1.selections.txt", [row, (1, 2, "song")])
        (problem,) = find("folder", days).problems
        assert reason in str(problem)

    def test_one_table_may_be_of_several_files(self, days: Path) -> None:
        """They stand in Begin File or Begin Path; times are then those of File Offset. Other columns are groups."""
        rows: list[tuple[object, ...]] = [
            (10 * day + 2, 10 * day + 3, f"C:\\x\\day{day}.wav", 2, f"bird{day}", "song") for day in range(NUM_DAYS)
        ]
        further = ("Begin Path", "File Offset (s)", "Individual", "Species")
        raven(days / "all.txt", [*rows, (0, 1, "gone.wav", 0, "bird9", "song")], further)
        corpus = find("folder", days, ("song",))
        assert [r.id for r in corpus.recordings][:2] == ["station0/day0@2-3", "station0/day2@2-3"]
        assert corpus.recordings[1].groups == {"Individual": "bird2", "folder1": "station0"}
        assert str(corpus.problems[0]).endswith("line 14: there is no gone.wav; put it into the folder")

    def test_the_only_further_column_is_the_label(self, days: Path) -> None:
        """Two are one too many, unless one has a name that says it."""
        table = days / "station0" / "day0.txt"
        raven(table, [(1, 2, "a"), (2, 3, "b")], ("Call type",))
        assert find("folder", days).classes == ("a", "b")
        raven(table, [(1, 2, "a", "x"), (2, 3, "b", "x")], ("Call type", "Observer"))
        with pytest.raises(CorpusError, match=r"no column is the label \(it has Call type, Observer\); name it Annot"):
            find("folder", days)
        raven(table, [(1, 2, "a", "x"), (2, 3, "b", "x")], ("SPECIES", "Observer"))
        assert find("folder", days).classes == ("a", "b")


class TestAudacity:
    """Labels: start, end and text between tabs."""

    def test_labels_beside_the_audio_are_read(self, days: Path) -> None:
        """Lines with frequencies are passed over; a point has no length."""
        text = "1.000000\t1.500000\tsong\n\\\t500.0\t2000.0\n3,25\t3,5\tcall note\n4.0\t4.0\tpoint\n"
        (days / "station0" / "day0.txt").write_text(text)
        corpus = find("folder", days)
        assert [(r.id, r.label) for r in corpus.recordings] == [
            ("station0/day0@1-1.5", "song"), ("station0/day0@3.25-3.5", "call note"),
        ]  # fmt: skip
        assert str(corpus.problems[0]).endswith(
            "day0.txt: line 4: its excerpt ends at 4 s, and begins at 4 s; correct the times"
        )
        assert corpus.notes == (
            "excerpts by 1 annotation tables",
            "5 audio files are left out, as no annotation is of them",
        )

    def test_other_texts_are_passed_over(self, days: Path) -> None:
        """A text of something else, and one whose name is no audio's; the folders are then the classes."""
        (days / "station0" / "day0.txt").write_text("rain all day\n")
        (days / "README.txt").write_text("1\t2\tnothing\n")
        assert find("folder", days).classes == ("station0", "station1")


class TestTables:
    """`metadata.csv` with start_s and end_s."""

    def test_rows_are_excerpts(self, days: Path) -> None:
        """Several of a file; a row without times is the whole file, and further columns are groups."""
        rows = [f"station{d % 2}/day{d}.wav,{t},{t + 1},{'ab'[t % 2]},{d}" for d in range(5) for t in (1, 2)]
        text = "\n".join(["file_name,start_s,end_s,label,bird", *rows, "station1/day5.wav,,,a,5"])
        (days / "metadata.csv").write_text(text)
        corpus = find("folder", days)
        assert [r.id for r in corpus.recordings][-1] == "station1/day5"
        assert corpus.recordings[-1].end_s is None
        assert [r.id for r in corpus.recordings][:2] == ["station0/day0@1-2", "station0/day0@2-3"]
        assert corpus.group_names == ("bird", "folder1")
        assert prepared(days).counts["train"][0] > 0

    def test_the_same_excerpt_twice_is_bad(self, days: Path) -> None:
        """However its times are written; a clip has one label."""
        rows = ["station0/day0.wav,1,2,a", "station0/day0.wav,1.0,2.00,b", "station1/day1.wav,1,2,b"]
        (days / "metadata.csv").write_text("\n".join(["file_name,start_s,end_s,label", *rows]))
        (problem,) = find("folder", days).problems
        assert str(problem).endswith("metadata.csv: line 3: is the excerpt of line 2 of metadata.csv again; keep one")

    def test_overlapping_excerpts_of_two_classes_are_noted(self, days: Path) -> None:
        """They are used; of one class they need no note."""
        rows = ["1,3,a", "2,4,b", "5,6,a", "5.5,7,a"]
        lines = ["file_name,start_s,end_s,label", *(f"station0/day0.wav,{row}" for row in rows)]
        (days / "metadata.csv").write_text("\n".join(lines))
        assert find("folder", days).notes[-1] == (
            "1 excerpts overlap with one of another class; both are used, each with its label"
        )
        assert len(find("folder", days).recordings) == 4


def test_short_excerpts_follow_short(days: Path, tmp_path: Path) -> None:
    """They are bad, with their start, or filled up."""
    corpus = find("folder", annotated(days))
    with pytest.raises(CorpusError, match=r"day0.wav: its excerpt at 6.12346 s is 0.25 s long, shorter than one clip"):
        scan(corpus, 0.5, tmp_path / "cache")
    wanted = Wanted("folder", (), "recording", 0.5, short="repeat")
    source = Source(days, tmp_path / "cache")
    data = prepare.prepare(wanted, source)
    (folder,) = prepare.clips(data, [8_000], wanted.cut, source).values()
    assert sorted(set(open_clips(folder).lengths)) == [2_000, 4_000]


def test_the_page_of_excerpts(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It counts them, and takes no two excerpts of a file for copies."""
    assert main(["folder", "--data-root", str(annotated(days))]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "excerpts 18 of 6 files" in page
    assert "the same audio" not in page
    assert "--split recording train" in page


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")
def test_calls_are_cut_out_of_real_forest(tmp_path: Path) -> None:
    """A table of Raven's beside real recordings: two stretches of each."""
    for path in sorted((DATA / "animal-sounds" / "background").glob("*.wav")):
        (tmp_path / "forest").mkdir(exist_ok=True)
        (tmp_path / "forest" / path.name).symlink_to(path)
        raven(tmp_path / "forest" / f"{path.stem}.selections.txt", [(0.5, 1.5, "early"), (2.0, 3.0, "late")])
    data = prepare.prepare(Wanted("folder", (), "recording", 1.0), Source(tmp_path / "forest", tmp_path / "cache"))
    assert sum(files for files, _ in data.counts.values()) == 12
