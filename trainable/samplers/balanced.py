"""Draws every class equally often, however many clips it has."""

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
    """Draws as many clips per epoch as there are, the classes in turn; the clips of a small class appear several times.

    Each class goes through all of its clips in random order before any is repeated. A batch with as many samples as
    there are classes has one sample of each.

    Source:
        Kong et al. 2020 (PANNs), section VI.B.
    """

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The indices of an epoch's clips, in order, on the CPU.

        Args:
            clips: the training clips.
            random: a CPU generator for this epoch.
        """
        import torch

        labels = clips.labels.cpu()
        classes = labels.unique()
        num_each = -(-len(labels) // len(classes))  # rounded up
        columns = []
        for label in classes:
            members = (labels == label).nonzero().flatten()
            rounds = [
                members[torch.randperm(len(members), generator=random)] for _ in range(-(-num_each // len(members)))
            ]
            columns.append(torch.cat(rounds)[:num_each])
        return torch.stack(columns, dim=1).flatten()[: len(labels)]
