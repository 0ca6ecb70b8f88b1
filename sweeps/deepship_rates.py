"""Must the pre-training rate match the data rate? CNN14 on DeepShip (Mohammadi et al. 2024, Table I, Fig. 2).

3 checkpoints x 6 data rates x 3 seeds = 54 trials

    python -m sweeps.deepship_rates --data-root ~/DeepShip
    python -m analysis.deepship_rates
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/deepship_rates.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from sweeps.recipes.mohammadi import RATES

SWEEP = Sweep(
    "deepship_rates",
    grid(
        RATES,
        pretrain_hz=(8_000, 16_000, 32_000),
        data_hz=(2_000, 4_000, 8_000, 16_000, 32_000, 64_000),
        seed=(1, 2, 3),
    ),
)
if __name__ == "__main__":
    main(SWEEP)
