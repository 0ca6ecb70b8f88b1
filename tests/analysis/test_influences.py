"""How far recordings move a score: against the textbook's jackknife, for any score, and what they cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.engine.inference.influences import Influence, influence, mean, of_mean
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


def test_of_equal_recordings_the_variance_is_that_of_their_mean() -> None:
    """Recordings of two clips each: the interval is Student's, of the recordings' means."""
    rng = np.random.default_rng(5)
    values = rng.random(40)
    found = of_mean(values, np.repeat(np.arange(20), 2), np.arange(20))
    of_recordings = values.reshape(20, 2).mean(axis=1)
    expected = scipy_stats.ttest_1samp(of_recordings, 0).confidence_interval(0.95)
    assert found.dof == pytest.approx(19)
    assert (found.interval().low, found.interval().high) == pytest.approx((expected.low, expected.high))


def test_a_mean_is_moved_as_the_score_that_is_a_mean() -> None:
    """Both ways to the same numbers, with recordings of different lengths."""
    (seed,) = drawn(np.random.default_rng(5), 40)
    by_score = influence(score("accuracy"), [seed])
    right = (seed.logits.argmax(axis=1) == seed.labels).astype(float)
    by_clips = of_mean(right, seed.recording, np.unique(seed.recording))
    assert by_score.value == pytest.approx(by_clips.value)
    assert by_score.by_group == pytest.approx(by_clips.by_group)
    assert by_score.sizes.tolist() == by_clips.sizes.tolist()


def test_a_few_long_recordings_count_as_few() -> None:
    """Two recordings of 100 clips among a hundred of one tell little more than two."""
    sizes = np.array([100.0, 100.0, *[1.0] * 100])
    assert Influence(0.5, np.zeros(102), sizes).dof == pytest.approx(1.02, abs=0.01)
    assert Influence(0.5, np.zeros(5), np.full(5, 7.0)).dof == pytest.approx(4)


@pytest.mark.parametrize("name", names(FOLDER))
def test_every_score_has_an_interval_around_it(name: str) -> None:
    """Two seeds, on forty recordings."""
    rng = np.random.default_rng(0)
    first, second = drawn(rng, 40, num_networks=2)
    one = score(name)
    found = influence(one, [first, second])
    both = [one.of(its.logits, its.labels, its.recording) for its in (first, second)]
    assert found.value == pytest.approx(np.mean(both))
    assert found.by_group.mean() == pytest.approx(0, abs=1e-9)
    assert found.interval().low < found.value < found.interval().high


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uar", "auroc"])
def test_the_interval_of_a_difference_covers_none(name: str) -> None:
    """Two networks that are equally good on recordings to come differ by nothing in at least 92 of 100 test sets."""
    rng, num, hits = np.random.default_rng(4), 200, 0
    for _ in range(num):
        one, other = (influence(score(name), [seed]) for seed in drawn(rng, 60, num_networks=2))
        interval = (one - other).interval()
        hits += interval.low <= 0 <= interval.high
    assert 0.92 <= hits / num < 1


def test_what_recordings_cannot_tell_is_unknown() -> None:
    """A single recording, or recordings that are all alike, show ignorance and not certainty; nothing warns."""
    one = Predictions(np.eye(3)[[0, 1]], np.array([0, 0]), np.array(["a", "a"]), np.arange(2), CLASSES)
    same = Predictions(np.eye(3)[[0, 1, 2]], np.arange(3), np.array(list("abc")), np.arange(3), CLASSES)
    for predictions in (one, same):
        assert math.isnan(influence(score("uar"), [predictions]).interval().low)


def test_a_recording_without_a_clip_moves_nothing() -> None:
    """As where a network has no wrong clip of it."""
    found = of_mean(np.array([1.0, 3.0]), np.array(["a", "c"]), np.array(["a", "b", "c"]))
    assert found.by_group.tolist() == pytest.approx([-2.0, 0.0, 2.0])


def test_differences_and_means_are_taken_group_by_group() -> None:
    """By hand, for two recordings."""
    a, b = Influence(4.0, np.array([1.0, -1.0]), np.ones(2)), Influence(1.0, np.array([0.5, -0.5]), np.ones(2))
    assert (a - b).value == 3.0
    assert (a - b).by_group.tolist() == [0.5, -0.5]
    assert mean([a, b]).by_group.tolist() == [0.75, -0.75]
