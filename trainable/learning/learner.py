"""The learner of a trial: a network, its optimizer, and the parts that have been prepared for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone


@dataclass(frozen=True)
class Learner:
    """A network in training. The sampler, schedule and augmentations are in `config`, because they have no state."""

    config: TrialConfig
    network: Backbone
    optimizer: torch.optim.Optimizer
    objective: Callable[[Tensor, Tensor], dict[str, Tensor]]  # the terms of a loss, from logits and targets
    average: Any  # its `network` is scored and kept

    def begin(self, epoch: int) -> None:
        """Sets the learning rate of an epoch, counted from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.config.schedule.factor(epoch, self.config.epochs)

    def step(self) -> None:
        """Makes a step along the gradients."""
        self.optimizer.step()
        self.average.step()


def ready_learner(config: TrialConfig, network: Backbone, optimizer: torch.optim.Optimizer | None = None) -> Learner:
    """The learner of a network, ready for the first epoch.

    Args:
        optimizer: an optimizer of its weights; None for Adam with the trial's settings.
    """
    if optimizer is None:
        optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return Learner(config, network, optimizer, config.objective.ready(config, network), config.average.ready(network))
