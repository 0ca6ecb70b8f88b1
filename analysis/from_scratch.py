"""Does pre-training help on DeepShip? CNN14 pre-trained on AudioSet at 32 kHz against the same network from scratch.

python -m analysis.from_scratch
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.from_scratch import SWEEP

QUESTION = "Does pre-training help? CNN14 on DeepShip, at 32 kHz"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="weights")))
