"""The waveform of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    from jaxtyping import Int16
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Scale


@dataclass(frozen=True)
class Wave(Part):
    """Samples as they were read, in 16 bits; they are scaled when a batch is made."""

    waves = True
    spectrogram = False
    normalised = False
    dtype = "int16"

    def shape(self, config: TrialConfig) -> tuple[int, ...]:
        """Of a clip: (samples,)."""
        return (config.num_samples,)

    def length(self, config: TrialConfig) -> int:
        """Steps along time [samples], with which a network's arithmetic grows."""
        return config.num_samples

    def min_samples(self, config: TrialConfig) -> int:
        """Of a clip: its network alone says."""
        return 0

    def made(
        self, wave: Int16[Tensor, "clips samples"], config: TrialConfig, scale: Scale
    ) -> Int16[Tensor, "clips samples"]:
        """The same."""
        return wave
