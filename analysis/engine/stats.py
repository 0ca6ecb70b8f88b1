"""Numbers with their uncertainty over seeds, also against a published number.

Accuracies are fractions. An interval is NaN where the data do not determine it, as with one seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import expit, logit

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05  # of every test


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval; NaN where it is unknown."""

    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class SeedSummary:
    """Mean, sample standard deviation (ddof 1) and number of seeds, with the 95 % t-interval of the mean."""

    mean: float
    std: float
    n: int
    interval: Interval


@dataclass(frozen=True)
class Difference:
    """A difference of two means over seeds, with its standard error and degrees of freedom; NaN if unknown."""

    value: float
    error: float
    dof: float

    @property
    def interval95(self) -> Interval:
        """The 95 % Welch interval."""
        half = float(stats.t.ppf(0.975, self.dof)) * self.error
        return around(self.value, half)

    @property
    def p(self) -> float:
        """The two-sided p-value of the null of no difference."""
        return 2 * float(stats.t.sf(abs(self.value) / self.error, self.dof))

    def p_beyond(self, margin: float) -> float:
        """The p-value of the null that the difference is at least ±margin, by two one-sided tests.

        Source:
            Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
        """
        return float(stats.t.sf((margin - abs(self.value)) / self.error, self.dof))


def seed_summary(values: Sequence[float], share: bool = False) -> SeedSummary:
    """Summarises one value per seed.

    Captures what depends on the seed (initial head, order of clips, augmentation) on this one test set; not the choice
    of recordings in the test set.

    Args:
        share: whether the values are shares between 0 and 1, as the ends of the interval then are too.
    """
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return SeedSummary(mean, math.nan, n, UNKNOWN)
    std = float(np.std(values, ddof=1))
    return SeedSummary(mean, std, n, around(mean, float(stats.t.ppf(0.975, n - 1)) * std / math.sqrt(n), share))


def around(value: float, half: float, share: bool = False) -> Interval:
    """The interval of a value from its half-width; NaN if that is unknown.

    Args:
        share: whether the value is a share between 0 and 1; the interval is then that of its logit, so that it stays
            there, and unknown at 0 and 1.
    """
    if math.isnan(half) or (share and not 0 < value < 1):
        return UNKNOWN
    if not share:
        return Interval(value - half, value + half)
    half /= value * (1 - value)
    return Interval(float(expit(logit(value) - half)), float(expit(logit(value) + half)))


@dataclass(frozen=True)
class Variance:
    """An estimated variance of a mean, and its degrees of freedom."""

    value: float
    dof: float


def added(*parts: Variance) -> Variance:
    """The variance of a sum of independent parts; its degrees of freedom are infinite where no part varies.

    Source:
        Satterthwaite 1946, Biometrics Bulletin 2, 110-114.
    """
    total = sum(part.value for part in parts)
    below = sum(part.value**2 / part.dof for part in parts if part.value)
    return Variance(total, total**2 / below if below > 0 else math.inf)


def sample_std(std: float, n: int, ddof: int) -> float:
    """Converts the standard deviation of n values from `ddof` to the sample one (ddof 1); NaN for a single value."""
    return std * math.sqrt((n - ddof) / (n - 1)) if n > 1 else math.nan


def welch(mean: float, std: float, n: int, other_mean: float, other_std: float, other_n: int) -> Difference:
    """`mean` minus `other_mean`, with Welch's standard error and degrees of freedom from sample deviations.

    Captures the spread over seeds on both sides. If both were scored on the same test set, nothing else separates them;
    if not, the error is too small.

    Returns:
        The difference; its error is NaN if either side has one seed, or neither has any spread.
    """
    value = mean - other_mean
    if n < 2 or other_n < 2 or not std + other_std > 0:
        return Difference(value, math.nan, math.nan)
    both = added(Variance(std**2 / n, n - 1), Variance(other_std**2 / other_n, other_n - 1))
    return Difference(value, math.sqrt(both.value), both.dof)


def verdicts(differences: Sequence[Difference], margin: float) -> list[str]:
    """The conclusion from each of several differences that stand in one table.

    "equivalent": two one-sided tests reject a difference beyond ±margin, even if another rejects one of 0.
    "different": a two-sided test rejects a difference of 0. "cannot tell": neither. Both are tests at 5 % in all,
    corrected for the number of differences by Holm's procedure.

    Args:
        margin: the largest difference that does not matter.
    """
    different = holm([difference.p for difference in differences])
    equivalent = holm([difference.p_beyond(margin) for difference in differences])
    return [
        "equivalent" if same < LEVEL else "different" if apart < LEVEL else "cannot tell"
        for same, apart in zip(equivalent, different, strict=True)
    ]


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
