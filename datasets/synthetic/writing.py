"""Helpers that all writers of invented corpora share: an empty folder, random streams, groups and WAV files."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from jaxtyping import Float

MOST, MOST_FILES = 1_000_000, 10_000  # of hertz and seconds, and of files of a class


def claim(root: Path) -> None:
    """Makes the folder, unless there is something in it."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} is not empty: name a new folder, or remove this one first")
    root.mkdir(parents=True, exist_ok=True)


def stream(seed: int, *path: int) -> np.random.Generator:
    """An independent random stream for each path."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def grouped(num: int, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """The first `num` pairs of group and member, with the groups' sizes taken in turn."""
    endless = ((group, member) for group in itertools.count() for member in range(sizes[group % len(sizes)]))
    return list(itertools.islice(endless, num))


def write_wav(path: Path, sound: Float[np.ndarray, " samples"], rate_hz: int, subtype: str) -> None:
    """Writes a mono file; floats get the header of the real files, because libsndfile's contains the time of day."""
    if subtype != "FLOAT":
        soundfile.write(path, sound, rate_hz, subtype=subtype)
        return
    data = sound.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, rate_hz, 4 * rate_hz, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(sound))
    header = struct.pack("<4sI4s", b"RIFF", 50 + len(data), b"WAVE") + form + fact
    path.write_bytes(header + struct.pack("<4sI", b"data", len(data)) + data)


def within(**values: tuple[float, float, float]) -> None:
    """Checks numbers that a user has given; seeds and lengths among them.

    Args:
        values: for each name its value, the least and the most that it may be.

    Raises:
        ValueError: with the first that is out of its range.
    """
    for name, (value, least, most) in values.items():
        if not least <= value <= most:
            raise ValueError(f"{name}={value}: take {least:,} to {most:,}")
