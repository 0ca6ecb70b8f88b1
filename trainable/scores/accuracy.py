"""Accuracy: the share of clips whose largest logit is the label's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Accuracy(Part):
    """Of clips, as a fraction."""

    title = "accuracy"
    higher_is_better = True
    is_share = True  # printed in percent
    each_epoch = True  # taken of the validation clips after every epoch, so that epochs can be chosen by it
    stage = 0  # first of a trial's scores: that by which its sweep is listed

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip.
        """
        from trainable.result import metrics

        return metrics.accuracy(logits, labels)
