"""Draws augmentations for batches of any shape, for tests without a trial."""

from __future__ import annotations

import torch

from trainable.augmentations.mixup import Lambdas, draw_lambdas
from trainable.augmentations.specaugment import draw_masks
from trainable.learning.augmentation import Augmentation, Drawn


def draw(
    names: str, samples: int, frames: int, mels: int, *, time_width: int, generator: torch.Generator
) -> Augmentation:
    """The draws of "specaugment+mixup", or of one of them, for a batch."""
    drawn: list[Drawn] = []
    if "specaugment" in names:
        drawn.append(draw_masks(samples, frames, mels, time_width, generator))
    if "mixup" in names:
        drawn.append(Lambdas(draw_lambdas(samples // 2, generator)))
    return Augmentation(tuple(drawn))
