"""Estimates for recordings to come, whose error has two causes: the seeds and the test recordings.

Seeds tell how a result varies on these recordings, and no number of them tells how it would on others. Both causes add
to the variance of a mean (Owen 2007, Annals of Applied Statistics 1, 386-411; Cameron, Gelbach and Miller 2011, Journal
of Business and Economic Statistics 29, 238-249; for benchmarks, Bouthillier et al. 2021, MLSys).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats as scipy_stats

from analysis.engine.inference.influences import ROUNDING, Influence
from analysis.engine.stats import UNKNOWN, Interval, Variance, added, around

if TYPE_CHECKING:
    from jaxtyping import Float

FEW_GROUPS = 12  # up to which all signs of their differences are tried
UPPER = 0.8  # the confidence of the upper limit of the seeds' variance that degrees of freedom are taken from


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and recordings, for recordings to come."""

    value: float
    seeds: Variance
    recordings: Variance

    @property
    def error(self) -> float:
        """The standard error; NaN if it is unknown. The effect of a seed on one recording counts in both causes."""
        total = self.seeds.value + self.recordings.value
        return math.sqrt(total) if total > ROUNDING**2 else math.nan

    @property
    def dof(self) -> float:
        """The degrees of freedom of the error, by Satterthwaite's formula at the seeds' variance or its upper limit.

        Three seeds estimate a variance badly. One that comes out small by chance would pass for a small part of the
        whole, and the whole for well known: equal networks would be told apart too often. The upper limit takes care
        of that (`benchmarks.coverage`).
        """
        return min(self.own_dof, added(Variance(_upper(self.seeds), self.seeds.dof), self.recordings).dof)

    @property
    def own_dof(self) -> float:
        """The degrees of freedom at the estimated variances."""
        return added(self.seeds, self.recordings).dof

    def interval(self, share: bool = False) -> Interval:
        """The 95 % interval; NaN if it is unknown.

        Args:
            share: whether the value is a share between 0 and 1; the interval, that of its logit, then stays there.
        """
        if math.isnan(self.error):
            return UNKNOWN
        return around(self.value, float(scipy_stats.t.ppf(0.975, self.dof)) * self.error, share)

    def p(self, dof: float) -> float:
        """The two-sided p-value of the null that the value is 0; NaN if the error is unknown."""
        return math.nan if math.isnan(self.error) else 2 * float(scipy_stats.t.sf(abs(self.value) / self.error, dof))


def _upper(variance: Variance) -> float:
    """The one-sided upper confidence limit of a variance."""
    if not variance.value:
        return variance.value
    return variance.value * variance.dof / float(scipy_stats.chi2.ppf(1 - UPPER, variance.dof))


def of_mean(values: Float[np.ndarray, " seeds"]) -> Variance:
    """The variance of the mean of several values."""
    return Variance(float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def estimate(by_seed: Float[np.ndarray, " seeds"], influence: Influence) -> Estimate:
    """The mean of one value per seed, for recordings to come.

    With one seed its error is that over recordings alone, of this one network.

    Args:
        by_seed: a score for each seed, or the difference of two scores of the same seed.
        influence: of their mean.
    """
    seeds = of_mean(by_seed) if len(by_seed) > 1 else Variance(0.0, math.inf)
    return Estimate(float(np.mean(by_seed)), seeds, Variance(influence.variance, influence.dof))


def of_unpaired(
    first: Float[np.ndarray, " seeds"], second: Float[np.ndarray, " others"], influence: Influence
) -> Estimate:
    """The difference of two means over seeds that are not the same, for recordings to come.

    Args:
        first: a score for each seed of the one setting.
        second: of the other, which is taken off.
        influence: of the difference of their means.
    """
    seeds = added(of_mean(first), of_mean(second))
    return Estimate(float(first.mean() - second.mean()), seeds, Variance(influence.variance, influence.dof))


def p_values(family: Sequence[Estimate], influences: Sequence[Influence]) -> list[float]:
    """A p-value for each estimate of a family, of the null that it is 0; NaN where it is unknown.

    The degrees of freedom of one of several are at most those of the family's mean variances: among many pairs of three
    seeds some have a variance that is small by chance, and those would be the first to be told apart. Where groups of
    recordings are few, p is at least that of all signs of the groups' differences, which takes no form for granted.

    Args:
        family: the estimates of one table.
        influences: of each of them.
    """
    known = [one for one in family if not math.isnan(one.error)]
    most = _average(known) if len(known) > 1 else math.inf
    values = []
    for one, its in zip(family, influences, strict=True):
        own = one.dof if len(known) < 2 else one.own_dof
        p = one.p(min(own, most))
        values.append(max(p, by_signs(its)) if len(its.by_group) <= FEW_GROUPS else p)
    return values


def _average(known: Sequence[Estimate]) -> float:
    """The degrees of freedom of an estimate with the mean variances of a family, and its fewest of each."""

    def mean(parts: Iterable[Variance]) -> Variance:
        values, dofs = zip(*((part.value, part.dof) for part in parts), strict=True)
        return Variance(float(np.mean(values)), min(dofs))

    return added(mean(one.seeds for one in known), mean(one.recordings for one in known)).dof


def by_signs(influence: Influence) -> float:
    """The exact two-sided p-value of a difference, from all signs of the differences of its groups of recordings.

    Source:
        Fisher 1935, The Design of Experiments, section 21.
    """
    each = influence.value + influence.by_group
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(each))))
    sums = np.abs(signs @ each)
    return float(np.mean(sums >= abs(each.sum()) - ROUNDING))
