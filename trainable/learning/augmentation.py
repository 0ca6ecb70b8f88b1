"""What augmentations draw for a batch, apart from applying it, so that an augmentation can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from trainable.config import TrialConfig

Rows = Callable[[int], slice]  # where some samples' rows are among so many


class Drawn:
    """What one augmentation drew for a batch. The classes of `trainable/augmentations/` derive from it."""

    def __call__(self, x: Float[Tensor, "samples 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """Applied where a network's input is normalised."""
        return self.mix(x)

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "batch ..."]:
        """Applied to what has no frames to hide: targets, and waveforms."""
        return x

    def part(self, rows: Rows) -> Self:
        """The same for some of the samples."""
        raise NotImplementedError


@dataclass(frozen=True)
class Augmentation:
    """All that was drawn for one batch; called on a network's normalised log-mel."""

    drawn: tuple[Drawn, ...] = ()

    def __call__(self, x: Float[Tensor, "samples 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        for each in self.drawn:
            x = each(x)
        return x

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "batch ..."]:
        """Of targets, and of waveforms, which have no frames to hide."""
        for each in self.drawn:
            x = each.mix(x)
        return x

    def part(self, rows: Rows) -> Augmentation:
        """The same for some of the samples."""
        return Augmentation(tuple(each.part(rows) for each in self.drawn))


NOTHING = Augmentation()


def draw(config: TrialConfig, samples: int, generator: torch.Generator) -> Augmentation:
    """Draws a trial's augmentations for a batch, on the generator's device.

    Args:
        samples: clips that go in; fewer may come out (`TrialConfig.clips_per_sample`).
    """
    return Augmentation(tuple(part.draw(config, samples, generator) for part in config.augment))
