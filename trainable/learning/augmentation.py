"""The random draws of augmentations for a batch, separate from their application, so that they can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from trainable.config import TrialConfig

Rows = Callable[[int], slice]  # from the total number of rows to the rows of some samples


class Drawn:
    """The draws of one augmentation for a batch. The classes of `trainable/augmentations/` derive from it."""

    def __call__(self, x: Float[Tensor, "samples 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """Changes the normalised input of a network."""
        return self.mix(x)

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "batch ..."]:
        """Mixes data without frames to hide: targets or waveforms."""
        return x

    def part(self, rows: Rows) -> Self:
        """The draws for some of the samples."""
        raise NotImplementedError


@dataclass(frozen=True)
class Augmentation:
    """All draws for one batch; called on the normalised log-mel of a network."""

    drawn: tuple[Drawn, ...] = ()

    def __call__(self, x: Float[Tensor, "samples 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        for each in self.drawn:
            x = each(x)
        return x

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "batch ..."]:
        """Mixes data without frames to hide: targets or waveforms."""
        for each in self.drawn:
            x = each.mix(x)
        return x

    def part(self, rows: Rows) -> Augmentation:
        """The draws for some of the samples."""
        return Augmentation(tuple(each.part(rows) for each in self.drawn))


NOTHING = Augmentation()


def draw(config: TrialConfig, samples: int, generator: torch.Generator) -> Augmentation:
    """Draws a trial's augmentations for a batch, on the generator's device.

    Args:
        samples: number of clips before mixing; there may be fewer afterwards (`TrialConfig.clips_per_sample`).
    """
    return Augmentation(tuple(part.draw(config, samples, generator) for part in config.augment))
