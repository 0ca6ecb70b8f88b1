"""Table I and Fig. 2 of seed 000: must the pre-training rate match the data rate?  CNN14 on DeepShip.

python -m analysis.deepship_rates
"""

from __future__ import annotations

import sys

from sweeps.deepship_rates import SWEEP

from analysis.rate_report import main

QUESTION = "Must the pre-training rate match the data rate? CNN14 on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, published="deepship_rates"))
