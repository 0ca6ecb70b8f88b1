"""Which pre-trained network should hear ships? Ten on DeepShip (Mohammadi et al. 2024, Table II, Figs. 3 and 4).

10 backbones x 3 seeds = 30 trials

    python -m sweeps.deepship_backbones --data-root ~/DeepShip
    python -m analysis.deepship_backbones
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/deepship_backbones.py` works

from sweeps.engine.launch import main
from sweeps.engine.plan import Pair, Sweep, grid
from sweeps.recipes.mohammadi import PANN, TIMM, WAVE

SEEDS = (1, 2, 3)
PANNS = ("cnn14", "wavegram_logmel_cnn14", "mobilenetv1", "resnet38")
IMAGENET = (
    "timm/convnextv2_tiny.fcmae",
    "timm/regnety_320.tv2_in1k",
    "timm/densenet201.tv_in1k",
    "timm/resnet50.a1_in1k",
    "timm/mobilenetv3_large_100.ra_in1k",
)
SWEEP = Sweep(
    "deepship_backbones",
    grid(PANN, backbone=PANNS, seed=SEEDS) + grid(WAVE, seed=SEEDS) + grid(TIMM, backbone=IMAGENET, seed=SEEDS),
    pairs=(
        Pair({"backbone": IMAGENET}, {"backbone": (*PANNS, WAVE.backbone)}, "ImageNet against audio networks"),
        Pair({"backbone": IMAGENET[0]}, {"backbone": "cnn14"}, "the best of each"),
        Pair({"backbone": "mobilenetv1"}, {"backbone": IMAGENET[-1]}, "MobileNetV1 against MobileNetV3"),
    ),
)
if __name__ == "__main__":
    main(SWEEP)
