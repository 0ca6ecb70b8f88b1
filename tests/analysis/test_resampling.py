"""Intervals over recordings, of any score: equal to a known bootstrap, and true in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.engine import stats
from analysis.engine.inference.resampling import Resampled, mean, resampled
from analysis.engine.rows import Predictions
from trainable.config import FIELDS
from trainable.learning.part import named, names
from trainable.learning.score import Score

FOLDER = FIELDS["scores"].metadata["folder"]
CLASSES = ("frog", "owl", "toad")


def score(name: str) -> Score:
    """A score of `trainable/scores/`."""
    found: Score = named("score", FOLDER, name)
    return found


def drawn(
    rng: np.random.Generator, num_recordings: int, ease: tuple[float, ...] = (0.9, 0.6, 0.4), num_networks: int = 1
) -> list[Predictions]:
    """Predictions for recordings of two to six clips, each of which has an ease of its own about that of its class.

    The networks are equally good: they find the same recordings easy, and err on clips of their own.
    """
    label = np.concatenate([np.arange(3), rng.choice(3, num_recordings - 3, p=(0.5, 0.3, 0.2))])
    chance = rng.beta(4 * np.array(ease), 4 * (1 - np.array(ease)), (num_recordings, 3))[np.arange(len(label)), label]
    where = np.repeat(np.arange(num_recordings), rng.integers(2, 7, num_recordings))
    networks = []
    for _ in range(num_networks):
        right = rng.random(len(where)) < chance[where]
        named_as = np.where(right, label[where], (label[where] + rng.integers(1, 3, len(where))) % 3)
        logits = (np.eye(3)[named_as] + 0.1 * rng.random((len(where), 3))).astype(np.float32)
        networks.append(Predictions(logits, label[where], where.astype(str), np.zeros(len(where), int), CLASSES))
    return networks


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_of_a_mean_it_is_the_interval_of_a_mean(name: str) -> None:
    """Draws and corrections are those of scipy's bootstrap."""
    seeds = drawn(np.random.default_rng(5), 40)
    values = np.stack([score(name).of_clips(seed.logits, seed.labels) for seed in seeds])  # type: ignore[attr-defined]
    expected = stats.recording_interval(values, seeds[0].recording, np.random.default_rng(stats.BOOTSTRAP_SEED))
    found = resampled(score(name), seeds).interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("ease", [(0.9, 0.6, 0.4), (0.75, 0.75, 0.75)])
def test_the_interval_of_uar_covers_the_truth(ease: tuple[float, ...]) -> None:
    """The mean of the classes' true recalls lies in it for at least 92 of 100 test sets, and not for all."""
    rng, num = np.random.default_rng(3), 200
    found = [resampled(score("uar"), drawn(rng, 90, ease)).interval() for _ in range(num)]
    share = np.mean([interval.low <= np.mean(ease) <= interval.high for interval in found])
    assert 0.92 <= share < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uar", "auroc"])
def test_the_interval_of_a_difference_covers_none(name: str) -> None:
    """Two networks that are equally good on recordings to come differ by nothing in at least 92 of 100 test sets."""
    rng, num, hits = np.random.default_rng(4), 200, 0
    for _ in range(num):
        one, other = (resampled(score(name), [seed]) for seed in drawn(rng, 60, num_networks=2))
        interval = (one - other).interval()
        hits += interval.low <= 0 <= interval.high
    assert 0.92 <= hits / num < 1


@pytest.mark.parametrize("name", names(FOLDER))
def test_every_score_has_an_interval_around_it(name: str) -> None:
    """Two seeds, on forty recordings."""
    rng = np.random.default_rng(0)
    first, second = drawn(rng, 40, num_networks=2)
    one = score(name)
    found = resampled(one, [first, second])
    assert found.value == pytest.approx(
        np.mean([one.of(its.logits, its.labels, its.recording) for its in (first, second)])
    )
    assert len(found.draws) == one.num_draws
    interval = found.interval()
    assert interval.low < found.value < interval.high


def test_what_recordings_cannot_tell_is_unknown() -> None:
    """A single recording, or recordings that are all alike, show ignorance and not certainty; nothing warns."""
    one = Predictions(np.eye(3)[[0, 1]], np.array([0, 0]), np.array(["a", "a"]), np.arange(2), CLASSES)
    same = Predictions(np.eye(3)[[0, 1, 2]], np.arange(3), np.array(list("abc")), np.arange(3), CLASSES)
    for predictions in (one, same):
        assert math.isnan(resampled(score("uar"), [predictions]).interval().low)


def test_differences_and_means_are_taken_draw_by_draw() -> None:
    """By hand, for two draws of two recordings."""
    a, b = (Resampled(v, np.array([v, v + 1]), np.array([v - 1, v + 1])) for v in (4.0, 1.0))
    assert (a - b).draws.tolist() == [3.0, 3.0]
    assert mean([a, b]).value == 2.5
    assert a.influence.tolist() == [1.0, -1.0]
