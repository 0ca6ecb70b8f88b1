"""Confusion matrices and the scores of classes, compared with counts by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from analysis.engine.confusion import confusion, macro_f1
from analysis.engine.rows import Predictions

LABELS = np.array([0, 0, 0, 0, 1, 1])


def predicting(*classes: int, labels: Sequence[int] = LABELS, names: str = "AB") -> Predictions:  # type: ignore[assignment]
    """Predictions of these classes."""
    logits = np.eye(len(names), dtype=np.float32)[list(classes)]
    clips = np.arange(len(classes))
    return Predictions(logits, np.asarray(labels), clips.astype(str), clips, tuple(names))


SEEDS = [predicting(0, 0, 0, 1, 1, 0), predicting(0, 0, 1, 1, 1, 1)]


def test_rows_are_true_classes_and_add_up_to_one() -> None:
    """Of four clips of A, 3 and 2 are named A; of two of B, 1 and 2 are named B."""
    matrices = confusion(SEEDS)
    assert matrices.classes == ("A", "B")
    assert matrices.shares.tolist() == [[[0.75, 0.25], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]]
    assert matrices.mean.tolist() == [[0.625, 0.375], [0.25, 0.75]]
    assert matrices.mean.sum(axis=1) == pytest.approx([1, 1])


def test_deviation_over_seeds_is_the_sample_one() -> None:
    """For 0.75 and 0.50 it is 0.25 / sqrt(2); for one seed it is unknown."""
    assert confusion(SEEDS).std[0, 0] == pytest.approx(0.25 / math.sqrt(2))
    assert np.isnan(confusion(SEEDS[:1]).std).all()


def test_recall_is_the_diagonal() -> None:
    """It has a mean and a deviation over seeds, class by class."""
    first, second = confusion(SEEDS).recall
    assert (first.mean, second.mean) == (0.625, 0.75)
    assert second.std == pytest.approx(0.5 / math.sqrt(2))
    assert second.n == 2


def test_macro_f1_is_the_mean_of_the_classes() -> None:
    """Seed 1: A 3 hits, 1 missed, 1 wrong, F1 6/8; B 1, 1, 1, F1 2/4. Seed 2: A 4/6, B 4/6."""
    score = macro_f1(SEEDS)
    assert score.mean == pytest.approx(((0.75 + 0.5) / 2 + 2 / 3) / 2)
    assert score.n == 2


def test_a_class_without_test_clips_is_unknown() -> None:
    """Its row and recall are NaN, it has no share in the macro-F1, and nothing warns."""
    seeds = [predicting(0, 2, 1, labels=[0, 0, 1], names="ABC")]
    matrices = confusion(seeds)
    assert np.isnan(matrices.mean[2]).all()
    assert math.isnan(matrices.recall[2].mean)
    assert matrices.recall[0].mean == 0.5
    assert macro_f1(seeds).mean == pytest.approx((2 / 3 + 1) / 2)
