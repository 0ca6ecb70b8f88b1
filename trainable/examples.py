"""The clips of one role as a network's input, made once for a trial and kept on its device: an epoch reads no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainable.frontend import logmel

if TYPE_CHECKING:
    from jaxtyping import Float16, Int16, Int64
    from torch import Tensor

    from datasets.clips import Clips
    from datasets.splits import Split
    from trainable.config import TrialConfig

CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class Examples:
    """Inputs and labels of one role.

    Half precision holds a log-mel to 0.03 dB, against a spread of 7.6 dB over a corpus, in half the memory.
    """

    inputs: Float16[Tensor, "clips frames mels"]
    labels: Int64[Tensor, " clips"]
    recording: np.ndarray  # id, a string for each clip
    number: Int64[np.ndarray, " clips"]  # place of the clip in its recording


@dataclass(frozen=True)
class Scale:
    """(sample - offset) * gain: from 16-bit samples to what the front end is fed."""

    offset: float
    gain: float


def waveform_scale(scale: str, train_levels: Int16[np.ndarray, "clips 2"]) -> Scale:
    """How waveforms are scaled: "pcm" to [-1, 1], or "minmax" by the training clips' extremes to [0, 1].

    Source:
        Mohammadi et al. 2024, section II.B; to a log-mel "minmax" is a constant gain: its offset lies below the
        lowest band.
    """
    if scale == "pcm":
        return Scale(0.0, 1 / 32767)  # as AudioSet's clips were, for the PANNs
    low, high = int(train_levels[:, 0].min()), int(train_levels[:, 1].max())
    return Scale(float(low), 1 / (high - low))


def load(config: TrialConfig, clips: Clips, split: Split, role: str, device: torch.device) -> Examples:
    """The examples of `role`, scaled by the training clips alone."""
    role_of = np.array([split.roles.get(i, "") for i in clips.recording])
    chosen = np.flatnonzero(role_of == role)
    scale = waveform_scale(config.scale, clips.levels[role_of == "train"])
    front_end = config.card.front_end
    inputs = torch.empty((len(chosen), config.num_frames, front_end.num_mels), dtype=torch.float16, device=device)
    for start in range(0, len(chosen), CLIPS_AT_ONCE):
        wave = torch.from_numpy(clips.wave[chosen[start : start + CLIPS_AT_ONCE]]).to(device)
        inputs[start : start + CLIPS_AT_ONCE] = logmel((wave.float() - scale.offset) * scale.gain, front_end)
    return Examples(
        inputs, torch.from_numpy(clips.label[chosen]).to(device), clips.recording[chosen], clips.number[chosen]
    )
