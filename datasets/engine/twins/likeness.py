"""Compares the waveforms of two files at a lag: this decides whether they have the same sound.

The measure is the coherence of phases: at a lag where two files are one sound, the phases of their spectra agree at all
frequencies, whatever the levels. Different recordings of one voice, note or engine share frequencies but no phases.

Source: the generalised cross-correlation with phase transform, Knapp and Carter (1976).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.twins.landmarks import RATE_HZ

if TYPE_CHECKING:
    from jaxtyping import Float32

    Wave = Float32[np.ndarray, " samples"]

LONGEST = 10 * RATE_HZ  # samples that are compared, around the landmark
SHORTEST = RATE_HZ // 20  # samples that must overlap: 50 ms
SEARCH = RATE_HZ // 16  # samples around the lag in which the best one is looked for: 62 ms
LIMIT_HZ = 3_500.0  # above it filters differ
EVEN = 256  # samples of the envelope by which a wave is divided: 32 ms
LEAST = 3e-3  # of the envelope's maximum; what is quieter stays quiet
FINER = 4  # steps of a sample in which the best lag is looked for
CHANCE = 8.0  # times 1 / sqrt(samples): more than the best lag of two different noises has


@dataclass(frozen=True)
class Likeness:
    """The agreement of two sounds at their best lag."""

    coherence: float  # of phases: 1 for copies, about 1 / sqrt(2 x bandwidth x duration) for different sounds
    chance: float  # the coherence that the best lag of two different noises would have, with its largest deviation
    lag: float  # by which the second is later [samples at RATE_HZ]
    overlap_s: float


def likeness(
    first: Float32[np.ndarray, " first"], second: Float32[np.ndarray, " second"], lag: int, time: int
) -> Likeness:
    """The likeness of two waves at RATE_HZ whose lag is known within 60 ms.

    Args:
        lag: samples by which the second is later.
        time: sample of the first around which to compare, if the overlap is long.
    """
    begin, end = max(0, -lag), min(len(first), len(second) - lag)
    if end - begin > LONGEST:
        begin = min(max(begin, time - LONGEST // 2), end - LONGEST)
        end = begin + LONGEST
    num = end - begin
    if num < SHORTEST:
        return Likeness(0.0, 1.0, lag, max(num, 0) / RATE_HZ)
    window = np.hanning(num).astype(np.float32)
    size = 1 << (num + SEARCH).bit_length()
    one = np.fft.rfft(_evened(first[begin : begin + num]) * window, size)
    other = np.fft.rfft(_evened(second[begin + lag : begin + lag + num]) * window, size)
    cross = (other * one.conj())[: round(size * LIMIT_HZ / RATE_HZ)]
    strength = np.abs(cross)
    known = strength > 1e-12 * strength.max(initial=1e-30)
    phases = np.where(known, cross / np.where(known, strength, 1), 0)
    curve = np.fft.irfft(phases, FINER * size) * FINER * size / (2 * max(int(known.sum()), 1))
    near = np.concatenate([curve[-FINER * SEARCH :], curve[: FINER * SEARCH + 1]])
    best = int(near.argmax())
    return Likeness(float(near[best]), CHANCE / math.sqrt(num), lag + best / FINER - SEARCH, num / RATE_HZ)


def _evened(wave: Wave) -> Wave:
    """The wave divided by its envelope, so that two clicks are compared by the sound around them too."""
    weights = np.hanning(EVEN + 2)[1:-1].astype(np.float32)
    envelope = np.sqrt(np.convolve(wave * wave, weights / weights.sum(), "same").clip(0))[: len(wave)]
    evened: np.ndarray = wave / (envelope + LEAST * envelope.max(initial=0) + np.float32(1e-20))
    return evened
