"""Draws every recording equally often, however many clips it has."""

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
    """Draws as many clips per epoch as there are; hours of one vessel then weigh no more than a minute of another.

    Recordings take turns, in a new order each round. Each goes through all of its clips in random order before any is
    repeated.
    """

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The indices of an epoch's clips, in order, on the CPU.

        Args:
            clips: the training clips.
            random: a CPU generator for this epoch.
        """
        import numpy as np
        import torch

        _, of_clip = np.unique(clips.recording, return_inverse=True)
        members = [torch.from_numpy(np.flatnonzero(of_clip == number)) for number in range(of_clip.max() + 1)]
        num_rounds = -(-len(of_clip) // len(members))  # rounded up
        columns = []
        for clips_of_one in members:
            passes = [
                clips_of_one[torch.randperm(len(clips_of_one), generator=random)]
                for _ in range(-(-num_rounds // len(clips_of_one)))
            ]
            columns.append(torch.cat(passes)[:num_rounds])
        rounds = [row[torch.randperm(len(row), generator=random)] for row in torch.stack(columns, dim=1)]
        return torch.cat(rounds)[: len(of_clip)]
