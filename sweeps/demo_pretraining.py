"""Pre-training is a sweep too: a small CNN14 from random weights on sound events at 8, 16 and 32 kHz, for the demo.

3 pre-training rates x 1 seed = 3 trials

    python -m datasets.synthetic esc50 results/demo/events --clips-per-class 24
    python -m sweeps.demo_pretraining --data-root results/demo/events
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/demo_pretraining.py` finds the rest

import dataclasses

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from sweeps.recipes.mohammadi import RATES

BASE = dataclasses.replace(
    RATES, corpus="esc50", augment="none", split="source", weights="none", width=1 / 16, head_dropout=0, lr=3e-3,
    batch=8, epochs=15,
)  # fmt: skip
TRIALS = grid(BASE, pretrain_hz=(8_000, 16_000, 32_000))
SWEEP = Sweep("demo_pretraining", tuple(dataclasses.replace(t, data_hz=t.pretrain_hz) for t in TRIALS))

if __name__ == "__main__":
    main(SWEEP)
