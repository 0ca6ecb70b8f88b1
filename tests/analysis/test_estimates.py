"""Estimates for recordings to come: their parts by hand, and what is unknown. benchmarks.coverage has their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine.inference import estimates
from analysis.engine.inference.estimates import Estimate
from analysis.engine.inference.influences import Influence, of_mean
from analysis.engine.stats import Variance


def influences(*by_group: float) -> Influence:
    """The influence of recordings of equal length."""
    return Influence(0.0, np.array(by_group), np.ones(len(by_group)))


def crossed(values: np.ndarray, recording: np.ndarray) -> Estimate:
    """The estimate of a mean over clips, from its value for each seed and clip."""
    return estimates.estimate(values.mean(axis=1), of_mean(values.mean(axis=0), recording, np.unique(recording)))


def test_both_causes_add_to_the_error() -> None:
    """Seeds of variance 1 / 4, and recordings of variance 4 / 4."""
    found = estimates.estimate(np.array([1.0, 1.0, 3.0, 3.0]), influences(2.0, -2.0, 2.0, -2.0))
    assert found.value == 2.0
    assert found.seeds.value == pytest.approx((4 / 3) / 4)
    assert found.recordings.value == pytest.approx((16 / 3) / 4)
    assert found.error == pytest.approx(math.sqrt(5 / 3))


def test_the_degrees_of_freedom_are_satterthwaites() -> None:
    """Those of a part that is all of the variance, and of equal parts their sum; or fewer, at the upper limit."""
    alone = Estimate(0.0, Variance(0.0, 2), Variance(1.0, 9))
    assert alone.dof == pytest.approx(9)
    equal = Estimate(0.0, Variance(1.0, 4), Variance(1.0, 4))
    assert equal.own_dof == pytest.approx(8)
    upper = 4 / scipy_stats.chi2.ppf(0.2, 4)
    assert equal.dof == pytest.approx((upper + 1) ** 2 / ((upper**2 + 1) / 4))


def test_an_interval_of_a_share_stays_a_share() -> None:
    """Near 1 it is long downwards and short upwards; that of any other number is symmetric."""
    found = Estimate(0.98, Variance(1e-4, 2), Variance(4e-4, 11))
    shared, plain = found.interval(share=True), found.interval()
    assert 0 < shared.low < plain.low < 0.98 < shared.high < 1 < plain.high
    assert 0.98 - shared.low > shared.high - 0.98
    logit = math.log(0.98 / 0.02)
    half = scipy_stats.t.ppf(0.975, found.dof) * found.error / (0.98 * 0.02)
    assert shared.low == pytest.approx(1 / (1 + math.exp(half - logit)))


def test_it_is_not_needlessly_wide() -> None:
    """With nothing but recordings it is little wider than their t-interval."""
    rng = np.random.default_rng(5)
    values = rng.standard_normal(200) + 1e-3 * rng.standard_normal((4, 200))
    found = crossed(values, np.arange(200)).interval()
    half = 1.972 * np.std(values.mean(axis=0), ddof=1) / math.sqrt(200)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("by_seed", "by_recording"), [(0.0, 0.2), (0.1, 0.2), (0.2, 0.05), (0.1, 0.0)])
@pytest.mark.parametrize(("seeds", "recordings"), [(3, 24), (10, 24), (3, 120)])
def test_it_covers_the_truth(by_seed: float, by_recording: float, seeds: int, recordings: int) -> None:
    """Of differences whose mean is known, over seeds and recordings to come: at least 95 of 100, less chance.

    Recordings of one to three clips; every clip has noise of its own, as an answer that is right or wrong has.
    """
    rng = np.random.default_rng(11)
    hits, num = 0, 400
    for _ in range(num):
        recording = np.repeat(np.arange(recordings), rng.integers(1, 4, recordings))
        effects = by_recording * rng.standard_normal(recordings)
        noise = 0.4 * rng.standard_normal((seeds, len(recording)))
        values = 0.1 + by_seed * rng.standard_normal((seeds, 1)) + effects[recording] + noise
        interval = crossed(values, recording).interval()
        hits += interval.low <= 0.1 <= interval.high
    assert hits / num >= 0.93  # 0.95 less 1.8 standard errors of 400 draws


def test_one_recording_leaves_it_unknown_and_one_seed_is_that_network() -> None:
    """A single recording says nothing of others; a single seed leaves the error of its network on recordings."""
    assert math.isnan(crossed(np.arange(8.0).reshape(2, 4), np.zeros(4)).error)
    one = crossed(np.arange(4.0).reshape(1, 4), np.arange(4))
    assert one.error == pytest.approx(math.sqrt(5 / 3 / 4))
    assert one.dof == pytest.approx(3)


def test_many_equal_pairs_share_what_is_known_of_their_seeds() -> None:
    """A pair whose three seeds agree by chance has the degrees of freedom of the family, and so a larger p."""
    lucky = Estimate(0.02, Variance(1e-9, 2), Variance(1e-5, 60))
    others = [Estimate(0.0, Variance(1e-4, 2), Variance(1e-5, 60)) for _ in range(9)]
    flat = Influence(0.0, np.zeros(61), np.ones(61))
    alone, (among, *_) = estimates.p_values([lucky], [flat]), estimates.p_values([lucky, *others], [flat] * 10)
    assert alone[0] == pytest.approx(2 * scipy_stats.t.sf(0.02 / lucky.error, lucky.dof))
    assert among > 100 * alone[0]


def test_a_few_recordings_are_tested_by_all_signs() -> None:
    """Four groups that all favour one side: 2 of 16 signs are as extreme, however alike the differences are."""
    its = Influence(0.1, np.array([0.001, -0.001, 0.0, 0.0]), np.ones(4))
    assert estimates.by_signs(its) == pytest.approx(2 / 16)
    one = estimates.estimate(np.array([0.1, 0.1001]), its)
    assert estimates.p_values([one], [its]) == [pytest.approx(2 / 16)]


def test_unpaired_seeds_have_both_spreads() -> None:
    """The variances of two means add up, with Welch's degrees of freedom."""
    first, second = np.array([0.7, 0.8, 0.9]), np.array([0.5, 0.6])
    found = estimates.of_unpaired(first, second, influences(0.1, -0.1))
    assert found.value == pytest.approx(0.25)
    assert found.seeds.value == pytest.approx(0.01 / 3 + 0.005 / 2)
    welch = scipy_stats.ttest_ind(first, second, equal_var=False)
    assert found.seeds.dof == pytest.approx(welch.df)


def test_nothing_that_varies_leaves_it_unknown() -> None:
    """No p, no interval, no warning."""
    found = estimates.estimate(np.array([0.5, 0.5]), influences(0.0, 0.0, 0.0))
    assert math.isnan(found.error)
    assert math.isnan(found.interval().low)
    assert math.isnan(estimates.p_values([found], [influences(0.0, 0.0, 0.0)])[0])
