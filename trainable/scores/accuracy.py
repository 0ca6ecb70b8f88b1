"""Accuracy: the share of clips whose largest logit is the label's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import Score

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Accuracy(Score):
    """Of clips, as a fraction."""

    title = "accuracy"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 0

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip.
        """
        from trainable.result import metrics

        return metrics.accuracy(logits, labels)
