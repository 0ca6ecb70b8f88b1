"""Statistics compared with hand-computed values, slow references and known properties."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine import stats
from analysis.engine.stats import Difference, Interval


def test_seed_summary_takes_the_sample_deviation_and_the_t_interval() -> None:
    """For 0.70, 0.71 and 0.75: std by hand, and a half-width of 4.303 std / sqrt(3)."""
    summary = stats.seed_summary([0.70, 0.71, 0.75])
    assert summary.n == 3
    assert summary.mean == pytest.approx(0.72)
    assert summary.std == pytest.approx(statistics.stdev([0.70, 0.71, 0.75]))
    assert summary.interval.high - summary.mean == pytest.approx(4.302653 * summary.std / math.sqrt(3))
    assert summary.mean - summary.interval.low == pytest.approx(summary.interval.high - summary.mean)


def test_one_seed_has_no_spread() -> None:
    """The deviation of one value is unknown, not 0."""
    summary = stats.seed_summary([0.7])
    assert (summary.mean, summary.n) == (0.7, 1)
    assert math.isnan(summary.std)
    assert math.isnan(summary.interval.low)


def clustered(num_recordings: int = 40, clips: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Two seeds' hits on recordings that are either easy or hard."""
    rng = np.random.default_rng(7)
    recording = np.repeat(np.arange(num_recordings), clips)
    chance = rng.choice([0.35, 0.95], num_recordings)[recording]
    return rng.random((2, len(recording))) < chance, recording


def test_recording_interval_is_that_of_a_plain_bca_bootstrap() -> None:
    """A loop that draws recordings, pools their clips and corrects for bias and skew by hand agrees within a point.

    Three of thirty recordings are hard, and one has 90 clips: the skew puts plain percentiles 3 points off.
    """
    recording = np.repeat(np.arange(30), [90, *[30] * 29])
    hits = np.random.default_rng(3).random((2, len(recording))) < np.where(recording % 10 == 5, 0.05, 0.95)
    interval = stats.recording_interval(hits, recording, np.random.default_rng(0))

    members = [hits[:, recording == name].mean(axis=0) for name in range(30)]
    rng = np.random.default_rng(1)
    draws = [np.concatenate([members[name] for name in rng.choice(30, 30)]).mean() for _ in range(9_999)]
    left_out = np.array([hits[:, recording != name].mean() for name in range(30)])
    push = left_out.mean() - left_out
    skew = (push**3).sum() / (6 * (push**2).sum() ** 1.5)
    bias = scipy_stats.norm.ppf(np.mean(np.array(draws) < hits.mean()))
    ends = [bias + (bias + z) / (1 - skew * (bias + z)) for z in (-1.959964, 1.959964)]
    low, high = np.quantile(draws, scipy_stats.norm.cdf(ends))
    assert interval.low == pytest.approx(low, abs=0.01)
    assert interval.high == pytest.approx(high, abs=0.01)


def test_recording_interval_is_wider_than_that_of_independent_clips() -> None:
    """Where recordings are easy or hard as a whole, 40 recordings tell less than 1,200 independent clips would."""
    hits, recording = clustered()
    interval = stats.recording_interval(hits, recording, np.random.default_rng(0))
    naive = 2 * 1.96 * math.sqrt(hits.mean() * (1 - hits.mean()) / len(recording))
    assert interval.high - interval.low > 2 * naive
    assert interval.low < hits.mean() < interval.high


