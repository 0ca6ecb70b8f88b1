"""Finds the files of a corpus that have the same sound, and says how they match.

Landmarks name the candidates, and both files of a candidate are then read and compared, which makes the result exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.corpus import CorpusError
from datasets.engine.decoding.audio import BadAudio, decode
from datasets.engine.twins import shelf
from datasets.engine.twins.candidates import Candidate, candidates
from datasets.engine.twins.landmarks import RATE_HZ, Landmarks, narrowed
from datasets.engine.twins.likeness import Likeness, likeness

if TYPE_CHECKING:
    from jaxtyping import Float32

    Wave = Float32[np.ndarray, " samples"]

Progress = Callable[[Iterable, int, str], Iterable]  # (items, total, title) -> the same items

RULES = 1  # raise it when other files would be found
COHERENT = 0.35  # copies of real recordings have 0.74 to 1; different recordings of a second or more at most 0.23
TIMES_CHANCE = 4.0  # a word that one speaker says twice reaches 3.1 times; a copy of one has at least 4.4
SAME_PLACE_S = 0.005  # a smaller shift is not mentioned
OPEN_FILES = 8  # waveforms held at once; 20 minutes take 40 MB


@dataclass(frozen=True)
class Twin:
    """Two files with the same sound, by the hashes of their bytes."""

    first: str
    second: str
    how: str  # they match, in words
    lag_s: float  # by which the second hears it later [s]


def find(files: Mapping[str, Path], index: Path, progress: Progress | None = None) -> tuple[Twin, ...]:
    """The pairs of files with the same sound.

    Args:
        files: a path for each hash of a file's bytes.
        index: the database that has their landmarks; it remembers the result.

    Raises:
        CorpusError: if a file cannot be read any more.
    """
    known = shelf.twins_of(index, files, RULES)
    if known is not None:
        return tuple(Twin(**twin) for twin in known)
    twins = compare(shelf.landmarks_of(index, sorted(files)), files, progress)
    shelf.keep_twins(index, files, RULES, [dataclasses.asdict(twin) for twin in twins])
    return twins


def compare(
    landmarks_of: Mapping[str, Landmarks], files: Mapping[str, Path], progress: Progress | None = None
) -> tuple[Twin, ...]:
    """The pairs of files with the same sound, from their landmarks; the files of candidates are read.

    Raises:
        CorpusError: if a file cannot be read any more.
    """
    names = list(landmarks_of)
    likely = candidates(list(landmarks_of.values()))
    progress = progress or (lambda items, total, what: items)

    @lru_cache(OPEN_FILES)
    def read(number: int) -> tuple[Wave, Wave]:
        path = files[names[number]]
        try:
            wave, facts = decode(path, "allow")
        except BadAudio as error:
            raise CorpusError(f"{path}: {error}; it was good when it was scanned") from None
        return wave, narrowed(wave, facts.rate_hz)

    twins: dict[tuple[int, int], Twin] = {}
    for c in progress(likely, len(likely), "comparing files that sound alike") if likely else ():
        if (c.first, c.second) not in twins and (found := _match(c, read)):
            twins[c.first, c.second] = Twin(names[c.first], names[c.second], *found)
    return tuple(twins.values())


def _match(candidate: Candidate, read: Callable[[int], tuple[Wave, Wave]]) -> tuple[str, float] | None:
    """The words for the match of two files and the lag [s], or None if they are different sounds."""
    (first, low), (second, other_low) = read(candidate.first), read(candidate.second)
    if np.array_equal(first, second):
        return "the same samples", 0.0
    found = likeness(low, other_low, candidate.lag, candidate.time)
    if not is_same(found):
        return None
    lag_s = found.lag / RATE_HZ
    if abs(lag_s) < SAME_PLACE_S:
        return "the same sound, stored in another way", lag_s
    return f"the same sound, shifted by {abs(lag_s):.2f} s", lag_s


def is_same(found: Likeness) -> bool:
    """Whether the phases of two sounds agree more than those of different sounds do."""
    return found.coherence > max(COHERENT, TIMES_CHANCE * found.chance)
