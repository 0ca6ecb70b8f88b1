"""The log-mel spectrogram of a clip, by the front end of the network's pre-training rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    from jaxtyping import Float32, Int16
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Scale


@dataclass(frozen=True)
class LogMel(Part):
    """Frames and mel bands, made once per trial and kept in half precision.

    Half precision saves half the memory; its error is 0.03 dB, while a corpus has a spread of 7.6 dB.
    """

    waves = False  # whether it is a waveform, which is scaled batch by batch
    spectrogram = True  # whether the network sees frames and bands, which can be hidden
    normalised = False  # whether 0 is its mean
    takes_lengths = False  # whether `made` gets the clips' own lengths too
    dtype = "float16"  # of torch, for the stored inputs

    def shape(self, config: TrialConfig) -> tuple[int, ...]:
        """The shape of a clip: (frames, mels)."""
        return config.logmel_shape

    def length(self, config: TrialConfig) -> int:
        """The length in time [frames], with which the arithmetic of a network grows."""
        return config.num_frames

    def min_samples(self, config: TrialConfig) -> int:
        """The shortest clip [samples]: half a window is reflected at both ends."""
        return config.card.front_end.window // 2 + 1

    def made(
        self, wave: Int16[Tensor, "clips samples"], config: TrialConfig, scale: Scale
    ) -> Float32[Tensor, "clips ..."]:
        """The log-mels of clips with 16-bit samples, which `scale` turns into input for the front end."""
        from trainable.network.frontend import logmel

        return logmel(scale(wave.float()), config.card.front_end)
