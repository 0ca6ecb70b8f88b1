"""Table I and Fig. 2 of Mohammadi et al. 2024: must the pre-training rate match the data rate?  CNN14 on DeepShip.

python -m analysis.deepship_rates
"""

from __future__ import annotations

import sys

from analysis.engine.rates.rate_report import main
from sweeps.deepship_rates import SWEEP

QUESTION = "Must the pre-training rate match the data rate? CNN14 on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, published="deepship_rates"))
