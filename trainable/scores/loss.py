"""Cross-entropy of the network's probabilities, whatever objective it was trained with."""

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
        """The negative log-likelihood of each clip's label [nat]."""
        from trainable.result import metrics

        return metrics.costs(logits, labels)
