"""Which network knows the recordings in my folder? Two networks, each pre-trained and from random weights.

python -m analysis.finetune
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.finetune import SWEEP

QUESTION = "Which network knows these recordings, and does it help that it was pre-trained?"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="backbone", across="weights")))
