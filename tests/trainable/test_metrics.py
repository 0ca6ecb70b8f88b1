"""Scores equal scikit-learn's and those computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from trainable.result.metrics import accuracy, cross_entropy, log_softmax, recording_accuracy


def drawn(seed: int, clips: int = 50, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=5, size=(clips, classes)).astype(np.float32), rng.integers(classes, size=clips)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_scores_are_the_references(seed: int, classes: int) -> None:
    """Accuracy and cross-entropy are scikit-learn's."""
    logits, labels = drawn(seed, classes=classes)
    probabilities = np.exp(log_softmax(logits))
    assert accuracy(logits, labels) == reference.accuracy_score(labels, logits.argmax(axis=1))
    expected = reference.log_loss(
        labels, probabilities / probabilities.sum(axis=1, keepdims=True), labels=range(classes)
    )
    assert cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_by_hand() -> None:
    """Equal logits cost log(classes); odds of 3 to 1 for the label cost log(4/3)."""
    assert cross_entropy(np.zeros((2, 5)), np.array([0, 4])) == pytest.approx(math.log(5), rel=1e-15)
    assert cross_entropy(np.array([[math.log(3), 0]]), np.array([0])) == pytest.approx(math.log(4 / 3), rel=1e-15)


def test_probabilities_sum_to_one_however_large_the_logits() -> None:
    """Logits that would overflow exp() are handled."""
    extreme = np.array([[1e4, -1e4, 0], [-1e30, 1e30, 0]], dtype=np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(extreme)).sum(axis=1), 1, rtol=1e-15)
    assert cross_entropy(extreme, np.array([1, 1])) == pytest.approx(1e4)


def test_log_softmax_is_in_double_precision() -> None:
    """Otherwise half of a million almost certain clips would cost exactly nothing."""
    assert log_softmax(np.array([[20, 0]], dtype=np.float32))[0, 0] == pytest.approx(-math.exp(-20), rel=1e-6)


def test_recordings_vote_by_mean_probability() -> None:
    """One certain clip outweighs two that only lean the other way."""
    sure, lean = np.log([0.02, 0.98]), np.log([0.6, 0.4])
    logits = np.array([sure, lean, lean, lean])
    recording = np.array(["b", "b", "b", "a"])
    labels = np.array([1, 1, 1, 0])
    assert recording_accuracy(logits, labels, recording) == 1.0
    assert accuracy(logits, labels) == 0.5


def test_recordings_do_not_vote_by_log_probability() -> None:
    """One certain clip does not outweigh two that are clearly against it, as it would in a product."""
    logits = np.log([[0.02, 0.98], [0.75, 0.25], [0.75, 0.25]])
    assert recording_accuracy(logits, np.array([0, 0, 0]), np.array(["a"] * 3)) == 1.0


def test_recording_accuracy_counts_recordings() -> None:
    """A long recording counts as much as a short one."""
    logits = np.eye(2)[[0, 0, 0, 0, 1]]
    assert recording_accuracy(logits, np.array([0, 0, 0, 0, 0]), np.array(["x"] * 4 + ["y"])) == 0.5


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_clips_does_not_matter(seed: int) -> None:
    """The clips of recordings may be in any order."""
    logits, labels_of = drawn(seed)
    recording = np.random.default_rng(seed).integers(9, size=50)
    labels = labels_of[recording]
    order = np.random.default_rng(seed + 1).permutation(50)
    before = recording_accuracy(logits, labels, recording)
    assert recording_accuracy(logits[order], labels[order], recording[order]) == before


def test_one_clip_recordings_give_the_clip_accuracy() -> None:
    """If each clip is a recording, both accuracies agree."""
    logits, labels = drawn(1)
    assert recording_accuracy(logits, labels, np.arange(50)) == accuracy(logits, labels)
