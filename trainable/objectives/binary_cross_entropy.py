"""Cross-entropy of the sigmoid of each class, the usual objective for clips with several labels."""

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
    """Mean binary cross-entropy over samples and classes [nat]; a mixed sample has two partial labels.

    Source:
        Kong et al. 2020 (PANNs), Eq. (1).
    """

    def ready(self, config: TrialConfig, network: Backbone) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """The function from logits and targets, both (samples, classes), to the terms of a batch's loss."""
        import torch.nn.functional as F

        return lambda logits, targets: {
            "binary_cross_entropy": F.binary_cross_entropy_with_logits(logits, targets),
        }
