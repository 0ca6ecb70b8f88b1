"""How far each group of recordings moves a score: the source of what is said about recordings to come.

A score of a test set is an estimate of the score on all recordings that could have been in it. How far it may be off
follows from how much it moves when a group of recordings is left out (the jackknife). All settings that were scored on
the same recordings are moved by the same groups, so that what two of them have in common cancels in their difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats as scipy_stats

from analysis.engine.stats import Interval, around

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

    from analysis.engine.rows import Predictions
    from trainable.learning.score import Score

AT_ONCE = 1_000  # groups left out of 1,000 groups are 4 MB
ROUNDING = 1e-12  # of numbers that are equal


@dataclass(frozen=True)
class Influence:
    """A score, how far each group of recordings moves it, to first order, and the size of each group."""

    value: float
    by_group: Float[np.ndarray, " groups"]  # their mean is 0
    sizes: Float[np.ndarray, " groups"]  # the number of clips

    def __sub__(self, other: Influence) -> Influence:
        """The difference of two scores of the same recordings."""
        fewer = min(self, other, key=lambda one: one.dof)
        return Influence(self.value - other.value, self.by_group - other.by_group, fewer.sizes)

    @property
    def variance(self) -> float:
        """The variance of the score over recordings to come: the jackknife's; NaN where the groups cannot tell.

        That is so for a single group. Groups that all move the score alike show ignorance, not certainty.
        """
        if len(self.by_group) < 2 or np.ptp(self.by_group) < ROUNDING:
            return math.nan
        return float(np.var(self.by_group, ddof=1)) / len(self.by_group)

    def interval(self) -> Interval:
        """The 95 % t-interval of these networks' score on recordings to come; NaN where the groups cannot tell."""
        half = float(scipy_stats.t.ppf(0.975, self.dof)) * math.sqrt(self.variance)
        return around(self.value, half)

    @property
    def dof(self) -> float:
        """The degrees of freedom of `variance`: the effective number of groups less one, and at least 1.

        A few large groups among many small ones carry most of the score's variance, so that less is known of it than
        the number of groups says.

        Source:
            Carter, Schnepel and Steigerwald 2017, Review of Economics and Statistics 99, 698-709, for groups whose
            clips stand or fall together.
        """
        squares = self.sizes**2
        return max(1.0, float(squares.sum() ** 2 / (squares**2).sum()) - 1)


def influence(score: Score, seeds: Sequence[Predictions]) -> Influence:
    """How far each group of recordings moves a score that is averaged over seeds.

    A group is what recordings were sampled by, such as a vessel; where that is not known, each recording is one.

    Args:
        score: the score, which is computed anew without each group.
        seeds: predictions for the same clips, one per seed.
    """
    _, where = np.unique(seeds[0].clusters, return_inverse=True)
    of_draws = [score.over_recordings(seed.logits, seed.labels, where) for seed in seeds]
    num = int(where.max()) + 1

    def averaged(draws: Float[np.ndarray, "draws groups"]) -> Float[np.ndarray, " draws"]:
        result: np.ndarray = np.mean([of_seed(draws) for of_seed in of_draws], axis=0)
        return result

    value = float(averaged(np.ones((1, num)))[0])
    left_out = []
    for start in range(0, num if num > 1 else 0, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, num))
        draws = np.ones((len(rows), num))
        draws[np.arange(len(rows)), rows] = 0
        left_out.append(averaged(draws))
    without = np.concatenate(left_out) if left_out else np.zeros(num)
    return Influence(value, _to_first_order(without), np.bincount(where).astype(np.float64))


def of_mean(
    values: Float[np.ndarray, " clips"], recording: Shaped[np.ndarray, " clips"], among: Shaped[np.ndarray, " groups"]
) -> Influence:
    """How far each recording moves a mean over clips.

    Args:
        values: the value of each clip.
        recording: the recording of each clip.
        among: the sorted names of the recordings to tell of; one without a clip moves nothing.
    """
    where = np.searchsorted(among, recording)
    sums, sizes = (np.bincount(where, weights, len(among)) for weights in (values, np.ones(len(values))))
    return of_sums(sums, sizes)


def of_sums(sums: Float[np.ndarray, " groups"], sizes: Float[np.ndarray, " groups"]) -> Influence:
    """How far each group of recordings moves a mean over clips, from the sum and the number of its own."""
    value, rest = float(sums.sum() / sizes.sum()), sizes.sum() - sizes
    without = np.divide(sums.sum() - sums, rest, out=np.full(len(sizes), value), where=rest > 0)
    return Influence(value, _to_first_order(without), sizes)


def mean(several: Sequence[Influence]) -> Influence:
    """The mean of scores of the same recordings."""
    values, by_group = [one.value for one in several], [one.by_group for one in several]
    return Influence(float(np.mean(values)), np.mean(by_group, axis=0), several[0].sizes)


def _to_first_order(without: Float[np.ndarray, " groups"]) -> Float[np.ndarray, " groups"]:
    """The influence of each group, from the scores without it."""
    result: np.ndarray = (len(without) - 1) * (without.mean() - without)
    return result
