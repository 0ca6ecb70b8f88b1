"""Table II and Fig. 3 of Mohammadi et al. 2024: which pre-trained network should hear ships? Ten on DeepShip.

python -m analysis.deepship_backbones
"""

from __future__ import annotations

import sys

from analysis.engine.claims.claim import Claim, fam, those
from analysis.engine.command import main
from analysis.engine.kinds import Ranking
from sweeps.deepship_backbones import SWEEP

QUESTION = "Which pre-trained network should hear ships? Ten backbones on DeepShip"
CONVNEXT, REGNET = those(backbone="timm/convnextv2_tiny.fcmae"), those(backbone="timm/regnety_320.tv2_in1k")
CLAIMS = (
    Claim(
        "ImageNet networks slightly out-perform audio networks",
        "abstract, sections IV-B and V",
        better=fam("timm"),
        than=fam("panns"),
    ),
    Claim("ConvNeXtV2-tiny has the highest accuracy", "section IV-B", better=CONVNEXT, relation="best"),
    Claim(
        "Of the audio networks, CNN14 has the highest accuracy",
        "section IV-B",
        better=those(backbone="cnn14"),
        than=fam("panns"),
        relation="best",
    ),
    Claim(
        "MobileNetV1 (audio) is better than MobileNetV3 (ImageNet), which is called statistically significant",
        "section IV-B",
        better=those(backbone="mobilenetv1"),
        than=those(backbone="timm/mobilenetv3_large_100.ra_in1k"),
    ),
    Claim(
        "More parameters do not give more accuracy: ConvNeXtV2-tiny is better than RegNetY-320, five times its size",
        "section IV-B",
        better=CONVNEXT,
        than=REGNET,
    ),
    Claim(
        "CNN14 identifies tankers better than ConvNeXtV2-tiny",
        "section IV-C, Fig. 3",
        better=those(backbone="cnn14"),
        than=CONVNEXT,
        of_class="Tanker",
    ),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP, QUESTION, Ranking(over="backbone"), published="deepship_backbones", claims=CLAIMS))
