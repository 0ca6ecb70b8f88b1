"""The clips of one role as network inputs, made once per trial and kept on its device, so that epochs read no files."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainable.config import CLIPS, INPUT
from trainable.device.watchdog import beat

if TYPE_CHECKING:
    from jaxtyping import Float16, Float32, Int16, Int64
    from torch import Tensor

    from datasets.engine.clips import Clips
    from datasets.engine.splits import Split
    from trainable.config import TrialConfig

CLIPS_AT_ONCE = 64
_cache: dict[tuple[Hashable, str], Examples] = {}  # by source and role; all entries are from the same clips


@dataclass(frozen=True)
class Scale:
    """Turns 16-bit samples into the input of the front end, in place: (sample - offset) * gain."""

    offset: float
    gain: float

    def __call__(self, samples: Float32[Tensor, "clips samples"]) -> Float32[Tensor, "clips samples"]:
        return samples.sub_(self.offset).mul_(self.gain)


@dataclass(frozen=True)
class Examples:
    """Inputs and labels of one role; the inputs are made by a part of `trainable/inputs/`, or are embeddings."""

    inputs: Float16[Tensor, "clips frames mels"] | Int16[Tensor, "clips samples"] | Float32[Tensor, "clips features"]
    labels: Int64[Tensor, " clips"]
    recording: np.ndarray  # for each clip, the id of its recording (a string)
    number: Int64[np.ndarray, " clips"]  # position of the clip in its recording
    scale: Scale | None = None  # of waveforms
    lengths: Int64[np.ndarray, " clips"] | None = None  # samples of each clip before those that fill it up

    def batch(self, chosen: Tensor | slice) -> Float32[Tensor, "batch ..."]:
        """The input of the network for the `chosen` clips."""
        # On a CPU index_select is five times faster than indexing with a tensor.
        x = self.inputs[chosen] if isinstance(chosen, slice) else self.inputs.index_select(0, chosen)
        return self.scale(x.float()) if self.scale else x.float()

    def first(self, num: int) -> Examples:
        """The first `num` clips, or all where there are fewer."""
        lengths = None if self.lengths is None else self.lengths[:num]
        recording, number = self.recording[:num], self.number[:num]
        return Examples(self.inputs[:num], self.labels[:num], recording, number, self.scale, lengths)


def waveform_scale(scale: str, train_levels: Int16[np.ndarray, "clips 2"]) -> Scale:
    """The scale of waveforms: "pcm" to [-1, 1], or "minmax" to [0, 1] by the extremes of the training clips.

    Source:
        Mohammadi et al. 2024, section II.B. For a log-mel, "minmax" is only a constant gain: its offset lies below the
        lowest band.
    """
    if scale == "pcm":
        return Scale(0.0, 1 / 32767)  # the scale of AudioSet's clips when the PANNs were trained
    low, high = int(train_levels[:, 0].min()), int(train_levels[:, 1].max())
    return Scale(float(low), 1 / (high - low))


def load(config: TrialConfig, clips: Clips, split: Split, role: str, device: torch.device) -> Examples:
    """The examples of `role`, with a scale from the training clips only."""
    role_of = np.array([split.roles.get(i, "") for i in clips.recording])
    chosen = np.flatnonzero(role_of == role)
    scale = waveform_scale(config.scale, clips.levels[role_of == "train"])
    shape, dtype = config.given.shape(config), getattr(torch, config.given.dtype)
    inputs = torch.empty((len(chosen), *shape), dtype=dtype, device=device)
    for start in range(0, len(chosen), CLIPS_AT_ONCE):
        beat()
        some = chosen[start : start + CLIPS_AT_ONCE]
        wave = torch.from_numpy(clips.wave[some]).to(device)
        lengths = (clips.lengths[some],) if config.given.takes_lengths else ()
        inputs[start : start + CLIPS_AT_ONCE] = config.given.made(wave, config, scale, *lengths)
    return Examples(
        inputs,
        torch.from_numpy(clips.label[chosen]).to(device),
        clips.recording[chosen],
        clips.number[chosen],
        scale if config.given.waves else None,
        clips.lengths[chosen],
    )


def shared(
    config: TrialConfig, clips: Clips, split: Split, role: str, device: torch.device, source: Hashable
) -> Examples:
    """The examples of `role`, reused if the last trial of this process had the same clips, as the seeds of a cell do.

    Args:
        source: identifies the files from which `clips` and `split` were read.
    """
    origin = (source, config.only(CLIPS, INPUT), config.given, config.card.front_end, device)
    if not all(cached_origin == origin for cached_origin, _ in _cache):
        _cache.clear()  # before loading, so that memory need not hold both
    if (origin, role) not in _cache:
        _cache[origin, role] = load(config, clips, split, role, device)
    return _cache[origin, role]


def moments(examples: Examples) -> tuple[float, float]:
    """Mean and standard deviation over all values of the inputs, in double precision."""
    chunks, total = examples.inputs.split(CLIPS_AT_ONCE), examples.inputs.numel()
    mean = sum(float(chunk.double().sum()) for chunk in chunks) / total
    return mean, (sum(float((chunk.double() - mean).square().sum()) for chunk in chunks) / total) ** 0.5
