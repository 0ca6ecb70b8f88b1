"""PANNs (Kong et al. 2020): cards of the networks, which are themselves in `panns_networks`: that loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainable.card import Card, FrontEnd, Passport

if TYPE_CHECKING:
    import torch

    from trainable.backbones.panns_networks import PannCnn

# Window, hop and upper cut-off follow the pre-training rate, so that every network saw 10 ms hops. 8 and 4 kHz at the
# lower rates is what the checkpoints were trained with; Mohammadi et al.'s text says 7 and 3.5 kHz (docs/fidelity.md).
FRONT_ENDS = {
    32_000: FrontEnd(rate_hz=32_000, window=1024, hop=320, f_min_hz=50, f_max_hz=14_000),
    16_000: FrontEnd(rate_hz=16_000, window=512, hop=160, f_min_hz=50, f_max_hz=8_000),
    8_000: FrontEnd(rate_hz=8_000, window=256, hop=80, f_min_hz=50, f_max_hz=4_000),
}

SOURCE = "zenodo.org/records/3987831"
CHECKPOINTS = {
    ("cnn14", 32_000): (
        "Cnn14_mAP=0.431.pth",
        327_428_481,
        "0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
    ),
    ("cnn14", 16_000): (
        "Cnn14_16k_mAP=0.438.pth",
        None,
        "e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
    ),
    ("cnn14", 8_000): ("Cnn14_8k_mAP=0.416.pth", None, None),
}
NUM_PARAMETERS = {"cnn14": 80_753_615}
MIN_FRAMES = {"cnn14": 32}  # five poolings by two


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of a PANN.

    Raises:
        ValueError: if there is no such network, or no checkpoint of it at `pretrain_hz`.
    """
    if backbone not in MIN_FRAMES:
        raise ValueError(f"backbone={backbone!r}: there is no such PANN; there are {', '.join(MIN_FRAMES)}")
    if (backbone, pretrain_hz) not in CHECKPOINTS:
        rates = ", ".join(str(hz) for name, hz in CHECKPOINTS if name == backbone)
        raise ValueError(f"pretrain_hz={pretrain_hz}: {backbone} was pre-trained at {rates} Hz")
    file, num_bytes, sha256 = CHECKPOINTS[backbone, pretrain_hz]
    return Card(
        backbone=backbone,
        pretrain_hz=pretrain_hz,
        input="logmel",
        front_end=FRONT_ENDS[pretrain_hz],
        min_frames=MIN_FRAMES[backbone],
        num_parameters=NUM_PARAMETERS[backbone],
        passport=Passport(file, SOURCE, "AudioSet, 527 classes", "CC BY 4.0", num_bytes, sha256),
    )


def build(
    backbone: str, num_classes: int, width: float = 1.0, head_dropout: float = 0.0, *, generator: torch.Generator
) -> PannCnn:
    """A PANN with random weights drawn from `generator`; loads torch."""
    from trainable.backbones import panns_networks  # here, so that a plan needs no torch

    return panns_networks.build(backbone, num_classes, width, head_dropout, generator=generator)
