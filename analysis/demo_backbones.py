"""Table II in miniature, from the runs of the demo, beside the published numbers it may not be compared with.

python -m analysis.demo_backbones
"""

from __future__ import annotations

import sys

from analysis.engine.command import main
from analysis.engine.kinds import Ranking
from sweeps.demo_backbones import SWEEP

QUESTION = "Which pre-trained network should hear ships? Small backbones on synthetic ships"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Ranking(over="backbone"), published="deepship_backbones"))
