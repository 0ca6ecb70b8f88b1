"""Table I in miniature, from the runs of the demo, beside the published numbers it may not be compared with.

python -m analysis.demo_rates
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.demo_rates import SWEEP

QUESTION = "Must the pre-training rate match the data rate? A small CNN14 on synthetic ships"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="data_hz", across="pretrain_hz"), published="deepship_rates"))
