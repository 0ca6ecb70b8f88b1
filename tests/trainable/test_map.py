"""mAP equals scikit-learn's and figures worked out by hand; the order of clips with equal shares does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sweeps.recipes.mohammadi import RATES
from trainable.result import metrics
from trainable.scores.map import Map


@pytest.mark.parametrize("num_levels", [1_000_000, 3, 1])
@pytest.mark.parametrize("seed", range(3))
def test_is_that_of_scikit_learn(seed: int, num_levels: int) -> None:
    """The values agree for unequal classes; with few levels of logits, many shares are equal, or all."""
    random = np.random.default_rng(seed)
    logits = random.integers(num_levels, size=(60, 3)) / num_levels
    labels = np.concatenate([np.arange(3), random.choice(3, size=57, p=(0.7, 0.2, 0.1))])
    expected = average_precision_score(np.eye(3)[labels], metrics.shares(logits), average="macro")
    assert Map().of(logits, labels, labels) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    """The second class ranks its clips first and third, (1/1 + 2/3) / 2; the first, from below, first and third too."""
    second, labels = np.array([0.9, 0.6, 0.3, -0.5]), np.array([1, 0, 1, 0])
    assert Map().of(np.stack([np.zeros(4), second], axis=1), labels, labels) == pytest.approx(5 / 6)


def test_equal_shares_are_one_step() -> None:
    """Of four clips that are all alike, the one of a class has a precision of 1/4, wherever it stands."""
    for place in range(4):
        labels = (np.arange(4) == place).astype(int)
        assert Map().of(np.zeros((4, 2)), labels, labels) == pytest.approx((1 / 4 + 3 / 4) / 2)


def test_a_class_without_clips_does_not_count() -> None:
    """Its average precision is unknown, and not 0."""
    logits, labels = np.eye(3)[[0, 0, 1]], np.array([0, 0, 1])
    assert Map().of(logits, labels, labels) == 1.0


def test_its_name_begins_with_a_small_letter() -> None:
    """Above a column, too; a trial can be kept by it."""
    assert (Map().title, Map().heading) == ("mAP", "mAP")
    assert RATES.but(scores="accuracy+map+loss", keep_by="map").score("map") == Map()
