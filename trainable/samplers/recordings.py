"""Each recording as often as every other, however many clips it was cut into."""

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
class Recordings(Part):
    """As many clips an epoch as there are; hours of one vessel then weigh no more than a minute of another.

    Recordings take turns in a new order each round, and each gives its clips in a new order before one comes again.
    """

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The clips of an epoch in the order in which they are taken, on the CPU.

        Args:
            clips: those of the training split.
            random: of the CPU, for this epoch.
        """
        import numpy as np
        import torch

        _, of_clip = np.unique(clips.recording, return_inverse=True)
        members = [torch.from_numpy(np.flatnonzero(of_clip == number)) for number in range(of_clip.max() + 1)]
        num_rounds = -(-len(of_clip) // len(members))  # rounded up
        columns = []
        for own in members:
            again = [own[torch.randperm(len(own), generator=random)] for _ in range(-(-num_rounds // len(own)))]
            columns.append(torch.cat(again)[:num_rounds])
        rounds = [row[torch.randperm(len(row), generator=random)] for row in torch.stack(columns, dim=1)]
        return torch.cat(rounds)[: len(of_clip)]
