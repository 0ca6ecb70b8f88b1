"""Table I and Fig. 2 of Mohammadi et al. 2024: must the pre-training rate match the data rate? CNN14 on DeepShip.

python -m analysis.deepship_rates
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.deepship_rates import SWEEP

QUESTION = "Must the pre-training rate match the data rate? CNN14 on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="data_hz", across="pretrain_hz"), published="deepship_rates"))
