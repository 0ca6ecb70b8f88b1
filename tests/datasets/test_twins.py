"""The same sound is recognised in other bytes, and refused in two roles or with two labels; other sounds are not."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.mutants import WAYS, Copy, mixture, write
from datasets.check import main as check
from datasets.engine import prepare, splits
from datasets.engine.corpus import Corpus, CorpusError, Recording, audio_files
from datasets.engine.decoding import audio
from datasets.engine.decoding.audio import decode
from datasets.engine.prepare import Source, Wanted
from datasets.engine.scan import INDEX, remembered, scan
from datasets.engine.splits import ROLES, Split
from datasets.engine.twins import finding, shelf
from datasets.engine.twins.finding import Twin, compare
from datasets.engine.twins.landmarks import Landmarks, landmarks

RATE_HZ, SECONDS = 22_050, 4.0


def sound(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Noise of a random colour that swells and fades at random, (samples, 1)."""
    rng = np.random.default_rng(seed)
    num = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(num))
    colour = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, 12), rng.uniform(-2, 0, 12))
    level = np.interp(np.arange(num), np.linspace(0, num, round(8 * seconds)), rng.uniform(-0.6, 0, round(8 * seconds)))
    wave = np.fft.irfft(spectrum * 10**colour, num) * 10**level
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)[:, None]


def compared(*paths: Path) -> tuple[Twin, ...]:
    """The twins among some files, by their paths."""
    files = {str(path): path for path in paths}
    return compare({name: landmarks(w, f.rate_hz) for name, (w, f) in _decoded(files).items()}, files)


def _decoded(files: dict[str, Path]) -> dict[str, tuple[audio.Wave, audio.AudioFacts]]:
    return {name: decode(path) for name, path in files.items()}


def original(folder: Path, seed: int = 0) -> tuple[Path, Copy]:
    """A recording on the disk, and ready to be copied."""
    copy = Copy(sound(seed), RATE_HZ, sound(seed + 1_000))
    return write(copy, folder, f"original{seed}"), copy


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ten_ways_to_copy_a_recording_are_found(way: Callable[[Copy], Copy], tmp_path: Path) -> None:
    """The words say how it matches; a header or a second channel changes no sample."""
    path, copy = original(tmp_path)
    (twin,) = compared(path, write(way(copy), tmp_path, "copy"))
    name = way.__name__
    if name in ("header", "stereo"):
        assert twin.how == "the same samples"
    elif name in ("shifted", "overlapping"):
        shift_s = {"shifted": 1.0, "overlapping": SECONDS / 2}[name]
        assert twin.how == f"the same sound, shifted by {shift_s:.2f} s"
        assert twin.lag_s == pytest.approx(-shift_s, abs=1e-3)
    else:
        assert twin.how == "the same sound, stored in another way"


@pytest.mark.slow
def test_mixtures_of_ways_are_found(tmp_path: Path) -> None:
    """Forty random mixtures of one to four ways, each of another recording; two may be missed, of halves in Ogg."""
    rng, missed = np.random.default_rng(7), []
    for seed in range(40):
        path, copy = original(tmp_path, seed)
        mixed, ways = mixture(copy, rng)
        if not compared(path, write(mixed, tmp_path, f"copy{seed}")):
            missed.append(ways)
    assert len(missed) <= 2
    assert all("overlapping" in ways for ways in missed)


def test_different_recordings_are_not_accused(tmp_path: Path) -> None:
    """Noises of one colour, clicks, tones of one pitch with different noise, and short noises."""
    rng, places = np.random.default_rng(3), []
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    for number in range(6):
        noise, hiss, short = 0.1 * rng.standard_normal((3, 2 * RATE_HZ))
        click = 1e-4 * rng.standard_normal(2 * RATE_HZ)
        click[rng.integers(RATE_HZ)] = 0.5
        tone = 0.3 * np.sin(2 * np.pi * 440 * time_s + rng.uniform(0, 6)) + hiss / 100
        for name, wave in (("noise", noise), ("click", click), ("tone", tone), ("short", short[:4_000])):
            places.append(tmp_path / f"{name}{number}.wav")
            soundfile.write(places[-1], wave, RATE_HZ, subtype="PCM_16")
    assert compared(*places) == ()


def test_digital_silence_is_no_sound_in_common(tmp_path: Path) -> None:
    """Files that are mostly zeros share nothing by that."""
    for number in range(3):
        wave = np.concatenate([np.zeros((RATE_HZ, 1)), sound(number, 1.0), np.zeros((RATE_HZ, 1))])
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE_HZ, subtype="PCM_16")
    assert compared(*tmp_path.glob("*.wav")) == ()


