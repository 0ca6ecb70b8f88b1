"""Accuracy of recordings: one vote each, by the mean of its clips' softmax probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import OfDraws, Score

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class RecordingAccuracy(Score):
    """The accuracy of recordings, as a fraction."""

    title = "recording accuracy"
    higher_is_better = True
    is_share = True
    each_epoch = False
    stage = 1
    unit = "recording"

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The accuracy of the recordings of these clips.

        Args:
            recording: the recording of each clip.
        """
        from trainable.result import metrics

        return metrics.recording_accuracy(logits, labels, recording)

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the accuracy of draws of recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        from trainable.result import metrics

        hits = metrics.recording_hits(logits, labels, where)
        return lambda draws: (draws @ hits) / draws.sum(axis=1)
