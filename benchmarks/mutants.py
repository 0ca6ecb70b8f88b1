"""Copies of a recording that hold its sound in other bytes: ten ways, and random mixtures of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

if TYPE_CHECKING:
    from collections.abc import Callable

SHIFT_S = 1.0
TAG = b"LIST\x04\x00\x00\x00INFO"  # a chunk after the samples, which changes no sample


@dataclass(frozen=True)
class Copy:
    """A sound and the way in which it will be stored."""

    wave: np.ndarray  # (samples, channels)
    rate_hz: int
    other: np.ndarray  # (samples, 1), another sound at the same rate, which may follow
    suffix: str = ".wav"
    subtype: str = "FLOAT"
    tag: bytes = b""
    start: float = SHIFT_S  # [s]


def _stored(copy: Copy, suffix: str, subtype: str) -> Copy:
    """The copy as it is after it was stored in a format."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(copy.wave, -1, 1), copy.rate_hz, format=suffix[1:], subtype=subtype)
    file.seek(0)
    wave, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return replace(copy, wave=wave, suffix=suffix, subtype=subtype, tag=b"")


def header(copy: Copy) -> Copy:
    """The copy with a tag in its header."""
    return replace(copy, suffix=".wav", subtype="FLOAT", tag=TAG)


def flac(copy: Copy) -> Copy:
    """The copy as FLAC of 24 bits."""
    return _stored(copy, ".flac", "PCM_24")


def sixteen_bits(copy: Copy) -> Copy:
    """The copy in 16 bits."""
    return _stored(copy, ".wav", "PCM_16")


def half_level(copy: Copy) -> Copy:
    """The copy at half the level."""
    return replace(copy, wave=copy.wave / 2)


def at_16_khz(copy: Copy) -> Copy:
    """The copy at 16 kHz, or at 12 kHz if it is at 16 kHz."""
    to_hz = 12_000 if copy.rate_hz == 16_000 else 16_000
    wave, other = (soxr.resample(sound, copy.rate_hz, to_hz) for sound in (copy.wave, copy.other))
    return replace(copy, wave=wave, other=other, rate_hz=to_hz)


def stereo(copy: Copy) -> Copy:
    """The copy in two equal channels."""
    return replace(copy, wave=np.repeat(copy.wave[:, :1], 2, axis=1))


def one_shorter(copy: Copy) -> Copy:
    """The copy without its first sample."""
    return replace(copy, wave=copy.wave[1:])


def shifted(copy: Copy) -> Copy:
    """The copy from `start` on."""
    return replace(copy, wave=copy.wave[round(copy.start * copy.rate_hz) :])


def ogg(copy: Copy) -> Copy:
    """The copy as Ogg Vorbis of libsndfile's usual quality."""
    return _stored(copy, ".ogg", "VORBIS")


def overlapping(copy: Copy) -> Copy:
    """The second half of the copy, and then as much of another sound."""
    half = copy.wave[len(copy.wave) // 2 :]
    rest = np.resize(copy.other, (len(half), 1))
    return replace(copy, wave=np.concatenate([half, np.repeat(rest, half.shape[1], axis=1)]))


WAYS: tuple[Callable[[Copy], Copy], ...] = (
    header, flac, sixteen_bits, half_level, at_16_khz, stereo, one_shorter, shifted, ogg, overlapping,
)  # fmt: skip


def write(copy: Copy, folder: Path, name: str) -> Path:
    """Stores a copy; returns its path."""
    path = folder / f"{name}{copy.suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    wave = copy.wave if copy.suffix == ".wav" else np.clip(copy.wave, -1, 1)
    soundfile.write(path, wave, copy.rate_hz, subtype=copy.subtype)
    if copy.tag:
        with path.open("ab") as file:
            file.write(copy.tag)
    return path


def mixture(copy: Copy, rng: np.random.Generator) -> tuple[Copy, tuple[str, ...]]:
    """One to four different ways after each other, and their names; a random start of at most half the length."""
    ways = rng.choice(len(WAYS), rng.integers(1, 5), replace=False)
    copy = replace(copy, start=float(rng.uniform(0, 0.5)) * len(copy.wave) / copy.rate_hz)
    for way in ways:
        copy = WAYS[way](copy)
    return copy, tuple(WAYS[way].__name__ for way in ways)