def test_landmarks_are_stored_as_they_are() -> None:
    """Bytes and back."""
    made = landmarks(sound(0)[:, 0], RATE_HZ)
    again = Landmarks.from_bytes(made.to_bytes())
    assert len(made.times) > 10
    assert again.digest == made.digest
    assert (again.times.tolist(), again.codes.tolist()) == (made.times.tolist(), made.codes.tolist())


def corpus_of(folder: Path, labels: dict[str, str]) -> Corpus:
    """The corpus of the files of a folder, with a label for each stem."""
    paths = audio_files(folder)
    recordings = [Recording(p.stem, p, labels[p.stem], {"vessel": p.stem[0]}) for p in paths]
    return Corpus("folder", folder, tuple(sorted({r.label for r in recordings})), tuple(recordings))


@pytest.fixture
def twins(tmp_path: Path) -> Corpus:
    """Recordings a to f; a2 is a copy of a, one second later and in FLAC."""
    for number, name in enumerate("abcdef"):
        write(Copy(sound(number), RATE_HZ, sound(99)), tmp_path / "data", name)
    write(Copy(sound(0)[RATE_HZ:], RATE_HZ, sound(99), ".flac", "PCM_24"), tmp_path / "data", "a2")
    return corpus_of(
        tmp_path / "data", {name: "even" if name in ("a", "a2", "c", "e") else "odd" for name in [*"abcdef", "a2"]}
    )


ROLE_OF = {"a": "train", "c": "validation", "e": "test", "b": "train", "d": "validation", "f": "test"}


def test_two_roles_are_refused(twins: Corpus, tmp_path: Path) -> None:
    """Both are named with their roles, the way they match, and the remedy."""
    scanned = scan(twins, 1.0, tmp_path / "cache")
    hashes = {i: f.sha256 for i, f in scanned.facts.items()}
    with pytest.raises(CorpusError) as error:
        splits.check(Split("recording", {**ROLE_OF, "a2": "test"}), twins, hashes, scanned.twins)
    assert str(error.value) == (
        "the same audio is in two roles; remove one of each pair, or give both one group and split by that:\n"
        "  a (train), a2 (test): the same sound, shifted by 1.00 s"
    )
    together = Split("recording", {**ROLE_OF, "a2": "train"})
    splits.check(together, twins, hashes, scanned.twins)
    assert splits.twin_notes(together, twins, hashes, scanned.twins) == (
        "1 pair has the same audio within one role: a (train) and a2 (train): the same sound, shifted by 1.00 s",
    )


def test_two_labels_are_refused(twins: Corpus, tmp_path: Path) -> None:
    """Even in one role."""
    spoilt = tuple(dataclasses.replace(r, label="odd") if r.id == "a2" else r for r in twins.recordings)
    spoilt_corpus = dataclasses.replace(twins, recordings=spoilt)
    scanned = scan(spoilt_corpus, 1.0, tmp_path / "cache")
    hashes = {i: f.sha256 for i, f in scanned.facts.items()}
    split = Split("recording", {**ROLE_OF, "a2": "train"})
    with pytest.raises(
        CorpusError, match=r"two labels; keep one of each:\n  a and a2: the same sound, shifted by 1.00"
    ):
        splits.check(split, spoilt_corpus, hashes, scanned.twins)


def test_an_authors_split_is_noted_and_not_refused(twins: Corpus, tmp_path: Path) -> None:
    """Its numbers are to be compared; the note says which role each is in."""
    scanned = scan(dataclasses.replace(twins, name="esc50"), 1.0, tmp_path / "cache")
    hashes = {i: f.sha256 for i, f in scanned.facts.items()}
    split = Split("published", {**ROLE_OF, "a2": "test"})
    splits.check(split, scanned.corpus, hashes, scanned.twins)
    (note,) = splits.twin_notes(split, scanned.corpus, hashes, scanned.twins)
    assert note.startswith("1 pair has the same audio in two roles of the authors' own split: a (train) and a2 (test)")
    with pytest.raises(CorpusError, match="same audio is in two roles"):  # a user's own list
        splits.check(split, twins, hashes, scanned.twins)


