"""Does augmentation help on DeepShip? SpecAugment, mixup, both and neither, compared pair by pair.

python -m analysis.augmentations
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Ranking
from sweeps.augmentations import SWEEP

QUESTION = "Does augmentation help? SpecAugment, mixup, both or neither, CNN14 on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Ranking(over="augment")))
