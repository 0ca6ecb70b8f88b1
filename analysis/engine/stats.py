"""Numbers with their uncertainty: over seeds, over test recordings, and against a published number.

Accuracies are fractions. An interval is NaN where the data do not determine it: with one seed, or with recordings that
do not differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Shaped

NUM_RESAMPLES = 9_999
BOOTSTRAP_SEED = 0


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
    """A difference of two means, with its Welch intervals and the two-sided p-value of the null of no difference."""

    value: float
    interval90: Interval
    interval95: Interval
    p: float


def seed_summary(values: Sequence[float]) -> SeedSummary:
    """Summarises one value per seed.

    Captures what depends on the seed (initial head, order of clips, augmentation) on this one test set; not the choice
    of recordings in the test set.
    """
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return SeedSummary(mean, math.nan, n, UNKNOWN)
    std = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * std / math.sqrt(n)
    return SeedSummary(mean, std, n, Interval(mean - half, mean + half))


def recording_interval(
    values: Bool[np.ndarray, "seeds clips"] | Float[np.ndarray, "seeds clips"],
    recording: Shaped[np.ndarray, " clips"],
    rng: np.random.Generator,
) -> Interval:
    """95 % BCa cluster-bootstrap interval of the mean over clips, averaged over seeds.

    Captures the choice of recordings in the test set: whole recordings are resampled, because the clips of one
    recording tend to be right or wrong together. The trained networks are held fixed, so the spread over seeds is not
    included.

    Args:
        values: the score of each clip for each seed.
        recording: the recording of each clip.
        rng: the source of the draws.

    Returns:
        The interval; NaN if there are fewer than two recordings, or all are recognised equally well: the draws are then
        all alike, which shows ignorance, not certainty.
    """
    _, where = np.unique(recording, return_inverse=True)
    clips = np.bincount(where).astype(np.float64)
    correct = np.bincount(where, weights=np.mean(values, axis=0))
    if np.ptp(correct / clips) < 1e-12:  # true of a single recording as well
        return UNKNOWN
    bootstrap = stats.bootstrap(
        (correct, clips),
        lambda c, n, axis: c.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=NUM_RESAMPLES,
        batch=1_000,  # 1,000 x 121 recordings at a time is 1 MB, all at once 10
        confidence_level=0.95,
        method="BCa",
        rng=rng,
    )
    return Interval(float(bootstrap.confidence_interval.low), float(bootstrap.confidence_interval.high))


def two_way(by_seed: Float[np.ndarray, " seeds"], influence: Float[np.ndarray, " recordings"]) -> Interval:
    """95 % interval of the mean difference between two settings, over seeds and over recordings to come.

    The t-intervals over seeds and over recordings are joined as two independent causes are: the squares of their
    half-widths add up. Clips of one recording stand or fall together. What a seed does on one recording alone is
    counted twice, so that the interval is rather too wide: it covers 96 to 99 % in simulations of 3 and 10 seeds by 24
    and 120 recordings (`tests/analysis/test_findings.py`).

    Args:
        by_seed: the one setting's score less the other's, of the same seed on the same clips.
        influence: how far each recording moves the mean difference, to first order: `Resampled.influence`.

    Returns:
        NaN if there are fewer than two seeds or recordings, or if nothing varies.

    Source:
        Zou and Donner 2008, Statistics in Medicine 27, 1693-1702 (MOVER).
    """
    value = float(by_seed.mean())
    if min(len(by_seed), len(influence)) < 2:
        return UNKNOWN
    halves = [
        float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        for values in (by_seed, influence)
    ]
    half = math.hypot(*halves)
    return Interval(value - half, value + half) if half > 1e-12 else UNKNOWN


def sample_std(std: float, n: int, ddof: int) -> float:
    """Converts the standard deviation of n values from `ddof` to the sample one (ddof 1); NaN for a single value."""
    return std * math.sqrt((n - ddof) / (n - 1)) if n > 1 else math.nan


def welch(mean: float, std: float, n: int, other_mean: float, other_std: float, other_n: int) -> Difference:
    """`mean` minus `other_mean`, with the Welch intervals and p-value from sample standard deviations.

    Captures the spread over seeds on both sides. If both were scored on the same test set, nothing else separates them;
    if not, the intervals are too narrow.

    Returns:
        The difference; its intervals and p are NaN if either side has one seed, or neither has any spread.
    """
    value = mean - other_mean
    if n < 2 or other_n < 2 or not std + other_std > 0:
        return Difference(value, UNKNOWN, UNKNOWN, math.nan)
    a, b = std**2 / n, other_std**2 / other_n
    error = math.sqrt(a + b)
    dof = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (other_n - 1))

    def interval(level: float) -> Interval:
        half = float(stats.t.ppf((1 + level) / 2, dof)) * error
        return Interval(value - half, value + half)

    p = 2 * float(stats.t.sf(abs(value) / error, dof))
    return Difference(value, interval(0.90), interval(0.95), p)


def verdict(difference: Difference, margin: float) -> str:
    """The conclusion from a difference, where `margin` is the largest difference that does not matter.

    "equivalent": the 90 % interval lies inside ±margin (two one-sided tests at 5 %), even if it excludes 0.
    "different": the 95 % interval excludes 0. "cannot tell": neither.
    """
    if -margin < difference.interval90.low and difference.interval90.high < margin:
        return "equivalent"
    if difference.interval95.low > 0 or difference.interval95.high < 0:
        return "different"
    return "cannot tell"
