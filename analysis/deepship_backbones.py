"""Table II and Fig. 3 of Mohammadi et al. 2024: which pre-trained network should hear ships? Ten on DeepShip.

python -m analysis.deepship_backbones
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Ranking
from sweeps.deepship_backbones import SWEEP

QUESTION = "Which pre-trained network should hear ships? Ten backbones on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Ranking(over="backbone"), published="deepship_backbones"))
