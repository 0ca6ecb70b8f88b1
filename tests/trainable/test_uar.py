"""UAR equals scikit-learn's balanced accuracy and figures worked out by hand; a trial can keep its best epoch by it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from sweeps.recipes.mohammadi import RATES
from trainable.finetune import kept_epoch
from trainable.scores.uar import Uar


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(5))
def test_is_that_of_scikit_learn(seed: int) -> None:
    """The values agree for unequal classes, one of which never occurs, though it may be predicted."""
    random = np.random.default_rng(seed)
    logits, labels = random.normal(size=(60, 4)), random.choice(3, size=60, p=(0.7, 0.2, 0.1))
    expected = balanced_accuracy_score(labels, logits.argmax(axis=1))
    assert Uar().of(logits, labels, labels.astype(str)) == pytest.approx(expected)


def test_by_hand() -> None:
    """Three of four of the one class and one of two of the other: (3/4 + 1/2) / 2, where accuracy is 4/6."""
    predicted, labels = np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 0, 0, 1, 1])
    assert Uar().of(np.eye(3)[predicted], labels, np.arange(6)) == pytest.approx(0.625)


def test_one_answer_for_all_is_chance() -> None:
    """However unequal two classes are, a constant prediction has a half."""
    labels = np.array([0] * 9 + [1])
    assert Uar().of(np.eye(2)[np.zeros(10, int)], labels, np.arange(10)) == pytest.approx(0.5)


def test_a_trial_is_kept_and_stopped_by_it() -> None:
    """It needs no other score beside it, and is then the trial's main score, by which a search looks for settings."""
    trial = RATES.but(augment="none", scores="uar+loss", keep_by="uar", stop_by="uar", patience=1)
    assert trial.listed_by == "test_uar"
    assert trial.but(scores="auroc+map+uar+loss").main_score == Uar()
    assert trial.but(scores="uar+accuracy+loss").main_score.name == "accuracy"
    assert kept_epoch([{"val_uar": 0.2}, {"val_uar": 0.5}, {"val_uar": 0.4}], trial) == 2
