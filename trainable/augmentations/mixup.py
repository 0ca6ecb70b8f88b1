"""Mixup: a sample is a mixture of two clips, and so is its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.augmentation import Drawn
from trainable.learning.part import Part

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.learning.augmentation import Rows


@dataclass(frozen=True)
class Mixup(Part):
    """Mixes neighbours, (0, 1), (2, 3) and so on; each pair has its own weight.

    Source:
        Zhang et al. 2018, paired as PANNs do (Kong et al. 2020).
    """

    stage = 1  # after the changes to single samples
    clips_per_sample = 2

    def draw(self, config: TrialConfig, samples: int, generator: torch.Generator) -> Lambdas:
        """Draws the weight of each pair's first clip from Beta(1, 1), which is uniform.

        Raises:
            ValueError: if a sample has no partner.
        """
        if samples % 2:
            raise ValueError(f"samples={samples}: mixup takes pairs; draw an even number of clips, twice the batch")
        return Lambdas(draw_lambdas(samples // 2, generator))


@dataclass(frozen=True)
class Lambdas(Drawn):
    """The weight of the first clip in each pair."""

    lambdas: Float[Tensor, " pairs"]

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "pairs ..."]:
        """Mixes the pairs of a batch: of inputs, or of one-hot targets."""
        return mixup(x, self.lambdas)

    def part(self, rows: Rows) -> Lambdas:
        """The weights of some of the samples."""
        return Lambdas(self.lambdas[rows(len(self.lambdas))])


def draw_lambdas(pairs: int, generator: torch.Generator) -> Float[Tensor, " pairs"]:
    """Weights drawn uniformly between 0 and 1, on the generator's device."""
    import torch

    return torch.rand(pairs, generator=generator, device=generator.device)


def mixup(x: Float[Tensor, "samples ..."], lambdas: Float[Tensor, " pairs"]) -> Float[Tensor, "pairs ..."]:
    """Mixes neighbours, (0, 1), (2, 3) and so on: of inputs, or of one-hot targets."""
    import torch

    weight = lambdas.to(x.device, x.dtype, non_blocking=True).view(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[1::2], x[0::2], weight)
