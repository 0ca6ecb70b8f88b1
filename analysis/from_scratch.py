"""Does pre-training help on DeepShip, at 8, 16 and 32 kHz? CNN14 pre-trained at each rate against random weights.

python -m analysis.from_scratch
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.from_scratch import SWEEP

QUESTION = "Does pre-training help, where data and pre-training have one rate? CNN14 on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="data_hz", across="weights")))
