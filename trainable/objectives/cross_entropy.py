"""Cross-entropy of the softmax, with targets that mixup may have mixed."""

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
class CrossEntropy(Part):
    """Mean cross-entropy over the samples [nat]."""

    def ready(self, config: TrialConfig, network: Backbone) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """The function from logits and targets, both (samples, classes), to the terms of a batch's loss.

        Training minimises their sum; if there are several, each is a curve of the run.
        """
        import torch.nn.functional as F

        return lambda logits, targets: {"cross_entropy": F.cross_entropy(logits, targets)}
