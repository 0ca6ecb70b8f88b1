"""Macro-F1 equals scikit-learn's, and a trial can keep its best epoch by it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sweeps.recipes.mohammadi import RATES
from trainable.finetune import kept_epoch
from trainable.scores.macro_f1 import MacroF1


@pytest.mark.parametrize("seed", range(5))
def test_is_that_of_scikit_learn(seed: int) -> None:
    """The values agree for unequal classes, one of which never occurs."""
    random = np.random.default_rng(seed)
    logits, labels = random.normal(size=(60, 4)), random.choice(3, size=60, p=(0.7, 0.2, 0.1))
    expected = f1_score(labels, logits.argmax(axis=1), average="macro")
    assert MacroF1().of(logits, labels, labels.astype(str)) == pytest.approx(expected)


def test_a_trial_is_kept_by_it() -> None:
    """It is a score like any other if the trial lists it."""
    trial = RATES.but(augment="none", scores="accuracy+loss+macro_f1", keep_by="macro_f1")
    history = [{"val_macro_f1": 0.2, "val_accuracy": 0.9}, {"val_macro_f1": 0.5, "val_accuracy": 0.1}]
    assert kept_epoch(history, trial) == 2
    with pytest.raises(ValueError, match="keep_by='macro_f1': choose one of accuracy, loss, none, or add it to scores"):
        trial.but(scores="accuracy+loss")
