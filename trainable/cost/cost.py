"""What a trial costs, as far as its config tells: the arithmetic of its network, and what is measured of its cell.

Nothing here imports torch, so that a plan can ask for it.
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
    """What was measured of a cell on one device.

    Seconds are wall time; but on one core they are CPU time, and `load` is how much longer the clock on the wall says:
    what else a machine does comes and goes while a cell is measured, and would be taken for the cell's.
    """

    step_s: tuple[float, ...]  # of a whole batch, one for each round
    eval_s: tuple[float, ...]  # of a clip, one for each round
    load_s: float  # log-mel of a clip, and of a linear probe its embedding: what is done once for each clip
    save_s: float  # an epoch's checkpoint
    build_s: float  # a network with random weights, on the device, once more
    start_s: float  # a worker's imports, and what its first network takes longer; once for each worker
    peak_gb: float  # that the network takes on its device beside the clips
    load: float = 1.0  # wall time over CPU time, on one core


def cell_of(trial: TrialConfig) -> str:
    """What a step's time and memory depend on, in words; the same for all seeds."""
    return " ".join(f"{name}={value}" for name, value in trial.only(CLIPS, INPUT, NETWORK, STEP))


def forward_flops(trial: TrialConfig) -> float | None:
    """Operations (a multiplication and an addition are two) of one clip's forward pass; None where nobody has counted.

    None of a linear probe too: its network runs once, not in every epoch, and a measurement alone tells how long.

    Exact for 2.5 and 10 s of 32 kHz at widths 1, 1/4 and 1/16. Elsewhere, between 0.7 and 40 s, it is off by 9 % at
    most, for ConvNeXt by 15 % and for RegNetY, whose stages round their channels, by 21 %.
    """
    if trial.trained.embeds or (terms := _table().get(trial.backbone)) is None:
        return None
    size = trial.given.length(trial)
    return sum((fixed + each * size) * trial.width**power for power, (fixed, each) in enumerate(terms))


def epoch_flops(trial: TrialConfig, num_train: int, num_validation: int) -> float | None:
    """Operations of one epoch over so many clips."""
    if (forward := forward_flops(trial)) is None:
        return None
    return forward * ((1 + BACKWARD) * num_samples(trial, num_train) + num_validation)


def num_samples(trial: TrialConfig, num_train: int) -> int:
    """Samples that an epoch trains on: fewer than clips, where an augmentation mixes them."""
    return num_train // trial.clips_per_sample


@functools.cache
def _table() -> dict[str, Sequence[tuple[float, float]]]:
    """By backbone, for each power of the width: operations of a clip, and of each of its frames or samples."""
    found: dict[str, Sequence[tuple[float, float]]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found
