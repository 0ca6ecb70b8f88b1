"""The grid search of Palanisamy et al. 2020 on ESC-50: its best setting here, and whether that holds on fresh seeds.

python -m analysis.image_learning_rate
"""

from __future__ import annotations

import sys

from analysis.engine.search.searched import main
from sweeps.image_learning_rate import SWEEP

QUESTION = "Which learning rate and weight decay for ImageNet's networks on ESC-50?"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION))
