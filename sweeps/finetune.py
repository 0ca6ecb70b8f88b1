"""Which network knows the recordings in my folder, and does it help that it was pre-trained?

2 networks x 2 weights x 3 seeds = 12 trials

EfficientAT mn04 was trained on AudioSet and takes 32 kHz, EfficientNet-Lite0 on pictures; each also starts from random
weights, as a control with the same settings. They have 1 and 4.7 million parameters: no GPU is needed.
Recordings shorter than a clip are filled up with zeros.

    python -m datasets.check folder --data-root ~/MyCalls     # what is there, and which --split keeps groups apart
    python -m trainable.fetch efficientat/mn04_as timm/tf_efficientnet_lite0.in1k
    python -m sweeps.finetune --data-root ~/MyCalls --split recording --set clip_s=2
    python -m analysis.finetune --split recording --set clip_s=2
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/finetune.py` finds the rest

from sweeps.engine.launch import main
from sweeps.engine.plan import Sweep, grid
from trainable.config import TrialConfig

AUDIO = TrialConfig(
    corpus="folder", backbone="efficientat/mn04_as", pretrain_hz=32_000, data_hz=32_000, clip_s=2.0, short="pad",
    augment="none", lr=1e-3, schedule="cosine", batch=16, epochs=20, keep_by="accuracy", seed=1,
)  # fmt: skip
PICTURES = AUDIO.but(backbone="timm/tf_efficientnet_lite0.in1k", input_norm="standard")
AXES = {"weights": ("none", "published"), "seed": (1, 2, 3)}
SWEEP = Sweep("finetune", grid(AUDIO, **AXES) + grid(PICTURES, **AXES))

if __name__ == "__main__":
    main(SWEEP)