def test_recording_interval_repeats_with_its_seed() -> None:
    """The same seed gives the same interval; another seed gives another."""
    hits, recording = clustered()
    first, again, other = (stats.recording_interval(hits, recording, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("share", [1.0, 0.0, 0.5])
def test_recordings_that_do_not_differ_give_no_interval(share: float) -> None:
    """If all are right, wrong or half right, in recordings of 2 and 4 clips, it is unknown, and nothing warns."""
    interval = stats.recording_interval(np.full((3, 6), share), np.array([0, 0, 1, 1, 1, 1]), np.random.default_rng(0))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_one_recording_gives_no_interval() -> None:
    """A single recording says nothing about others."""
    interval = stats.recording_interval(np.array([[1.0, 0.0]]), np.array(["a", "a"]), np.random.default_rng(0))
    assert math.isnan(interval.low)


def test_two_recordings_give_a_finite_interval() -> None:
    """The smallest informative case: one recording is all right and the other all wrong."""
    interval = stats.recording_interval(np.array([[1.0, 1.0, 0.0]]), np.array([0, 0, 1]), np.random.default_rng(0))
    assert 0 <= interval.low < 2 / 3 < interval.high <= 1


def test_sample_std_undoes_the_population_deviation() -> None:
    """A deviation with ddof 0 of three values is multiplied by sqrt(3/2); ddof 1 stays; one value is unknown."""
    values = [0.1, 0.5, 0.7]
    assert stats.sample_std(float(np.std(values)), 3, 0) == pytest.approx(statistics.stdev(values))
    assert stats.sample_std(0.5, 3, 1) == 0.5
    assert math.isnan(stats.sample_std(0.5, 1, 0))


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [
        ((73.7, 0.8), (70.6, 0.8), 0.009),  # ConvNeXtV2 against CNN14, deviations taken as sample ones
        ((67.1, 0.3), (65.4, 0.7), 0.037),  # MobileNetV1 against V3: the paper's "statistically significant"
        ((75.1, 0.3), (74.2, 0.5), 0.069),
        ((70.6, 0.8), (68.6, 2.7), 0.33),
    ],
)
def test_welch_p_of_published_pairs(ours: tuple[float, float], theirs: tuple[float, float], p: float) -> None:
    """The p-values of printed pairs at n = 3 are known."""
    assert stats.welch(*ours, 3, *theirs, 3).p == pytest.approx(p, abs=0.005)


def test_ddof_decides_significance() -> None:
    """MobileNetV1 against V3 has p = 0.037 as printed and 0.059 once ddof 0 is undone."""
    difference = stats.welch(67.1, stats.sample_std(0.3, 3, 0), 3, 65.4, stats.sample_std(0.7, 3, 0), 3)
    assert difference.p == pytest.approx(0.059, abs=0.001)


def test_welch_agrees_with_scipy_on_raw_values() -> None:
    """Value, p and both intervals are those of scipy's test on the values themselves."""
    a, b = [0.71, 0.74, 0.735, 0.72], [0.70, 0.69, 0.72]
    difference = stats.welch(statistics.mean(a), statistics.stdev(a), 4, statistics.mean(b), statistics.stdev(b), 3)
    slow = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert difference.p == pytest.approx(slow.pvalue)
    for level, interval in ((0.95, difference.interval95), (0.90, difference.interval90)):
        expected = slow.confidence_interval(level)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    "sides", [(0.7, math.nan, 1, 0.6, 0.01, 3), (0.7, 0.01, 3, 0.6, 0.01, 1), (0.7, 0.0, 3, 0.6, 0.0, 3)]
)
def test_welch_without_spread_gives_only_the_difference(sides: tuple[float, float, int, float, float, int]) -> None:
    """One seed, or seeds that all agree, give the difference and no interval; the verdict is "cannot tell"."""
    difference = stats.welch(*sides)
    assert difference.value == pytest.approx(0.1)
    assert math.isnan(difference.interval95.low)
    assert stats.verdict(difference, 0.02) == "cannot tell"


@pytest.mark.parametrize(
    ("interval90", "interval95", "expected"),
    [
        ((-0.019, 0.010), (-0.025, 0.016), "equivalent"),  # the 95 % interval need not be inside
        ((0.004, 0.019), (0.001, 0.022), "equivalent"),  # above 0, and too little to matter
        ((-0.021, 0.010), (-0.025, 0.016), "cannot tell"),
        ((0.012, 0.050), (0.010, 0.055), "different"),
        ((-0.050, -0.012), (-0.055, -0.010), "different"),
        ((0.001, 0.050), (-0.003, 0.055), "cannot tell"),  # the 90 % interval alone does not decide
    ],
)
def test_verdict(interval90: tuple[float, float], interval95: tuple[float, float], expected: str) -> None:
    """The 90 % interval and the margin decide "equivalent"; the 95 % interval and 0 decide "different"."""
    difference = Difference(0.0, Interval(*interval90), Interval(*interval95), 0.5)
    assert stats.verdict(difference, 0.02) == expected
