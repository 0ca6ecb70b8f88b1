"""Two thousand damaged files: none crashes a scan, and none passes for the original."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.corpus import Corpus, CorpusError, Recording
from datasets.engine.decoding.audio import duration_s
from datasets.engine.scan import remembered, scan
from datasets.engine.verify import verify

CLIP_S = 0.01
Mutation = Callable[[bytes, np.random.Generator], bytes]


def encoded(container: str, subtype: str, channels: int = 1, rate_hz: int = 8_000, num_frames: int = 1_500) -> bytes:
    out, rng = io.BytesIO(), np.random.default_rng(channels)
    soundfile.write(out, rng.uniform(-0.5, 0.5, (num_frames, channels)), rate_hz, format=container, subtype=subtype)
    return out.getvalue()


GOOD = [
    encoded("WAV", "PCM_U8"),
    encoded("WAV", "PCM_16"),
    encoded("WAV", "PCM_24", channels=2, rate_hz=44_100),
    encoded("WAV", "PCM_32", rate_hz=11_025),
    encoded("WAV", "FLOAT", channels=6, rate_hz=52_734),
    encoded("WAV", "DOUBLE", rate_hz=384_000, num_frames=8_000),
    encoded("RF64", "PCM_16", channels=2),
    encoded("W64", "PCM_24", rate_hz=96_000),
    encoded("AIFF", "PCM_16", channels=2),
    encoded("FLAC", "PCM_16", channels=2),
    encoded("FLAC", "PCM_24", rate_hz=22_050),
    encoded("OGG", "VORBIS", num_frames=8_000),
    encoded("OGG", "OPUS", rate_hz=48_000, num_frames=8_000),
]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def flip_header(data: bytes, rng: np.random.Generator) -> bytes:
    return flip(data, rng, 64)


def flip_body(data: bytes, rng: np.random.Generator) -> bytes:
    return flip(data, rng, len(data))


def flip(data: bytes, rng: np.random.Generator, end: int) -> bytes:
    """Flips one to three bits in the first bytes."""
    flipped = bytearray(data)
    for place in rng.choice(end, rng.integers(1, 4), replace=False):
        flipped[place] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """Zeroes a block, like one that a disk never wrote."""
    start = int(rng.integers(len(data)))
    return data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]


def append(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 600)))


def splice(data: bytes, rng: np.random.Generator) -> bytes:
    """Joins the head of one file to the tail of another."""
    other, place = GOOD[rng.integers(len(GOOD))], int(rng.integers(len(data)))
    return data[:place] + other[int(rng.integers(len(other))) :]


def huge(data: bytes, rng: np.random.Generator) -> bytes:
    """Sets a number in the header to a huge value."""
    place = int(rng.integers(4, 60))
    return data[:place] + rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)]) + data[place + 4 :]


MUTATIONS: list[Mutation] = [cut, flip_header, flip_body, zero, append, splice, huge]


def wav(form: tuple[int, int, int, int, int, int], samples: bytes) -> bytes:
    """A WAV with the given header fields: format, channels, rate, bytes per second, bytes per frame, bits."""
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, *form) + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body


NOISE = np.random.default_rng(0).integers(-9_000, 9_000, 3_000).astype("<i2").tobytes()
FLOATS = np.random.default_rng(0).uniform(-0.5, 0.5, 3_000).astype("<f4")
BAD = {
    "mp3": encoded("MP3", "MPEG_LAYER_III", num_frames=8_000),
    "au": encoded("AU", "PCM_16"),
    "rifx": b"RIFX" + encoded("WAV", "PCM_16")[4:],
    "no channels": wav((1, 0, 8_000, 0, 0, 16), NOISE),
    "no bits": wav((1, 1, 8_000, 16_000, 2, 0), NOISE),
    "no rate": wav((1, 1, 0, 0, 2, 16), NOISE),
    "1 Hz": wav((1, 1, 1, 2, 2, 16), NOISE),
    "4 GHz": wav((1, 1, 2**32 - 1, 2**32 - 1, 2, 16), NOISE),
    "65535 channels": wav((1, 65_535, 8_000, 16_000, 2, 16), NOISE),
    "no samples": wav((1, 1, 8_000, 16_000, 2, 16), b""),
    "half a sample": wav((1, 1, 8_000, 16_000, 2, 16), b"\1"),
    "a codec that is not": wav((0x4242, 1, 8_000, 16_000, 2, 16), NOISE),
    "a NaN": wav((3, 1, 8_000, 32_000, 4, 32), np.where(np.arange(3_000) == 7, np.nan, FLOATS).astype("<f4").tobytes()),
    "an infinity": wav(
        (3, 1, 8_000, 32_000, 4, 32), np.where(np.arange(3_000) == 7, np.inf, FLOATS).astype("<f4").tobytes()
    ),
    "integers as floats": wav((3, 1, 8_000, 16_000, 4, 32), NOISE),
}


def mutants(count: int, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Good files, and damaged versions that differ from them."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        good, mutation = GOOD[number % len(GOOD)], MUTATIONS[number // len(GOOD) % len(MUTATIONS)]
        changed = mutation(good, rng)
        while changed == good:
            changed = mutation(good, rng)
        yield good, changed


def corpus_of(folder: Path, contents: list[bytes]) -> Corpus:
    """A class with these files, plus one that is always good, so that all others may be dropped."""
    folder.mkdir()
    recordings = []
    for number, content in enumerate([encoded("WAV", "PCM_16"), *contents]):
        path = folder / f"{number}.wav"
        path.write_bytes(content)
        recordings.append(Recording(f"Cargo/{number}", path, "Cargo"))
    return Corpus("deepship", folder, ("Cargo",), tuple(recordings))


def test_the_good_files_are_good(tmp_path: Path) -> None:
    """The originals are good: 8 to 64 bits, one to six channels, 8 to 384 kHz."""
    assert len(scan(corpus_of(tmp_path / "corpus", GOOD), CLIP_S, tmp_path / "cache").facts) == len(GOOD) + 1


@pytest.mark.slow
def test_no_change_passes_for_what_it_was(tmp_path: Path, memory: Path) -> None:
    """1400 files change after a scan: each is refused with a reason or gets another SHA-256."""
    pairs = list(mutants(1_400, seed=1))
    corpus = corpus_of(tmp_path / "corpus", [good for good, _ in pairs])
    before = scan(corpus, CLIP_S, memory)
    assert len(before.facts) == len(pairs) + 1
    for recording, (_, changed) in zip(corpus.recordings[1:], pairs, strict=True):
        recording.path.write_bytes(changed)
        os.utime(recording.path, (1, 1))
    after = scan(corpus, CLIP_S, memory, on_bad="drop")
    reasons = {problem.path: problem.reason for problem in after.dropped}
    assert len(reasons) + len(after.facts) == len(pairs) + 1
    assert after.sha256 != before.sha256
    for recording, (_, changed) in zip(corpus.recordings[1:], pairs, strict=True):
        if recording.id in after.facts:
            facts = after.facts[recording.id]
            assert facts.sha256 == hashlib.sha256(changed).hexdigest() != before.facts[recording.id].sha256
            assert np.isfinite([facts.peak, facts.rms]).all()
            assert min(facts.num_frames, facts.rate_hz, facts.num_channels) > 0
        else:
            assert reasons[recording.path]
    assert len(reasons) > 400  # cuts and broken headers; other changes give different but valid sound


@pytest.mark.slow
def test_a_change_behind_size_and_time_is_seen_when_all_is_read(tmp_path: Path, memory: Path) -> None:
    """600 files change but keep size and time: a scan misses them by design, `verify` names exactly these."""
    pairs = [(good, changed) for good, changed in mutants(1_400, seed=2) if len(good) == len(changed)][:600]
    assert len(pairs) == 600
    corpus = corpus_of(tmp_path / "corpus", [good for good, _ in pairs])
    before = scan(corpus, CLIP_S, memory)
    for recording, (_, changed) in zip(corpus.recordings[1:], pairs, strict=True):
        stat = recording.path.stat()
        recording.path.write_bytes(changed)
        os.utime(recording.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert remembered(corpus, CLIP_S, memory) == before
    problems = list(verify(corpus, memory))
    assert {problem.path for problem in problems} == {r.path for r in corpus.recordings[1:]}
    assert all(problem.reason.startswith("changed: ") for problem in problems)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_wav_is_refused(name: str, tmp_path: Path) -> None:
    """Other containers with the suffix `.wav` and impossible headers are refused."""
    corpus = corpus_of(tmp_path / "corpus", [BAD[name]])
    with pytest.raises(CorpusError, match=r"1 bad files.*nothing was run:\n  .*1\.wav: "):
        scan(corpus, CLIP_S, tmp_path / "cache")


def test_headers_never_crash_who_reads_them_alone(tmp_path: Path) -> None:
    """The duration from a header is a number or None, for any bytes."""
    path = tmp_path / "x.wav"
    for content in [*BAD.values(), *(changed for _, changed in mutants(350, seed=3))]:
        path.write_bytes(content)
        length_s = duration_s(path)
        assert length_s is None or length_s >= 0


def test_labels_are_part_of_what_was_scanned(tmp_path: Path) -> None:
    """The same bytes with another label are different data."""
    corpus = corpus_of(tmp_path / "corpus", GOOD)
    before = scan(corpus, CLIP_S, tmp_path / "cache")
    swapped = tuple(dataclasses.replace(r, label="Tug") if r.id.endswith("/3") else r for r in corpus.recordings)
    other = dataclasses.replace(corpus, recordings=swapped, classes=("Cargo", "Tug"))
    assert scan(other, CLIP_S, tmp_path / "cache").sha256 != before.sha256
