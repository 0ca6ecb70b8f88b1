"""The waveform of a clip, of which the network makes a log-mel too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.inputs.wave import Wave

if TYPE_CHECKING:
    from trainable.config import TrialConfig


@dataclass(frozen=True)
class WaveLogMel(Wave):
    """A waveform whose network sees frames and mel bands as well."""

    spectrogram = True

    def min_samples(self, config: TrialConfig) -> int:
        """Of a clip that a log-mel can be made of: half a window is reflected at both ends."""
        return config.card.front_end.window // 2 + 1
