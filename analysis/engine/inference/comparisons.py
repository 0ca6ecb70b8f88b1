"""Pairwise comparisons of settings, on these recordings and on recordings to come, corrected for their number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from analysis.engine.inference import estimates
from analysis.engine.inference.estimates import Estimate
from analysis.engine.inference.influences import Influence
from analysis.engine.stats import LEVEL, UNKNOWN, Interval, holm

PAIRED, WELCH = "paired", "unpaired"


@dataclass(frozen=True)
class Entry:
    """The scores of one setting on the test recordings that all settings share."""

    name: str
    scores: Mapping[int, float]  # by seed
    influence: Influence  # of their mean
    data_hz: int


@dataclass(frozen=True)
class Pair:
    """The difference between the mean scores of two settings, as a fraction: `first` minus `second`."""

    first: str
    second: str
    difference: float
    seeds: str  # PAIRED or WELCH
    num_seeds: tuple[int, int]
    p_here: float  # two-sided, on these recordings; NaN where the seeds do not determine it
    p: float  # two-sided, on recordings to come; NaN where seeds and recordings do not determine it
    p_holm: float  # `p`, corrected for all pairs
    here: Interval  # 95 %, on these recordings, not corrected
    to_come: Interval  # 95 %, on recordings to come, not corrected
    estimate: Estimate  # of the difference on recordings to come

    @property
    def told_apart(self) -> bool:
        """Whether the corrected p on recordings to come is below 5 %; an unknown p is not."""
        return self.p_holm < LEVEL


def all_pairs(entries: Sequence[Entry]) -> tuple[Pair, ...]:
    """Compares every pair of settings; within a pair, the setting that comes first in `entries` is `first`.

    Seeds are paired where both settings have the same seeds and data rate, because a seed then fixes the same order of
    clips and the same random draws of augmentation for both. On these recordings the test is then a paired t-test, and
    otherwise Welch's; on recordings to come it is that of `estimates.p_values`.

    Args:
        entries: the settings, all scored on the same clips.
    """
    both = list(itertools.combinations(entries, 2))
    influences = [first.influence - second.influence for first, second in both]
    family = [_estimate(first, second, its) for (first, second), its in zip(both, influences, strict=True)]
    p = estimates.p_values(family, influences)
    pairs = []
    for (first, second), estimate, its_p, p_holm in zip(both, family, p, holm(p), strict=True):
        p_here, here = _on_these(first, second)
        pairs.append(
            Pair(
                first=first.name,
                second=second.name,
                difference=estimate.value,
                seeds=PAIRED if _paired(first, second) else WELCH,
                num_seeds=(len(first.scores), len(second.scores)),
                p_here=p_here,
                p=its_p,
                p_holm=p_holm,
                here=here,
                to_come=estimate.interval(),
                estimate=estimate,
            )
        )
    return tuple(pairs)


def _estimate(first: Entry, second: Entry, influence: Influence) -> Estimate:
    """The difference on recordings to come; of unknown error where a setting has one seed."""
    a, b = _values(first), _values(second)
    if min(len(a), len(b)) < 2:
        unknown = estimates.Variance(math.nan, math.nan)
        return Estimate(float(a.mean() - b.mean()), unknown, unknown)
    if _paired(first, second):
        return estimates.estimate(a - b, influence)
    return estimates.of_unpaired(a, b, influence)


def _on_these(first: Entry, second: Entry) -> tuple[float, Interval]:
    """The p and the 95 % interval of the difference on these recordings: over seeds."""
    a, b, paired = _values(first), _values(second), _paired(first, second)
    # Seeds that all agree, apart from rounding, show no spread at all; a t-test would take that for certainty.
    agree = np.ptp(a - b) < 1e-12 if paired else max(np.ptp(a), np.ptp(b)) < 1e-12
    if min(len(a), len(b)) < 2 or agree:
        return math.nan, UNKNOWN
    result = scipy_stats.ttest_rel(a, b) if paired else scipy_stats.ttest_ind(a, b, equal_var=False)
    ends = result.confidence_interval(0.95)
    return float(result.pvalue), Interval(float(ends.low), float(ends.high))


def _paired(first: Entry, second: Entry) -> bool:
    return set(first.scores) == set(second.scores) and first.data_hz == second.data_hz


def _values(entry: Entry) -> np.ndarray:
    return np.array([entry.scores[seed] for seed in sorted(entry.scores)])
