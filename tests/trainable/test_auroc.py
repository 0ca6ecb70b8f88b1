"""AUROC equals scikit-learn's and figures worked out by hand, for two classes and for more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sweeps.recipes.mohammadi import RATES
from trainable.result import metrics
from trainable.scores.auroc import Auroc


@pytest.mark.parametrize("num_levels", [1_000_000, 3, 1])
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_is_that_of_scikit_learn(num_classes: int, num_levels: int) -> None:
    """The values agree for unequal classes; with few levels of logits, many shares are equal, or all."""
    random = np.random.default_rng(num_levels % 7)
    logits = random.integers(num_levels, size=(80, num_classes)) / num_levels
    some = random.choice(
        num_classes, size=80 - num_classes, p=np.arange(1, num_classes + 1) / np.sum(range(num_classes + 1))
    )
    labels, shares = np.concatenate([np.arange(num_classes), some]), metrics.shares(logits)
    expected = roc_auc_score(labels, shares[:, 1] if num_classes == 2 else shares, average="macro", multi_class="ovr")
    assert Auroc().of(logits, labels, labels) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    """Of the four pairs of an own clip and another, one is the wrong way round, and one is equal: (2 + 1/2) / 4."""
    second, labels = np.array([0.9, 0.4, 0.6, 0.4]), np.array([1, 1, 0, 0])
    assert Auroc().of(np.stack([np.zeros(4), second], axis=1), labels, labels) == pytest.approx(2.5 / 4)


def test_a_class_without_clips_does_not_count() -> None:
    """The two that have some are ranked without fault."""
    logits, labels = np.eye(3)[[0, 0, 1]], np.array([0, 0, 1])
    assert Auroc().of(logits, labels, labels) == 1.0


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_single_class_is_chance(num_classes: int) -> None:
    """There is no pair to be ranked; a score that is not finite would end the trial."""
    labels = np.zeros(4, int)
    assert Auroc().of(np.random.default_rng(0).normal(size=(4, num_classes)), labels, labels) == 0.5


def test_a_trial_is_kept_by_it() -> None:
    """It is a score like any other."""
    assert RATES.but(scores="accuracy+auroc+loss", keep_by="auroc", stop_by="auroc").score("auroc") == Auroc()
