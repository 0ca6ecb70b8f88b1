"""The best learning rate and weight decay of a search, and whether they hold on fresh seeds.

python -m analysis.learning_rate
"""

from __future__ import annotations

import sys

from analysis.engine.search.searched import main
from sweeps.learning_rate import SWEEP

QUESTION = "Which learning rate and weight decay? A search on validation clips"

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION))
