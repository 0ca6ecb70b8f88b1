"""Pairs of networks: each test against a hand-computed value, and unknown values where the seeds cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine.inference.comparisons import PAIRED, WELCH, Entry, all_pairs
from analysis.engine.inference.influences import Influence, of_mean

RECORDING = np.repeat(np.arange(12), 5)


def mean_of(clips: np.ndarray) -> Influence:
    """How far each recording moves the mean of a value of each clip."""
    return of_mean(clips, RECORDING, np.arange(12))


def network(name: str, *accuracy: float, seeds: tuple[int, ...] = (1, 2, 3), data_hz: int = 32_000) -> Entry:
    """A network with these accuracies; the first is also the score of each of its clips."""
    hits = np.full(len(RECORDING), accuracy[0])
    return Entry(name, dict(zip(seeds, accuracy, strict=False)), mean_of(hits), data_hz)


def test_seeds_in_common_are_paired() -> None:
    """Differences of 1, 2 and 3 points: t = 2 sqrt(3) with 2 degrees of freedom, in any order of the seeds."""
    first = Entry("a", {1: 0.71, 2: 0.60, 3: 0.83}, mean_of(np.ones(60)), 32_000)
    second = Entry("b", {3: 0.80, 1: 0.70, 2: 0.58}, mean_of(np.ones(60)), 32_000)
    (pair,) = all_pairs([first, second])
    t = 2 * math.sqrt(3)
    assert pair.seeds == PAIRED
    assert pair.p_here == pytest.approx(1 - t / math.sqrt(2 + t**2))
    assert pair.difference == pytest.approx(0.02)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (pair.here.low, pair.here.high) == pytest.approx((0.02 - half, 0.02 + half))


@pytest.mark.parametrize("other", [{"seeds": (1, 2, 4)}, {"data_hz": 16_000}])
def test_unpaired_settings_are_tested_by_welch(other: dict[str, object]) -> None:
    """With another seed or data rate, value and p are those of the textbook formula."""
    a, b = (0.71, 0.72, 0.76), (0.65, 0.66, 0.64)
    (pair,) = all_pairs([network("a", *a), network("b", *b, **other)])  # type: ignore[arg-type]
    error = math.sqrt(np.var(a, ddof=1) / 3 + np.var(b, ddof=1) / 3)
    dof = error**4 / ((np.var(a, ddof=1) / 3) ** 2 / 2 + (np.var(b, ddof=1) / 3) ** 2 / 2)
    assert pair.seeds == WELCH
    assert pair.p_here == pytest.approx(2 * scipy_stats.t.sf((np.mean(a) - np.mean(b)) / error, dof))


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
    assert math.isnan(pair.p_here)
    assert math.isnan(pair.p_holm)
    assert math.isnan(pair.here.low)
    assert not pair.told_apart


def test_ten_networks_are_45_pairs_each_once() -> None:
    """The earlier network stands first, and p is corrected for all."""
    rng = np.random.default_rng(0)
    hits = [mean_of(np.clip(0.8 - 0.01 * i + 0.1 * rng.random(60), 0, 1)) for i in range(10)]
    scores = [dict(zip((1, 2, 3), 0.8 - 0.01 * i + 0.01 * rng.random(3), strict=True)) for i in range(10)]
    pairs = all_pairs([Entry(f"n{i}", scores[i], hits[i], 32_000) for i in range(10)])
    assert len({(pair.first, pair.second) for pair in pairs}) == len(pairs) == 45
    assert all(pair.first < pair.second for pair in pairs)
    assert min(pair.p_holm for pair in pairs) == pytest.approx(min(1, 45 * min(pair.p for pair in pairs)))


def test_what_recordings_do_to_both_networks_cancels() -> None:
    """Hard recordings are hard for both, so that the difference is far more certain than either accuracy."""
    rng = np.random.default_rng(3)
    ease = rng.uniform(0, 0.9, 12)
    better = Entry("a", {1: 0.5, 2: 0.501}, mean_of((ease + 0.05 + 0.01 * rng.random(12))[RECORDING]), 32_000)
    worse = Entry("b", {1: 0.445, 2: 0.446}, mean_of(ease[RECORDING]), 32_000)
    (pair,) = all_pairs([better, worse])
    assert 0.05 < pair.to_come.low < pair.to_come.high < 0.06


def test_seeds_that_agree_leave_the_recordings() -> None:
    """As for a probe without any random draw: what is unknown here is known of recordings to come."""
    rng = np.random.default_rng(3)
    same = {1: 0.5, 2: 0.5}
    better = Entry("a", same, mean_of(0.4 + 0.2 * rng.random(60)), 32_000)
    worse = Entry("b", dict.fromkeys(same, 0.3), mean_of(0.2 + 0.2 * rng.random(60)), 32_000)
    (pair,) = all_pairs([better, worse])
    assert math.isnan(pair.p_here)
    assert pair.told_apart
    assert pair.to_come.low > 0


def test_networks_that_hit_the_same_clips_have_no_interval() -> None:
    """A difference that never varies is unknown on recordings to come, not certain."""
    same = mean_of(np.random.default_rng(0).random(60))
    (pair,) = all_pairs([Entry("a", {1: 0.5, 2: 0.6}, same, 1), Entry("b", {1: 0.5, 2: 0.5}, same, 1)])
    assert math.isnan(pair.to_come.low)
    assert not pair.told_apart


def test_more_seeds_do_not_tell_equal_networks_apart() -> None:
    """Twenty seeds settle what happens on these recordings; on others the sign may be another."""
    rng = np.random.default_rng(1)
    clips = rng.random((2, 60))
    seeds = range(20)
    first, second = (
        Entry(name, {seed: float(hits.mean() + 1e-4 * rng.random()) for seed in seeds}, mean_of(hits), 32_000)
        for name, hits in zip("ab", clips, strict=True)
    )
    (pair,) = all_pairs([first, second])
    assert pair.p_here < 1e-6
    assert pair.p > 0.05
    assert pair.to_come.low < 0 < pair.to_come.high
