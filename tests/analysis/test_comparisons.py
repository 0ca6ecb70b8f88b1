"""Pairs of networks: each test against a hand-computed value, and unknown values where the seeds cannot tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine.inference.comparisons import PAIRED, WELCH, Entry, all_pairs, holm, needed_spreads
from analysis.engine.inference.resampling import Resampled, resampled
from analysis.engine.rows import Predictions
from trainable.learning.score import ClipScore

RECORDING = np.repeat(np.arange(12), 5)


def mean_of(clips: np.ndarray) -> Resampled:
    """The mean of a value of each clip, of resampled recordings."""

    @dataclass(frozen=True)
    class Given(ClipScore):
        """The values that are given as logits."""

        def of_clips(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
            return logits[:, 0]

    labels = np.zeros(len(RECORDING), int)
    return resampled(Given(), [Predictions(clips[:, np.newaxis], labels, RECORDING, labels, ("a",))])


def network(name: str, *accuracy: float, seeds: tuple[int, ...] = (1, 2, 3), data_hz: int = 32_000) -> Entry:
    """A network with these accuracies; the first is also the score of each of its clips."""
    hits = np.full(len(RECORDING), accuracy[0])
    return Entry(name, dict(zip(seeds, accuracy, strict=False)), mean_of(hits), data_hz)


def test_holm_on_the_p_values_of_benjamini_and_hochberg_1995() -> None:
    """Their 15 tests of thrombolysis, three of which Bonferroni's and Hochberg's procedures reject: so must Holm's.

    The other values by hand: 11 x 0.0201 = 0.2211, then 10 x 0.0278 = 0.278, which the next two may not fall below.
    """
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    p += [0.6528, 0.7590, 1.0000]
    expected = [0.0015, 0.0056, 0.0247, 0.1140, 0.2211, 0.2780, 0.2780, 0.2780, 0.3213] + [1.0] * 6
    order = np.random.default_rng(0).permutation(15)
    adjusted = holm([p[i] for i in order])
    assert adjusted == pytest.approx([expected[i] for i in order])
    assert sum(value < 0.05 for value in adjusted) == 3


def test_holm_counts_tests_without_a_p_value() -> None:
    """A test without a p-value makes the family larger and stays unknown."""
    adjusted = holm([0.01, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.03)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.06)


def test_seeds_in_common_are_paired() -> None:
    """Differences of 1, 2 and 3 points: t = 2 sqrt(3) with 2 degrees of freedom, in any order of the seeds."""
    first = Entry("a", {1: 0.71, 2: 0.60, 3: 0.83}, mean_of(np.ones(60)), 32_000)
    second = Entry("b", {3: 0.80, 1: 0.70, 2: 0.58}, mean_of(np.ones(60)), 32_000)
    (pair,) = all_pairs([first, second])
    t = 2 * math.sqrt(3)
    assert pair.test == PAIRED
    assert pair.p == pair.p_holm == pytest.approx(1 - t / math.sqrt(2 + t**2))
    assert pair.difference == pytest.approx(0.02)
    assert pair.spread == pytest.approx(0.01)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (pair.over_seeds.low, pair.over_seeds.high) == pytest.approx((0.02 - half, 0.02 + half))


@pytest.mark.parametrize("other", [{"seeds": (1, 2, 4)}, {"data_hz": 16_000}])
def test_unpaired_settings_are_tested_by_welch(other: dict[str, object]) -> None:
    """With another seed or data rate, value and p are those of the textbook formula."""
    a, b = (0.71, 0.72, 0.76), (0.65, 0.66, 0.64)
    (pair,) = all_pairs([network("a", *a), network("b", *b, **other)])  # type: ignore[arg-type]
    error = math.sqrt(np.var(a, ddof=1) / 3 + np.var(b, ddof=1) / 3)
    dof = error**4 / ((np.var(a, ddof=1) / 3) ** 2 / 2 + (np.var(b, ddof=1) / 3) ** 2 / 2)
    assert pair.test == WELCH
    assert pair.p == pytest.approx(2 * scipy_stats.t.sf((np.mean(a) - np.mean(b)) / error, dof))
    assert math.isnan(pair.spread)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0.70, 0.71, 0.73), (0.60, 0.61, 0.63)),  # the same difference in each seed
        ((0.70, 0.70, 0.70), (0.60, 0.60, 0.60)),
        ((0.70,), (0.60,)),
    ],
)
def test_seeds_that_all_agree_cannot_tell(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    """A lack of spread is not certainty: the difference is kept, p and interval are unknown, and nothing warns."""
    (pair,) = all_pairs([network("a", *a), network("b", *b)])
    assert pair.difference == pytest.approx(0.1)
    assert math.isnan(pair.p)
    assert math.isnan(pair.p_holm)
    assert math.isnan(pair.over_seeds.low)
    assert not pair.told_apart


def test_ten_networks_are_45_pairs_each_once() -> None:
    """The earlier network stands first, and p is corrected for all."""
    networks = [network(f"n{i}", 0.8 - 0.01 * i, 0.79, 0.8 - 0.013 * i) for i in range(10)]
    pairs = all_pairs(networks)
    assert len({(pair.first, pair.second) for pair in pairs}) == len(pairs) == 45
    assert all(pair.first < pair.second for pair in pairs)
    assert min(pair.p_holm for pair in pairs) == pytest.approx(min(1, 45 * min(pair.p for pair in pairs)))


def test_recordings_are_drawn_for_both_networks_together() -> None:
    """Hard recordings are hard for both, so that the difference is far more certain than either accuracy."""
    rng = np.random.default_rng(3)
    ease = rng.uniform(0, 0.9, 12)
    better = Entry("a", {1: 0.5}, mean_of((ease + 0.05 + 0.01 * rng.random(12))[RECORDING]), 32_000)
    worse = Entry("b", {1: 0.45}, mean_of(ease[RECORDING]), 32_000)
    (pair,) = all_pairs([better, worse])
    assert 0.05 < pair.over_recordings.low < pair.over_recordings.high < 0.06


def test_networks_that_hit_the_same_clips_have_no_interval() -> None:
    """A difference that never varies is unknown over recordings, not certain."""
    same = np.random.default_rng(0).random(60)
    (pair,) = all_pairs([Entry("a", {1: 0.5}, mean_of(same), 1), Entry("b", {1: 0.5}, mean_of(same), 1)])
    assert math.isnan(pair.over_recordings.low)


@pytest.mark.parametrize(("num_seeds", "num_pairs", "expected"), [(3, 1, 2.484), (3, 45, 17.306), (5, 45, 3.746)])
def test_what_a_pair_needs_is_just_significant(num_seeds: int, num_pairs: int, expected: float) -> None:
    """Differences with that mean and a deviation of 1 have p = 0.05 / pairs."""
    needed = needed_spreads(num_seeds, num_pairs)
    values = np.linspace(-1, 1, num_seeds)
    differences = needed + values / values.std(ddof=1)
    assert scipy_stats.ttest_1samp(differences, 0).pvalue == pytest.approx(0.05 / num_pairs)
    assert needed == pytest.approx(expected, abs=1e-3)


def test_one_seed_can_show_nothing() -> None:
    """No difference is large enough."""
    assert needed_spreads(1, 45) == math.inf
