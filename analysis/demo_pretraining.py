"""How well the demo's three small networks learnt the sound events that they were pre-trained on.

python -m analysis.demo_pretraining
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.demo_pretraining import SWEEP

QUESTION = "What did the demo's networks learn before they heard a ship?"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Pivot(down="data_hz", across="pretrain_hz")))
