"""Each class as often as every other, however many clips it has."""

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
class Balanced(Part):
    """As many clips an epoch as there are, the classes in turn; a small class's clips come several times.

    Each class goes through all of its clips in a new order before any comes again, and so does the next epoch: within
    a batch of as many samples as there are classes each has one.

    Source:
        Kong et al. 2020 (PANNs), section VI.B.
    """

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The clips of an epoch in the order in which they are taken, on the CPU.

        Args:
            clips: those of the training split.
            random: of the CPU, for this epoch.
        """
        import torch

        labels = clips.labels.cpu()
        classes = labels.unique()
        each = -(-len(labels) // len(classes))  # rounded up
        columns = []
        for label in classes:
            own = (labels == label).nonzero().flatten()
            rounds = [own[torch.randperm(len(own), generator=random)] for _ in range(-(-each // len(own)))]
            columns.append(torch.cat(rounds)[:each])
        return torch.stack(columns, dim=1).flatten()[: len(labels)]
