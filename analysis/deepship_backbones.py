"""Table II and Fig. 3 of Mohammadi et al. 2024: which pre-trained network should hear ships?  Ten on DeepShip.

python -m analysis.deepship_backbones
"""

from __future__ import annotations

import sys

from analysis.engine.backbones.backbone_report import main
from sweeps.deepship_backbones import SWEEP

QUESTION = "Which pre-trained network should hear ships? Ten backbones on DeepShip"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, published="deepship_backbones"))
