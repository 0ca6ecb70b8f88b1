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
    """The 16-bit samples of the file; they are scaled when a batch is made."""

    waves = True
    spectrogram = False
    normalised = False
    takes_lengths = False  # whether `made` gets the clips' own lengths too
    dtype = "int16"

    def shape(self, config: TrialConfig) -> tuple[int, ...]:
        """The shape of a clip: (samples,)."""
        return (config.num_samples,)

    def length(self, config: TrialConfig) -> int:
        """The length in time [samples], with which the arithmetic of a network grows."""
        return config.num_samples

    def min_samples(self, config: TrialConfig) -> int:
        """The shortest clip [samples]: no limit, because only the network has one."""
        return 0

    def made(
        self, wave: Int16[Tensor, "clips samples"], config: TrialConfig, scale: Scale
    ) -> Int16[Tensor, "clips samples"]:
        """The clips, unchanged; `scale` is applied when a batch is made."""
        return wave
