"""Statistics compared with hand-computed values, slow references and known properties."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine import stats
from analysis.engine.stats import Difference
from benchmarks.coverage import equal_cells


def test_seed_summary_takes_the_sample_deviation_and_the_t_interval() -> None:
    """For 0.70, 0.71 and 0.75: std by hand, and a half-width of 4.303 std / sqrt(3)."""
    summary = stats.seed_summary([0.70, 0.71, 0.75])
    assert summary.n == 3
    assert summary.mean == pytest.approx(0.72)
    assert summary.std == pytest.approx(statistics.stdev([0.70, 0.71, 0.75]))
    assert summary.interval.high - summary.mean == pytest.approx(4.302653 * summary.std / math.sqrt(3))
    assert summary.mean - summary.interval.low == pytest.approx(summary.interval.high - summary.mean)


def test_the_interval_of_shares_stays_within_them() -> None:
    """Seeds at 10, 30 and 70 %: symmetric on the logit scale, where that of other numbers goes below 0."""
    values = [0.1, 0.3, 0.7]
    plain, found = stats.seed_summary(values).interval, stats.seed_summary(values, share=True).interval
    assert plain.low < 0 < found.low < 0.3667 < found.high < 1
    assert found.low / (1 - found.low) * found.high / (1 - found.high) == pytest.approx((1.1 / 1.9) ** 2)


def test_one_seed_has_no_spread() -> None:
    """The deviation of one value is unknown, not 0."""
    summary = stats.seed_summary([0.7])
    assert (summary.mean, summary.n) == (0.7, 1)
    assert math.isnan(summary.std)
    assert math.isnan(summary.interval.low)


def test_holm_on_the_p_values_of_benjamini_and_hochberg_1995() -> None:
    """Their 15 tests of thrombolysis, three of which Bonferroni's and Hochberg's procedures reject: so must Holm's.

    The other values by hand: 11 x 0.0201 = 0.2211, then 10 x 0.0278 = 0.278, which the next two may not fall below.
    """
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    p += [0.6528, 0.7590, 1.0000]
    expected = [0.0015, 0.0056, 0.0247, 0.1140, 0.2211, 0.2780, 0.2780, 0.2780, 0.3213] + [1.0] * 6
    order = np.random.default_rng(0).permutation(15)
    adjusted = stats.holm([p[i] for i in order])
    assert adjusted == pytest.approx([expected[i] for i in order])
    assert sum(value < 0.05 for value in adjusted) == 3


def test_holm_counts_tests_without_a_p_value() -> None:
    """A test without a p-value makes the family larger and stays unknown."""
    adjusted = stats.holm([0.01, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.03)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.06)


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
    """Value, p and interval are those of scipy's test on the values themselves."""
    a, b = [0.71, 0.74, 0.735, 0.72], [0.70, 0.69, 0.72]
    difference = stats.welch(statistics.mean(a), statistics.stdev(a), 4, statistics.mean(b), statistics.stdev(b), 3)
    slow = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert difference.p == pytest.approx(slow.pvalue)
    expected = slow.confidence_interval(0.95)
    assert (difference.interval95.low, difference.interval95.high) == pytest.approx((expected.low, expected.high))
    within = slow.confidence_interval(0.90)  # which just touches a margin whose test has p = 0.05
    assert difference.p_beyond(max(-within.low, within.high)) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "sides", [(0.7, math.nan, 1, 0.6, 0.01, 3), (0.7, 0.01, 3, 0.6, 0.01, 1), (0.7, 0.0, 3, 0.6, 0.0, 3)]
)
def test_welch_without_spread_gives_only_the_difference(sides: tuple[float, float, int, float, float, int]) -> None:
    """One seed, or seeds that all agree, give the difference and no interval; the verdict is "cannot tell"."""
    difference = stats.welch(*sides)
    assert difference.value == pytest.approx(0.1)
    assert math.isnan(difference.interval95.low)
    assert stats.verdicts([difference], 0.02) == ["cannot tell"]


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (-0.005, 0.0087, "equivalent"),  # its 95 % interval goes beyond the margin, its 90 % interval does not
        (0.011, 0.0051, "equivalent"),  # above 0, and too little to matter
        (-0.005, 0.0100, "cannot tell"),
        (0.031, 0.0110, "different"),
        (-0.031, 0.0110, "different"),
        (0.025, 0.0140, "cannot tell"),
        (0.025, math.nan, "cannot tell"),
    ],
)
def test_verdict(value: float, error: float, expected: str) -> None:
    """With 1,000 degrees of freedom: 1.96 errors from 0 are different, 1.65 errors within the margin equivalent."""
    assert stats.verdicts([Difference(value, error, 1_000)], 0.02) == [expected]


def test_eighteen_verdicts_are_corrected_for_their_number() -> None:
    """A difference of p = 0.01 is different alone, and cannot be told among eighteen; one of p = 0.001 can."""
    far = [Difference(float(scipy_stats.norm.isf(p / 2)), 1.0, 1e6) for p in (0.01, 0.001)]
    assert stats.verdicts(far[:1], 0.02) == ["different"]
    assert stats.verdicts([*far, *[Difference(0.0, 1.0, 1e6)] * 16], 0.02) == [
        "cannot tell",
        "different",
        *["cannot tell"] * 16,
    ]


@pytest.mark.slow
def test_tables_of_equal_numbers_have_few_differences() -> None:
    """Eighteen cells of three seeds, equal to the published ones: 5 of 100 tables name one different, or fewer."""
    rng, num = np.random.default_rng(2), 1_000
    wrong = 0
    for _ in range(num):
        wrong += "different" in stats.verdicts(equal_cells(rng), 0.02)
    assert wrong / num <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / num)
