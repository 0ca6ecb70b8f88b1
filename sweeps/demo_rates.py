"""Table I in miniature: the study of `deepship_rates`, narrow and short, from the checkpoints of `demo_pretraining`.

3 checkpoints x 6 data rates x 3 seeds = 54 trials

    python -m datasets.synthetic deepship results/demo/ships --recordings-per-class 32 --seconds 5 9.9
    python -m sweeps.demo_rates --data-root results/demo/ships
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/demo_rates.py` finds the rest

import dataclasses

from sweeps import deepship_rates, demo_pretraining
from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep
from trainable.config import TrialConfig

# A trial starts from the checkpoint that the pre-training run of its rate left: that run's key names it.
PRETRAINED = {trial.pretrain_hz: f"run:{trial.key}" for trial in demo_pretraining.SWEEP.trials}


def small(trial: TrialConfig) -> TrialConfig:
    """A trial of the study, for a corpus and a machine that are small."""
    weights = PRETRAINED[trial.pretrain_hz]
    return dataclasses.replace(trial, weights=weights, width=1 / 16, head_dropout=0, lr=2e-3, batch=4, epochs=8)


SWEEP = Sweep("demo_rates", tuple(map(small, deepship_rates.SWEEP.trials)))

if __name__ == "__main__":
    main(SWEEP)
