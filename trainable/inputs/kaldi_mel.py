"""The log-mel spectrogram of a clip in Kaldi's bands, normalised by constants, as EfficientAT's networks hear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.inputs.logmel import LogMel

if TYPE_CHECKING:
    from jaxtyping import Float32, Int16
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Scale


@dataclass(frozen=True)
class KaldiMel(LogMel):
    """Frames and mel bands, made once a trial and kept in half precision, which holds them to 0.02 dB."""

    normalised = True  # over AudioSet

    def min_samples(self, config: TrialConfig) -> int:
        """The shortest clip [samples]: half a window is reflected at both ends, and the first sample is dropped."""
        return config.card.front_end.window // 2 + 2

    def made(
        self, wave: Int16[Tensor, "clips samples"], config: TrialConfig, scale: Scale
    ) -> Float32[Tensor, "clips ..."]:
        """The log-mels of clips with 16-bit samples, which `scale` turns into input for the front end.

        Raises:
            TypeError: if the card of the trial's network has no front end of Kaldi's.
        """
        from trainable.network.card import KaldiFrontEnd
        from trainable.network.kaldi import kaldi_logmel

        front_end = config.card.front_end
        if not isinstance(front_end, KaldiFrontEnd):
            raise TypeError(f"{config.backbone}: its card has {front_end}, and must have a KaldiFrontEnd")
        return kaldi_logmel(scale(wave.float()), front_end)
