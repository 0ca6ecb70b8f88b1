"""Does pre-training help on DeepShip, at 8, 16 and 32 kHz? CNN14 pre-trained at each rate against random weights.

3 rates x 2 weights x 3 seeds = 18 trials

A control that Mohammadi et al. 2024 do not show. Its pre-trained half is the diagonal of their Table I: those trials
are trials of `deepship_rates`, and where that has run they do not run again.

    python -m sweeps.from_scratch --data-root ~/DeepShip
    python -m analysis.from_scratch
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/from_scratch.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from sweeps.recipes.mohammadi import RATES

AXES = {"weights": ("none", "published"), "seed": (1, 2, 3)}
SWEEP = Sweep(
    "from_scratch",
    tuple(
        trial
        for rate_hz in (8_000, 16_000, 32_000)
        for trial in grid(RATES.but(pretrain_hz=rate_hz, data_hz=rate_hz), **AXES)
    ),
)
if __name__ == "__main__":
    main(SWEEP)
