"""Does pre-training help on DeepShip? CNN14 pre-trained on AudioSet at 32 kHz against the same network from scratch.

2 weights x 5 seeds = 10 trials

A control that Mohammadi et al. 2024 do not show. The pre-trained trials of the first three seeds are trials of
`deepship_rates`; where that has run, they do not run again.

    python -m sweeps.from_scratch --data-root ~/DeepShip
    python -m analysis.from_scratch
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/from_scratch.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from sweeps.recipes.mohammadi import RATES

SWEEP = Sweep("from_scratch", grid(RATES, weights=("none", "published"), seed=(1, 2, 3, 4, 5)))
if __name__ == "__main__":
    main(SWEEP)
