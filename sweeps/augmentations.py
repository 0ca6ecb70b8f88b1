"""Does augmentation help on DeepShip? SpecAugment, mixup, both or neither, with CNN14 at 32 kHz.

4 augmentations x 3 seeds = 12 trials

Mohammadi et al. 2024 train with both and do not say what each contributes.

    python -m sweeps.augmentations --data-root ~/DeepShip
    python -m analysis.augmentations
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/augmentations.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from sweeps.recipes.mohammadi import RATES

SWEEP = Sweep(
    "augmentations",
    grid(RATES, augment=("none", "specaugment", "mixup", "specaugment+mixup"), seed=(1, 2, 3)),
)
if __name__ == "__main__":
    main(SWEEP)
