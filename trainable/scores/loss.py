"""Cross-entropy: what the network's probabilities cost, whatever it was trained by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import ClipScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Loss(ClipScore):
    """Mean negative log-likelihood of the labels [nat]."""

    title = "loss"
    higher_is_better = False
    is_share = False
    each_epoch = True
    stage = 2

    def of_clips(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
    ) -> Float[np.ndarray, " clips"]:
        """Of each clip [nat]."""
        from trainable.result import metrics

        return metrics.costs(logits, labels)
