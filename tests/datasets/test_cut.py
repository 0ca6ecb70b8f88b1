"""Recordings that are shorter than a clip, clips that overlap, and files that are silent on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from datasets.check import main
from datasets.engine import cache, prepare
from datasets.engine.clips import Clips, Cut, open_clips
from datasets.engine.corpus import Corpus, CorpusError, Recording
from datasets.engine.decoding.audio import decode, resample, to_int16
from datasets.engine.prepare import Source, Wanted
from datasets.engine.scan import remembered, scan

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")


@pytest.fixture
def unequal(tmp_path: Path, write_wav: WriteWav) -> Corpus:
    """Recordings of 0.3, 1 and 1.2 s."""
    lengths = {"a": 0.3, "b": 1.0, "c": 1.2}
    paths = {name: write_wav(tmp_path / f"{name}.wav", s, seed=ord(name)) for name, s in lengths.items()}
    recordings = tuple(Recording(name, path, "Tug") for name, path in paths.items())
    return Corpus("deepship", tmp_path, ("Tug",), recordings)


@pytest.fixture
def classes(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Six calls of 0.2 s, and six stretches of forest of 1 s."""
    for number in range(6):
        write_wav(tmp_path / "data" / "call" / f"{number}.wav", 0.2, seed=number)
        write_wav(tmp_path / "data" / "forest" / f"{number}.wav", 1.0, seed=10 + number)
    return tmp_path / "data"


def clips_of(corpus: Corpus, cut: Cut, rate_hz: int, cache_dir: Path) -> Clips:
    """The clips at one rate."""
    return open_clips(cache.build(scan(corpus, cut, cache_dir), [rate_hz], cut, cache_dir)[rate_hz])


def whole(corpus: Corpus, number: int, rate_hz: int) -> np.ndarray:
    """A recording of the corpus at a rate."""
    wave, facts = decode(corpus.recordings[number].path)
    return to_int16(resample(wave, facts.rate_hz, rate_hz))


@pytest.mark.parametrize("rate_hz", [2_000, 8_000])
def test_zeros_fill_up_a_short_recording(unequal: Corpus, rate_hz: int, tmp_path: Path) -> None:
    """At its end; its own length stands beside the clip, and the remainder of a longer one is dropped."""
    clips = clips_of(unequal, Cut(1.0, "pad"), rate_hz, tmp_path)
    own = round(0.3 * rate_hz)
    assert clips.recording.tolist() == ["a", "b", "c"]
    assert clips.lengths.tolist() == [own, rate_hz, rate_hz]
    assert np.array_equal(clips.wave[0, :own], whole(unequal, 0, rate_hz))
    assert not clips.wave[0, own:].any()
    assert np.array_equal(clips.wave[2], whole(unequal, 2, rate_hz)[:rate_hz])


def test_a_short_recording_is_repeated(unequal: Corpus, tmp_path: Path) -> None:
    """From its start, until the clip is full."""
    clips = clips_of(unequal, Cut(1.0, "repeat"), 8_000, tmp_path)
    sound = whole(unequal, 0, 8_000)
    assert np.array_equal(clips.wave[0], np.concatenate([sound] * 4)[:8_000])
    assert clips.lengths.tolist() == [2_400, 8_000, 8_000]


@pytest.mark.parametrize(("overlap", "starts"), [(0.5, [0, 2_000, 4_000]), (0.75, [0, 1_000, 2_000, 3_000, 4_000])])
def test_clips_overlap(unequal: Corpus, overlap: float, starts: list[int], tmp_path: Path) -> None:
    """A recording of 1 s gives clips of 0.5 s that begin every (1 - overlap) of a clip, while they fit."""
    clips = clips_of(unequal, Cut(0.5, "pad", overlap), 8_000, tmp_path)
    sound, of_b = whole(unequal, 1, 8_000), clips.wave[clips.recording == "b"]
    assert np.array_equal(of_b, [sound[start : start + 4_000] for start in starts])
    assert clips.number[clips.recording == "b"].tolist() == list(range(len(starts)))


@pytest.mark.parametrize("overlap", [0.0, 0.1, 1 / 3, 0.5, 0.9])
def test_the_number_of_clips_is_that_which_fits(overlap: float) -> None:
    """Counted clip by clip, for recordings around the lengths at which another clip fits."""
    cut = Cut(0.5, "refuse", overlap)
    for num in range(1, 9):
        seconds = 0.5 + (num - 1) * cut.hop_s
        frames = round(seconds * 44_100)
        assert [cut.number(frames + more, 44_100) for more in (-2, 2)] == [num - 1, num]
    assert Cut(0.5, "pad", overlap).number(1, 44_100) == 1


def test_each_cut_is_an_entry_of_its_own(unequal: Corpus, tmp_path: Path) -> None:
    """All of it is part of the name; a number is the plain cut of that length."""
    scanned = scan(unequal, Cut(0.3, "pad"), tmp_path)
    cuts = [0.3, Cut(0.25), Cut(0.3, "pad"), Cut(0.3, "repeat"), Cut(0.3, "refuse", 0.5)]
    assert len({cache.entry(scanned, 8_000, cut, tmp_path) for cut in cuts}) == 5
    assert cache.entry(scanned, 8_000, 0.3, tmp_path) == cache.entry(scanned, 8_000, Cut(0.3), tmp_path)


