"""A small network for tests that do not train the real ones, and a trial for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.randomness import generator

BASE = RATES.but(
    pretrain_hz=8_000,
    data_hz=8_000,
    augment="mixup",
    clip_s=1.0,
    weights="none",
    width=1 / 64,
    lr=1e-2,
    batch=4,
    epochs=3,
)


class Small(nn.Module):
    """A network of one layer."""

    def __init__(self, config: TrialConfig, num_classes: int, checkpoint: Path | None) -> None:
        super().__init__()
        self.classifier = nn.Linear(config.logmel_shape[1], num_classes)
        with torch.no_grad():
            self.classifier.weight.normal_(std=0.01, generator=generator(config.seed, "weights"))
            self.classifier.bias.zero_()

    def forward(self, x: Tensor, augment: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        x = x[:, None] if augment is None else augment(x[:, None])
        logits: Tensor = self.classifier(x.mean(dim=(1, 2)) / 50)
        return logits
