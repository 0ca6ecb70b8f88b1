"""The waveform of a clip, from which the network also makes a log-mel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.inputs.wave import Wave

if TYPE_CHECKING:
    from trainable.config import TrialConfig


@dataclass(frozen=True)
class WaveLogMel(Wave):
    """A waveform for a network that also sees frames and mel bands."""

    spectrogram = True

    def min_samples(self, config: TrialConfig) -> int:
        """The shortest clip for a log-mel [samples]: half a window is reflected at both ends."""
        return config.card.front_end.window // 2 + 1