def test_short_recordings_are_refused_without_it(unequal: Corpus, tmp_path: Path) -> None:
    """As before; the message says what could be done. With it, the facts that are remembered suffice."""
    with pytest.raises(CorpusError, match=r"a.wav: 0.30 s long, shorter than one clip of 1 s\n.*set short=pad.*drop$"):
        scan(unequal, 1.0, tmp_path)
    scanned = scan(unequal, Cut(1.0, "pad"), tmp_path)
    assert remembered(unequal, Cut(1.0, "pad"), tmp_path) == scanned
    assert remembered(unequal, 1.0, tmp_path) is None


@pytest.mark.parametrize(("short", "what"), [("pad", "zeros"), ("repeat", "repeated")])
def test_a_class_that_is_mostly_filled_up_is_noted(classes: Path, tmp_path: Path, short: Any, what: str) -> None:
    """And used: four fifths of its clips are not its own, which a network may learn instead."""
    source, wanted = Source(classes, tmp_path / "cache"), Wanted("folder", (), "recording", 1.0, short=short)
    prepared = prepare.prepare(wanted, source)
    (note,) = prepared.notes
    assert note.startswith(f"class call: 80 % of its clips is {what} (short={short}), which may give it away")
    assert prepared.counts == {"train": (8, 8), "validation": (2, 2), "test": (2, 2)}
    assert prepare.prepare(Wanted("folder", (), "recording", 0.2, short=short), source).notes == ()


class TestSilence:
    """Files without sound."""

    @pytest.fixture
    def silent(self, classes: Path) -> Path:
        """The folder with a class of silence, of different lengths, so that no two files are the same."""
        (classes / "silence").mkdir()
        for number in range(6):
            soundfile.write(classes / "silence" / f"{number}.wav", np.zeros(8_000 + number), 8_000)
        return classes

    def test_it_is_bad_unless_it_is_allowed(self, silent: Path, tmp_path: Path) -> None:
        """The message names the flag; what was allowed once is bad again without it, from memory too."""
        allowed, not_allowed = (Source(silent, tmp_path / "cache", silence=way) for way in ("allow", "refuse"))
        wanted = Wanted("folder", (), "recording", 0.2)
        with pytest.raises(CorpusError, match=r"6 bad files(.|\n)*silent: every sample is 0\n.*\(--silence allow\)"):
            prepare.prepare(wanted, not_allowed)
        prepared = prepare.prepare(wanted, allowed)
        assert "6 files are silent, which --silence allow lets in" in prepared.notes
        assert prepare.remembered(wanted, allowed) == prepared
        assert prepare.remembered(wanted, not_allowed) is None
        with pytest.raises(CorpusError, match="6 bad files"):
            prepare.prepare(wanted, not_allowed)

    def test_its_clips_are_zeros(self, silent: Path, tmp_path: Path) -> None:
        """As they are in the files."""
        source, wanted = Source(silent, tmp_path / "cache", silence="allow"), Wanted("folder", (), "recording", 0.2)
        prepared = prepare.prepare(wanted, source)
        (folder,) = prepare.clips(prepared, [8_000], wanted.cut, source).values()
        clips = open_clips(folder, prepared.scan.corpus)
        of_silence = clips.label == clips.classes.index("silence")
        assert of_silence.sum() == 30
        assert not clips.wave[of_silence].any()
        assert clips.wave[~of_silence].any(axis=1).all()


def page_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The page of a folder, its lines joined."""
    main(["folder", *words])
    return " ".join(capsys.readouterr().out.split())


def test_the_page_says_what_is_filled_up(classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And has the words of a study."""
    page = page_of(capsys, "--data-root", str(classes), "--clip-s", "1", "--short", "pad", "--overlap", "0.5")
    assert "clips 12 of 1 s (as asked; 6 filled up by short=pad)" in page
    assert "class call: 80 % of its clips is zeros (short=pad)" in page
    assert "--set clip_s=1 --set short=pad --set overlap=0.5 --split recording" in page
    page = page_of(capsys, "--data-root", str(classes), "--clip-s", "1")
    assert "6 files (call/0, call/1, call/2, call/3, call/4, call/5) are shorter than a clip of 1 s" in page


@pytest.mark.data
@pytest.mark.slow
@real
def test_all_400_real_clips_of_esc10_are_used(tmp_path: Path) -> None:
    """Ten are a little shorter than 5 s, and were bad."""
    source, wanted = Source(DATA / "esc10", tmp_path), Wanted("esc50", (), "published", 5.0, short="pad")
    prepared = prepare.prepare(wanted, source)
    assert {role: clips for role, (_, clips) in prepared.counts.items()} == {"train": 240, "validation": 80, "test": 80}
    (folder,) = prepare.clips(prepared, [8_000], wanted.cut, source).values()
    clips = open_clips(folder)
    short = np.flatnonzero(clips.lengths < 40_000)
    assert len(short) == 10
    assert all(not clips.wave[n, clips.lengths[n] :].any() for n in short)
    with pytest.raises(CorpusError, match="10 bad files"):
        prepare.prepare(Wanted("esc50", (), "published", 5.0), source)
