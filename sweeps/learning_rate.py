"""Which learning rate and weight decay? A search for one backbone on one corpus, on validation clips only.

10 rounds x 4 at once = 40 evaluations

Evaluations that fall behind give up (ASHA); the best is trained again with three fresh seeds and scored on test.
A search for another network or corpus is separate, so that each gets the same budget:

    python -m sweeps.learning_rate --data-root ~/DeepShip
    python -m sweeps.learning_rate --data-root ~/ESC-50 --set corpus=esc50 --split published --set backbone=cnn10
    python -m analysis.learning_rate
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/learning_rate.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.search.search import Search
from sweeps.engine.search.space import LogUniform
from sweeps.recipes.mohammadi import RATES

SWEEP = Search(
    "learning_rate",
    base=RATES,
    space={"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-6, 1e-2)},
    num_trials=40,
    at_once=4,
    pruner="asha",
)
if __name__ == "__main__":
    main(SWEEP)
