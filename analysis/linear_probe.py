"""Does AudioSet teach a network everyday sounds? Linear probes on ESC-50, pre-trained against untrained.

python -m analysis.linear_probe
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.linear_probe import SWEEP

QUESTION = "Does AudioSet teach a network everyday sounds? Linear probes of EfficientAT mn04 on ESC-50"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="weights")))
