"""Does AudioSet teach a network everyday sounds? Linear probes on ESC-50, pre-trained against untrained.

5 folds x 2 weights x 3 seeds = 30 trials

EfficientAT mn04 stays frozen, and its last layer is trained on standardised embeddings. A seed draws the classifier
and, where nothing was trained, the network. Each of the five published folds is scored once.

    python -m sweeps.linear_probe --data-root ~/ESC-50
    python -m analysis.linear_probe
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/linear_probe.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, folds, grid
from trainable.config import TrialConfig

PROBE = TrialConfig(
    corpus="esc50", backbone="efficientat/mn04_as", pretrain_hz=32_000, data_hz=32_000, clip_s=5.0, augment="none",
    trained="head", lr=1e-3, schedule="cosine", batch=32, epochs=50, seed=1,
).but(**{"trained.standardise": 1})  # fmt: skip
SWEEP = Sweep("linear_probe", grid(PROBE, split=folds("published", 5), weights=("none", "published"), seed=(1, 2, 3)))

if __name__ == "__main__":
    main(SWEEP)
