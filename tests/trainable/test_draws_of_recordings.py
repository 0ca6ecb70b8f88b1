"""Every score of drawn recordings is the score of their clips, counted as often as they were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from trainable.config import FIELDS
from trainable.learning.part import named, names
from trainable.learning.score import Score

FOLDER = FIELDS["scores"].metadata["folder"]


@pytest.mark.parametrize("name", names(FOLDER))
@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_drawn_recording_counts_as_often_as_it_was_drawn(name: str, num_classes: int) -> None:
    """The fast way gives what a loop over the draws gives, also where a class is not drawn, or shares are equal."""
    random, score = np.random.default_rng(num_classes), named("score", FOLDER, name)
    where = np.concatenate([np.arange(9), random.integers(9, size=60)])
    labels = where % num_classes
    logits = np.round(random.normal(size=(69, num_classes)) + np.eye(num_classes)[labels], 1)
    draws = np.concatenate([random.multinomial(9, np.full(9, 1 / 9), size=30), 1 - np.eye(9), 9 * np.eye(9)])
    fast = score.over_recordings(logits, labels, where)(draws.astype(np.float32))
    slow = Score.over_recordings(score, logits, labels, where)(draws)
    assert fast == pytest.approx(slow, abs=1e-6)
    assert score.over_recordings(logits, labels, where)(np.ones((1, 9)))[0] == pytest.approx(
        score.of(logits, labels, where)
    )


def test_recordings_count_once_each() -> None:
    """Two recordings, three clips in the one: UAR of recordings is of their mean probabilities."""
    score = named("score", FOLDER, "uar")
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.0]])
    assert score.of(logits, np.array([0, 0, 0, 1]), np.array(list("aaab"))) == pytest.approx(1 / 3)
    assert score.of_recordings(logits, np.array([0, 0, 0, 1]), np.array(list("aaab"))) == pytest.approx(0.5)
