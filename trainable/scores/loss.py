"""Cross-entropy: what the network's probabilities cost, whatever it was trained by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import Score

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Loss(Score):
    """Mean negative log-likelihood of the labels [nat]."""

    title = "loss"
    higher_is_better = False
    is_share = False
    each_epoch = True
    stage = 2

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip.
        """
        from trainable.result import metrics

        return metrics.cross_entropy(logits, labels)