def test_excerpts_that_do_not_overlap_may_have_two_roles(twins: Corpus, tmp_path: Path) -> None:
    """The first second of a is not in a2, which begins after it."""
    scanned = scan(twins, 1.0, tmp_path / "cache")
    hashes = {i: f.sha256 for i, f in scanned.facts.items()}
    roles = {**ROLE_OF, "a2": "test"}
    for end_s, is_refused in ((0.9, False), (1.5, True)):
        cut = tuple(
            dataclasses.replace(r, file="a", start_s=0.0, end_s=end_s) if r.id == "a" else r for r in twins.recordings
        )
        corpus = dataclasses.replace(twins, recordings=cut)
        if is_refused:
            with pytest.raises(CorpusError, match="same audio is in two roles"):
                splits.check(Split("recording", roles), corpus, hashes, scanned.twins)
        else:
            splits.check(Split("recording", roles), corpus, hashes, scanned.twins)


def test_files_are_read_once(twins: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second scan and a plan read nothing; a memory without landmarks is read again."""
    cache_dir = tmp_path / "cache"
    first = scan(twins, 1.0, cache_dir)
    assert len(first.twins) == 1
    read: list[Path] = []

    def noted(path: Path, silence: audio.Silence = "refuse") -> tuple[audio.Wave, audio.AudioFacts]:
        read.append(path)
        return decode(path, silence)

    monkeypatch.setattr("datasets.engine.scan.decode", noted)
    monkeypatch.setattr(finding, "decode", noted)
    assert scan(twins, 1.0, cache_dir) == remembered(twins, 1.0, cache_dir) == first
    assert read == []
    monkeypatch.setattr(shelf, "VERSION", 0)
    assert remembered(twins, 1.0, cache_dir) is None
    assert scan(twins, 1.0, cache_dir) == first
    assert len(read) >= len(twins.recordings)


def test_a_damaged_memory_of_twins_is_made_again(twins: Corpus, tmp_path: Path) -> None:
    """It only saves time."""
    first = scan(twins, 1.0, tmp_path / "cache")
    (tmp_path / "cache" / INDEX).write_bytes(b"damaged")
    assert scan(twins, 1.0, tmp_path / "cache") == first


def test_a_study_is_refused_and_the_page_says_so(
    twins: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`prepare` refuses before a trial; `datasets.check` names the pair among what is odd."""
    root = tmp_path / "mine"
    for recording in twins.recordings:
        place = root / recording.label / recording.path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording.path, place)
    rows = [f"{r.label}/{r.id},{ROLES[n % 3]}" for n, r in enumerate(twins.recordings)]
    (tmp_path / "list.csv").write_text("recording,role\n" + "\n".join(rows) + "\n")
    wanted = Wanted("folder", ("even", "odd"), "published", 1.0)
    source = Source(root, tmp_path / "cache", tmp_path / "list.csv")
    for _ in range(2):  # the second time from memory
        with pytest.raises(CorpusError, match=r"even/a \(train\), even/a2 \(validation\): the same sound, shifted"):
            prepare.prepare(wanted, source)
    with pytest.raises(CorpusError, match="same audio is in two roles"):
        prepare.remembered(wanted, source)
    check(["folder", "--data-root", str(root)])
    page = " ".join(capsys.readouterr().out.split())
    assert "even/a and even/a2: the same sound, shifted by 1.00 s; keep one, or give both one group" in page


@pytest.mark.slow
@pytest.mark.data
def test_real_recordings_are_told_apart(data: Path, tmp_path: Path) -> None:
    """No two of DeepShip's or of a hundred spoken digits are accused; two of ESC-10 are one sound, in folds 3 and 5."""
    for paths in (audio_files(data / "deepship-sample"), audio_files(data / "fsdd")[::30]):
        assert compared(*paths) == ()
    folder = data / "esc10" / "audio"
    cries = [folder / f"{name}.ogg" for name in ("3-151080-A-20", "5-151085-A-20", "1-211527-B-20", "1-22694-A-20")]
    (twin,) = compared(*cries)
    assert {Path(twin.first).stem, Path(twin.second).stem} == {"3-151080-A-20", "5-151085-A-20"}
    assert twin.how == "the same sound, shifted by 0.65 s"
    rng = np.random.default_rng(5)
    for path, other in pairwise(audio_files(data / "deepship-sample")[:7]):
        (wave, facts), (following, _) = decode(path), decode(other)
        mixed, ways = mixture(Copy(wave[:, None], facts.rate_hz, following[:, None]), rng)
        assert len(compared(path, write(mixed, tmp_path, path.stem))) == 1, ways
