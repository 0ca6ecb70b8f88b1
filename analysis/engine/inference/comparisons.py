"""Pairwise comparisons of settings, tested over seeds and over recordings, and corrected for the number of pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from analysis.engine.inference.resampling import Resampled
from analysis.engine.stats import UNKNOWN, Interval

LEVEL = 0.05
PAIRED, WELCH = "paired t", "Welch"


@dataclass(frozen=True)
class Entry:
    """The scores of one setting on the test recordings that all settings share."""

    name: str
    scores: Mapping[int, float]  # by seed
    resampled: Resampled  # their mean, of resampled recordings
    data_hz: int


@dataclass(frozen=True)
class Pair:
    """The difference between the mean scores of two settings, as a fraction: `first` minus `second`."""

    first: str
    second: str
    difference: float
    test: str  # PAIRED or WELCH
    num_seeds: tuple[int, int]
    spread: float  # sample standard deviation of the paired differences; NaN where they are not paired
    p: float  # two-sided, over seeds; NaN where the seeds do not determine it
    p_holm: float  # corrected for all pairs
    over_seeds: Interval  # 95 %, not corrected
    over_recordings: Interval  # 95 %, not corrected

    @property
    def told_apart(self) -> bool:
        """Whether the corrected p is below 5 %; an unknown p is not."""
        return self.p_holm < LEVEL


def all_pairs(entries: Sequence[Entry]) -> tuple[Pair, ...]:
    """Compares every pair of settings; within a pair, the setting that comes first in `entries` is `first`.

    Over seeds: a paired t-test where both settings have the same seeds and data rate, because a seed then fixes the
    same order of clips and the same random draws of augmentation for both; otherwise Welch's test. Over recordings: a
    cluster bootstrap of the difference, with the same recordings drawn for both settings.

    Args:
        entries: the settings, all scored on the same clips.
    """
    pairs = list(itertools.combinations(entries, 2))
    tests = [_over_seeds(first, second) for first, second in pairs]
    corrected = holm([p for _, p, _, _ in tests])
    return tuple(
        Pair(
            first=first.name,
            second=second.name,
            difference=_mean(first) - _mean(second),
            test=test,
            num_seeds=(len(first.scores), len(second.scores)),
            spread=spread,
            p=p,
            p_holm=p_holm,
            over_seeds=interval,
            over_recordings=(first.resampled - second.resampled).interval(),
        )
        for (first, second), (test, p, interval, spread), p_holm in zip(pairs, tests, corrected, strict=True)
    )


def holm(p: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values of one family. A test without a p-value counts towards the family and stays NaN.

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    adjusted, largest = [math.nan] * len(p), 0.0
    with_p = (i for i in np.argsort(p, kind="stable") if not math.isnan(p[i]))  # NaN sorts last
    for rank, i in enumerate(with_p):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def needed_spreads(num_seeds: int, num_pairs: int) -> float:
    """The mean difference needed for significance, in standard deviations of the paired differences.

    It is that of the first step of Holm's procedure for `num_pairs`, which only the clearest pair must pass. Infinite
    for one seed.
    """
    if num_seeds < 2:
        return math.inf
    return float(scipy_stats.t.ppf(1 - LEVEL / num_pairs / 2, num_seeds - 1)) / math.sqrt(num_seeds)


def _over_seeds(first: Entry, second: Entry) -> tuple[str, float, Interval, float]:
    """The test, its p, its 95 % interval and the spread of the paired differences."""
    paired = set(first.scores) == set(second.scores) and first.data_hz == second.data_hz
    a = np.array([first.scores[seed] for seed in sorted(first.scores)])
    b = np.array([second.scores[seed] for seed in sorted(second.scores)])
    name = PAIRED if paired else WELCH
    spread = float(np.std(a - b, ddof=1)) if paired and len(a) > 1 else math.nan
    # Seeds that all agree, apart from rounding, show no spread at all; a t-test would take that for certainty.
    agree = np.ptp(a - b) < 1e-12 if paired else max(np.ptp(a), np.ptp(b)) < 1e-12
    if min(len(a), len(b)) < 2 or agree:
        return name, math.nan, UNKNOWN, spread
    result = scipy_stats.ttest_rel(a, b) if paired else scipy_stats.ttest_ind(a, b, equal_var=False)
    ends = result.confidence_interval(0.95)
    return name, float(result.pvalue), Interval(float(ends.low), float(ends.high)), spread


def _mean(entry: Entry) -> float:
    return float(np.mean(list(entry.scores.values())))
