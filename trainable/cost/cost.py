"""The cost of a trial as far as its config determines it: the arithmetic of its network, and measurements of its cell.

Nothing here imports torch, so that a plan can use it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainable.config import CLIPS, INPUT, NETWORK, STEP, TrialConfig

TABLE = Path(__file__).with_name("flops.json")  # `benchmarks/flops.py` writes it
BACKWARD = 2  # a backward pass has twice the arithmetic of a forward pass


@dataclass(frozen=True)
class Measured:
    """The measurements of a cell on one device.

    Seconds are wall time, except on one core: there they are CPU time, and `load` is the ratio of wall time to it.
    Other work on the machine comes and goes during the measurement, and wall time would include it.
    """

    step_s: tuple[float, ...]  # a training step on a whole batch, for each round
    eval_s: tuple[float, ...]  # the prediction of a clip, for each round
    load_s: float  # the work done once per clip: its log-mel and, for a linear probe, its embedding
    save_s: float  # the checkpoint of an epoch
    build_s: float  # a network with random weights, on the device, after the first one
    start_s: float  # a worker's imports, and the extra time for its first network; once per worker
    peak_gb: float  # memory of the network on its device, without the clips
    load: float = 1.0  # wall time over CPU time, on one core


def cell_of(trial: TrialConfig) -> str:
    """The fields that determine the time and memory of a step, as text; the same for all seeds."""
    return " ".join(f"{name}={value}" for name, value in trial.only(CLIPS, INPUT, NETWORK, STEP))


def forward_flops(trial: TrialConfig) -> float | None:
    """Operations of one clip's forward pass (a multiply-add is two); None if they have not been counted.

    It is also None for a linear probe: its network runs once instead of every epoch, so only a measurement helps.

    The number is exact for 2.5 and 10 s of 32 kHz at widths 1, 1/4 and 1/16. Elsewhere, between 0.7 and 40 s, the error
    is at most 10 %, but 12 % for EfficientNet-Lite and the two narrowest EfficientATs, 15 % for ConvNeXt and 21 % for
    RegNetY, which round their channels.
    """
    if trial.trained.embeds or (terms := _table().get(trial.backbone)) is None:
        return None
    size = trial.given.length(trial)
    return sum((fixed + per_step * size) * trial.width**power for power, (fixed, per_step) in enumerate(terms))


def epoch_flops(trial: TrialConfig, num_train: int, num_validation: int) -> float | None:
    """Operations of one epoch over these numbers of clips; None if they have not been counted."""
    if (forward := forward_flops(trial)) is None:
        return None
    return forward * ((1 + BACKWARD) * num_samples(trial, num_train) + num_validation)


def num_samples(trial: TrialConfig, num_train: int) -> int:
    """The number of samples in an epoch: fewer than clips if an augmentation mixes them."""
    return num_train // trial.clips_per_sample


@functools.cache
def _table() -> dict[str, Sequence[tuple[float, float]]]:
    """By backbone, for each power of the width: operations per clip, and per frame or sample of it."""
    table: dict[str, Sequence[tuple[float, float]]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
