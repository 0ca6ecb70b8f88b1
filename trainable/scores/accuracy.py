"""Accuracy: the share of clips whose largest logit is the label's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import ClipScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Accuracy(ClipScore):
    """The accuracy of clips, as a fraction."""

    title = "accuracy"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 0
    recordings_by = "one vote per recording, by the mean of its clips' softmax probabilities"

    def of_clips(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
    ) -> Float[np.ndarray, " clips"]:
        """For each clip, 1 if the largest logit is the label's, else 0."""
        from trainable.result import metrics

        return metrics.hits(logits, labels)

    def of_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The accuracy of recordings, with one vote each.

        Args:
            recording: the recording of each clip.
        """
        from trainable.result import metrics

        return metrics.recording_accuracy(logits, labels, recording)
