"""Scores of resampled recordings: the source of the intervals that cover the choice of recordings in the test set.

All settings that were scored on the same recordings have the same draws, so that two of them differ by their networks
and not by the luck of the draw, and the interval of their difference follows from the differences of their draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from analysis.engine import stats
from analysis.engine.stats import UNKNOWN, Interval

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

    from analysis.engine.rows import Predictions
    from trainable.learning.score import Score

AT_ONCE = 1_000  # draws of 121 recordings are 1 MB


@dataclass(frozen=True)
class Resampled:
    """A score of all recordings, of draws of whole recordings, and without each recording in turn."""

    value: float
    draws: Float[np.ndarray, " draws"]
    left_out: Float[np.ndarray, " recordings"]

    def __sub__(self, other: Resampled) -> Resampled:
        """The difference of two scores of the same draws of the same recordings."""
        return Resampled(self.value - other.value, self.draws - other.draws, self.left_out - other.left_out)

    def interval(self) -> Interval:
        """The 95 % BCa interval; NaN if no recording makes a difference, which shows ignorance, not certainty.

        Source:
            Efron 1987, JASA 82, 171-185; equal to `scipy.stats.bootstrap`.
        """
        below = (np.mean(self.draws < self.value) + np.mean(self.draws <= self.value)) / 2
        push = self.left_out - self.left_out.mean() if len(self.left_out) > 1 else np.zeros(1)
        if np.ptp(self.draws) < 1e-12 or not 0 < below < 1 or not (spread := (push**2).sum()) > 0:
            return UNKNOWN
        bias, skew = ndtri(below), -(push**3).sum() / (6 * spread**1.5)
        shifted = bias + ndtri([0.025, 0.975])
        low, high = np.quantile(self.draws, ndtr(bias + shifted / (1 - skew * shifted)))
        return Interval(float(low), float(high))

    @property
    def influence(self) -> Float[np.ndarray, " recordings"]:
        """How far each recording moves the score, to first order; their mean has the score's spread."""
        if len(self.left_out) < 2:
            return np.zeros(len(self.left_out))
        result: np.ndarray = (len(self.left_out) - 1) * (self.left_out.mean() - self.left_out)
        return result


def mean(several: Sequence[Resampled]) -> Resampled:
    """The mean of scores of the same draws of the same recordings."""
    return Resampled(
        float(np.mean([one.value for one in several])),
        np.mean([one.draws for one in several], axis=0),
        np.mean([one.left_out for one in several], axis=0),
    )


def resampled(score: Score, seeds: Sequence[Predictions]) -> Resampled:
    """A score, averaged over seeds, of resampled recordings.

    Captures the choice of recordings in the test set: whole recordings are drawn, because the clips of one recording
    tend to be right or wrong together. The trained networks are held fixed, so the spread over seeds is not included.

    Args:
        score: the score, which is computed anew of every draw.
        seeds: predictions for the same clips, one per seed.
    """
    _, where = np.unique(seeds[0].recording, return_inverse=True)
    num_recordings = int(where.max()) + 1
    of_draws = [score.over_recordings(seed.logits, seed.labels, where) for seed in seeds]

    def averaged(draws: Float32[np.ndarray, "draws recordings"]) -> Float[np.ndarray, " draws"]:
        result: np.ndarray = np.mean([of_seed(draws) for of_seed in of_draws], axis=0)
        return result

    left_out = [averaged(draws) for draws in _one_left_out(num_recordings)]
    return Resampled(
        float(averaged(np.ones((1, num_recordings), np.float32))[0]),
        np.concatenate([averaged(draws) for draws in _drawn(num_recordings, score.num_draws)]),
        np.concatenate(left_out) if left_out else np.zeros(0),
    )


def _drawn(num_recordings: int, num_draws: int) -> Iterator[Float32[np.ndarray, "draws recordings"]]:
    """Yields how often each recording is drawn, by draw: always the same for as many recordings."""
    rng = np.random.default_rng(stats.BOOTSTRAP_SEED)
    for start in range(0, num_draws, AT_ONCE):
        rows = min(AT_ONCE, num_draws - start)
        drawn = rng.integers(0, num_recordings, (rows, num_recordings))
        cells = drawn + num_recordings * np.arange(rows)[:, np.newaxis]
        counts = np.bincount(cells.ravel(), minlength=rows * num_recordings)
        yield counts.reshape(rows, num_recordings).astype(np.float32)


def _one_left_out(num_recordings: int) -> Iterator[Float32[np.ndarray, "draws recordings"]]:
    """Yields draws of all recordings but one; none for a single recording."""
    for start in range(0, num_recordings if num_recordings > 1 else 0, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, num_recordings))
        draws = np.ones((len(rows), num_recordings), np.float32)
        draws[np.arange(len(rows)), rows] = 0
        yield draws
