"""Draws every training clip once per epoch, in a new order each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int64
    from torch import Tensor

    from trainable.examples import Examples


@dataclass(frozen=True)
class Shuffled(Part):
    """Draws every training clip once."""

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The indices of an epoch's clips, in order, on the CPU.

        Args:
            clips: the training clips.
            random: a CPU generator for this epoch.
        """
        import torch

        return torch.randperm(len(clips.labels), generator=random)
