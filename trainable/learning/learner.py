"""What the epochs of a trial work with: a network, its optimizer, and the parts that were made ready for it."""

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
    """A network in training. `config` says how: its sampler, schedule and augmentations hold no state."""

    config: TrialConfig
    network: Backbone
    optimizer: torch.optim.Optimizer
    objective: Callable[[Tensor, Tensor], dict[str, Tensor]]  # the terms of a loss, from logits and targets
    average: Any  # whose `network` is scored and kept

    def begin(self, epoch: int) -> None:
        """Sets the learning rate of an epoch, counted from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.config.schedule.factor(epoch, self.config.epochs)

    def step(self) -> None:
        """Takes a step along the gradients."""
        self.optimizer.step()
        self.average.step()


def ready_learner(config: TrialConfig, network: Backbone, optimizer: torch.optim.Optimizer | None = None) -> Learner:
    """A network ready for its first epoch.

    Args:
        optimizer: of its weights; Adam, as the trial has it, if none is given.
    """
    if optimizer is None:
        optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return Learner(config, network, optimizer, config.objective.ready(config, network), config.average.ready(network))
