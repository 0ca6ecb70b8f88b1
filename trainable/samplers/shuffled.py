"""Every training clip once an epoch, in a new order each time."""

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
    """Every training clip once."""

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The clips of an epoch in the order in which they are taken, on the CPU.

        Args:
            clips: those of the training split.
            random: of the CPU, for this epoch.
        """
        import torch

        return torch.randperm(len(clips.labels), generator=random)
