"""EfficientAT (Schmid et al. 2023): MobileNetV3 in six widths, trained on AudioSet with a transformer as teacher.

`trainable.network.mobilenetv3` builds them: that loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainable.network.card import Card, KaldiFrontEnd, Passport

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone

TITLE = "EfficientAT"
NAMES = (
    "efficientat/mn04_as",
    "efficientat/mn05_as",
    "efficientat/mn10_as",
    "efficientat/mn20_as",
    "efficientat/mn30_as",
    "efficientat/mn40_as",
)
# Of each network: width against MobileNetV3-Large, mean average precision on AudioSet in thousandths, which is in its
# file's name, and parameters with 527 classes.
NETWORKS = {
    "mn04_as": (0.4, 432, 983_599),
    "mn05_as": (0.5, 443, 1_431_239),
    "mn10_as": (1.0, 471, 4_876_831),
    "mn20_as": (2.0, 478, 17_909_287),
    "mn30_as": (3.0, 482, 39_086_367),
    "mn40_as": (4.0, 484, 68_427_303),
}
SOURCE = "github.com/fschmid56/EfficientAT"
RELEASE = f"https://{SOURCE}/releases/download/v0.0.1/"
PUBLIC = {  # size and digest of a file, where they are known
    "mn04_as": (4_066_513, "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"),
}
RATE_HZ = 32_000
FRONT_END = KaldiFrontEnd(
    rate_hz=RATE_HZ,
    window=1024,
    hop=320,
    f_min_hz=0,
    f_max_hz=15_000,
    num_mels=128,
    taper=800,
    pre_emphasis=0.97,
    floor=1e-5,
    mean=-4.5,
    spread=5,
)
BYTES_PER_CELL = 940  # at width 1, counted; 880 to 935 by width


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of a network of the family.

    Raises:
        ValueError: if there is no such network, or `pretrain_hz` is not its rate.
    """
    if backbone not in NAMES:
        raise ValueError(f"backbone={backbone!r}: there is no such EfficientAT; there are {', '.join(NAMES)}")
    if pretrain_hz != RATE_HZ:
        raise ValueError(f"pretrain_hz={pretrain_hz}: {backbone} was pre-trained at {RATE_HZ} Hz")
    name = backbone.partition("/")[2]
    width, precision, num_parameters = NETWORKS[name]
    file = f"{name}_mAP_{precision}.pt"
    num_bytes, sha256 = PUBLIC.get(name, (None, None))
    return Card(
        backbone=backbone,
        pretrain_hz=pretrain_hz,
        inputs=("kaldi_mel",),
        front_end=FRONT_END,
        min_samples=1,  # one frame, which strided layers keep
        num_parameters=num_parameters,
        bytes_per_cell=round(BYTES_PER_CELL * width),
        input_norms=("none",),  # its input is normalised already
        passport=Passport(
            file,
            SOURCE,
            "AudioSet, 527 classes, with PaSST as teacher",
            "MIT",
            num_bytes,
            sha256,
            command=f"curl -L --fail --continue-at - -o {{path}} {RELEASE}{file}",
        ),
    )


def build(config: TrialConfig, num_classes: int, *, generator: torch.Generator) -> Backbone:
    """A network with random weights drawn from `generator`; loads torch."""
    from trainable.network import mobilenetv3  # here, so that a plan needs no torch

    width = NETWORKS[config.backbone.partition("/")[2]][0] * config.width
    return mobilenetv3.build(width, num_classes, head_dropout=config.head_dropout, generator=generator)


def from_published(config: TrialConfig, network: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict under the names of the network, its kernels transposed so that frames are rows."""
    from trainable.network import mobilenetv3

    return mobilenetv3.renamed(state)
