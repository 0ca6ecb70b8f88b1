"""Cross-entropy of each class's sigmoid, as networks for several labels at once are trained."""

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
class BinaryCrossEntropy(Part):
    """Mean binary cross-entropy over samples and classes [nat]; a mixed sample has two labels in part.

    Source:
        Kong et al. 2020 (PANNs), Eq. (1).
    """

    def ready(self, config: TrialConfig, network: Backbone) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """What gives the terms of a batch's loss, from its logits and targets, both (samples, classes)."""
        import torch.nn.functional as F

        return lambda logits, targets: {
            "binary_cross_entropy": F.binary_cross_entropy_with_logits(logits, targets),
        }
