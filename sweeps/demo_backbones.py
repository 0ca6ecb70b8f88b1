"""Table II in miniature: the networks of `deepship_backbones`, narrow and short, from random weights.

10 backbones x 3 seeds = 30 trials

    python -m datasets.synthetic deepship results/demo/ships --recordings-per-class 32 --seconds 5 9.9
    python -m sweeps.demo_backbones --data-root results/demo/ships
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/demo_backbones.py` finds the rest

import dataclasses

from sweeps import deepship_backbones
from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep
from trainable.config import TrialConfig


def small(trial: TrialConfig) -> TrialConfig:
    """A trial of the study, for a corpus and a machine that are small: 8 kHz gives a quarter of its frames."""
    return dataclasses.replace(
        trial, weights="none", width=1 / 16, data_hz=8_000, head_dropout=0, lr=2e-3, batch=4, epochs=8
    )


SWEEP = Sweep("demo_backbones", tuple(map(small, deepship_backbones.SWEEP.trials)))

if __name__ == "__main__":
    main(SWEEP)
