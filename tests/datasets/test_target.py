"""Another group as the label: the same recordings, the same clips, other classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.check import main
from datasets.engine import cache, prepare
from datasets.engine.clips import open_clips
from datasets.engine.corpus import CorpusError, find
from datasets.engine.prepare import Source, Wanted

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = r"(?P<label>\d)_(?P<speaker>s\d)_(?P<take>\w)"
DIGITS = r"(?P<label>\d)_(?P<speaker>\w+)_"


@pytest.fixture
def flat(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Two digits, three speakers, six takes of each: DIGIT_SPEAKER_TAKE.wav."""
    for number in range(36):
        name = f"{number % 2}_s{number // 2 % 3}_{number // 6}.wav"
        write_wav(tmp_path / "flat" / name, seconds=0.25, seed=number)
    return tmp_path / "flat"


def test_a_group_becomes_the_label(flat: Path) -> None:
    """And the label a group, by which can be split; the recordings are the same."""
    by_digit, by_speaker = find("folder", flat, (), NAMES), find("folder", flat, (), NAMES, "speaker")
    assert by_speaker.classes == ("s0", "s1", "s2")
    assert [(r.id, r.path) for r in by_speaker.recordings] == [(r.id, r.path) for r in by_digit.recordings]
    assert all(r.label == r.groups["speaker"] for r in by_speaker.recordings)
    assert [r.groups["label"] for r in by_speaker.recordings] == [r.label for r in by_digit.recordings]
    assert by_speaker.group_names == ("label", "speaker", "take")


def test_classes_are_chosen_among_its_values(flat: Path) -> None:
    """Not among the corpus's own labels."""
    assert {r.label for r in find("folder", flat, ("s1", "s2"), NAMES, "speaker").recordings} == {"s1", "s2"}
    with pytest.raises(CorpusError, match=r"there is no class 0; there are s0, s1, s2"):
        find("folder", flat, ("0", "s1"), NAMES, "speaker")


def test_what_has_no_such_group_is_bad(flat: Path) -> None:
    """A file without a take cannot be labelled by it; a group that no file has is refused, with those that exist."""
    (flat / "0_s0_0.wav").rename(flat / "0_s0_.wav")
    pattern = r"(?P<label>\d)_(?P<speaker>s\d)_(?P<take>\w)?"
    (problem,) = find("folder", flat, (), pattern, "take").problems
    assert str(problem) == f"{flat}/0_s0_.wav: has no take, the target; name it for every file"
    with pytest.raises(CorpusError, match=r"target='speakr': folder has no .* choose speaker, take, or leave it out"):
        find("folder", flat, (), pattern, "speakr")


def test_a_table_needs_no_label_where_a_column_is_the_target(flat: Path) -> None:
    """Without a target, the message names the flag."""
    rows = "".join(f"{path.name},{path.name[2:4]}\n" for path in sorted(flat.iterdir()))
    (flat / "notes.csv").write_text(f"filename,speaker\n{rows}")
    with pytest.raises(CorpusError, match=r"has no label .it has speaker.; .* or --target COLUMN"):
        find("folder", flat)
    corpus = find("folder", flat, target="speaker")
    assert (corpus.classes, len(corpus.recordings), corpus.problems) == (("s0", "s1", "s2"), 36, ())
    assert corpus.group_names == ("speaker",)


def test_a_relabelled_folder_resamples_nothing(flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry of the cache is the same and stays as it is; only the labels of its clips are others."""
    source, opened = Source(flat, tmp_path / "cache"), {}
    for target, split in (("", "speaker"), ("speaker", "take")):
        prepared = prepare.prepare(Wanted("folder", (), split, 0.25, NAMES, target), source)
        (folder,) = prepare.clips(prepared, [4_000], 0.25, source).values()
        opened[target] = (folder, (folder / "clips.npy").stat(), open_clips(folder, prepared.scan.corpus))
        monkeypatch.setattr(cache, "decode", None)  # it was needed once
    (folder, stat, by_digit), (again, stat_again, by_speaker) = opened.values()
    assert (folder, stat) == (again, stat_again)
    assert (by_digit.classes, by_speaker.classes) == (("0", "1"), ("s0", "s1", "s2"))
    assert np.array_equal(by_digit.label, [int(name[0]) for name in by_digit.recording])
    assert np.array_equal(by_speaker.label, [int(name[3]) for name in by_speaker.recording])


def test_labels_are_part_of_the_data(flat: Path, tmp_path: Path) -> None:
    """A result on other labels is another result."""
    source = Source(flat, tmp_path / "cache")
    digits, speakers = (Wanted("folder", (), "take", 0.25, NAMES, target) for target in ("", "speaker"))
    assert prepare.prepare(digits, source).scan.sha256 != prepare.prepare(speakers, source).scan.sha256
    assert prepare.remembered(speakers, source) == prepare.prepare(speakers, source)


def test_a_wrong_target_is_refused_before_a_folder_is_named() -> None:
    """If the corpus states its groups; its own classes are then not those that can be chosen."""
    with pytest.raises(CorpusError, match=r"target='vesel': .* choose day, vessel, or .*; did you mean vessel"):
        prepare.check(Wanted("deepship", (), "day", 1.0, target="vesel"))
    with pytest.raises(CorpusError, match=r"split='labl': .* did you mean label"):
        prepare.check(Wanted("deepship", (), "labl", 1.0, target="vessel"))
    with pytest.raises(CorpusError, match=r"split=vessel: is the target, .* split by another group"):
        prepare.check(Wanted("deepship", (), "vessel", 1.0, target="vessel"))
    prepare.check(Wanted("deepship", ("ALDEBARAN", "ATLAS"), "label", 1.0, target="vessel"))


def test_the_page_of_a_folder_has_the_target(flat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the class, as a split that cannot be, and in the words of a study."""
    assert main(["folder", "--data-root", str(flat), "--groups", NAMES, "--target", "speaker"]) == 0
    page = capsys.readouterr().out
    assert "files      36 of 3 classes" in page
    assert "not speaker        it is the class, so each role would lack classes" in page
    assert "--target speaker --set clip_s=0.25 --split" in page


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")
def test_real_digits_are_relabelled_by_speaker(tmp_path: Path) -> None:
    """3,000 recordings by digit, split by speaker; then by speaker, split by digit, from the same clips."""
    source, entries = Source(DATA / "fsdd", tmp_path), []
    for target, split in (("", "speaker"), ("speaker", "label")):
        prepared = prepare.prepare(Wanted("folder", (), split, 0.14, DIGITS, target), source)
        (folder,) = prepare.clips(prepared, [8_000], 0.14, source).values()
        clips = open_clips(folder, prepared.scan.corpus)
        entries.append((folder, (folder / "clips.npy").stat(), len(clips.classes)))
    assert entries[0][:2] == entries[1][:2]
    assert (entries[0][2], entries[1][2]) == (10, 6)
