"""Pairwise comparisons of settings, on these recordings and on recordings to come, corrected for their number."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.engine.inference import estimates
from analysis.engine.inference.estimates import Estimate
from analysis.engine.inference.influences import Influence
from analysis.engine.inference.sides import contrast
from analysis.engine.stats import LEVEL, Interval, holm

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
    contrasts = [
        contrast(first.scores, second.scores, first.influence - second.influence, _paired(first, second))
        for first, second in both
    ]
    estimates_of = [its.to_come for its in contrasts if its.to_come]
    p = estimates.p_values(estimates_of, [its.influence for its in contrasts if its.influence])
    return tuple(
        Pair(
            first=first.name,
            second=second.name,
            difference=its.here.value,
            seeds=PAIRED if _paired(first, second) else WELCH,
            num_seeds=(len(first.scores), len(second.scores)),
            p_here=its.here.p,
            p=its_p,
            p_holm=p_holm,
            here=its.here.interval95,
            to_come=its.interval95,
            estimate=estimate,
        )
        for (first, second), its, estimate, its_p, p_holm in zip(both, contrasts, estimates_of, p, holm(p), strict=True)
    )


def _paired(first: Entry, second: Entry) -> bool:
    return set(first.scores) == set(second.scores) and first.data_hz == second.data_hz
