"""Focal loss: a cross-entropy in which clips that are already classified well count little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone


@dataclass(frozen=True)
class Focal(Part):
    """Mean over samples of -(1 - p)^gamma log p, where p is the probability of the label [nat].

    A mixture has this loss for each of its labels, weighted by its share.

    Source:
        Lin et al. 2017, Eq. (4), for the softmax and without class weights.
    """

    gamma: float = 2.0  # 0 is cross-entropy

    def check(self, config: TrialConfig) -> None:
        """Refuses a negative gamma, which would favour clips that are already right, and an extreme one.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if not 0 <= self.gamma <= 100:
            raise ValueError(f"objective.gamma={self.gamma:g}: must be at least 0 and at most 100")

    def ready(self, config: TrialConfig, network: Backbone) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """The function from logits and targets, both (samples, classes), to the terms of a batch's loss."""
        import torch.nn.functional as F

        def terms(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
            log_p = F.log_softmax(logits, dim=1)
            losses = -targets * (1 - log_p.exp()).pow(self.gamma) * log_p
            return {"focal": losses.sum(dim=1).mean()}

        return terms
