"""PANNs (Kong et al. 2020): the cards of the networks. `trainable.network.panns` builds them, and loads torch."""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from trainable.network.card import Card, Passport
from trainable.network.panns.rates import FRONT_ENDS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone

TITLE = "PANN"
NAMES = (
    "cnn14",
    "cnn10",
    "cnn6",
    "resnet22",
    "resnet38",
    "mobilenetv1",
    "res1dnet31",
    "wavegram_logmel_cnn14",
)
SOURCE = "zenodo.org/records/3987831"
URL = "https://zenodo.org/record/3987831/files/{}?download=1"  # as in the readme of the PANNs
# The file of each checkpoint, with its size and digest if a public record states them.
CHECKPOINTS: dict[tuple[str, int], tuple[str, int | None, str | None]] = {
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
    ("cnn10", 32_000): ("Cnn10_mAP=0.380.pth", 25_237_595, None),
    ("cnn6", 32_000): ("Cnn6_mAP=0.343.pth", None, None),
    ("resnet22", 32_000): ("ResNet22_mAP=0.430.pth", None, None),
    ("resnet38", 32_000): ("ResNet38_mAP=0.434.pth", None, None),
    ("mobilenetv1", 32_000): ("MobileNetV1_mAP=0.389.pth", 23_639_473, None),
    ("res1dnet31", 32_000): ("Res1dNet31_mAP=0.365.pth", None, None),
    ("wavegram_logmel_cnn14", 32_000): ("Wavegram_Logmel_Cnn14_mAP=0.439.pth", None, None),
}
NUM_PARAMETERS = {  # with 527 classes
    "cnn14": 80_753_615,
    "cnn10": 5_219_279,
    "cnn6": 4_837_455,
    "resnet22": 63_675_087,
    "resnet38": 73_783_247,
    "mobilenetv1": 4_796_303,
    "res1dnet31": 80_464_463,
    "wavegram_logmel_cnn14": 81_065_487,
}
MIN_FRAMES = {  # every pooling by two halves the frames, and one must be left
    "cnn14": 32,
    "cnn10": 16,
    "cnn6": 16,
    "resnet22": 32,
    "resnet38": 32,
    "mobilenetv1": 32,
    "wavegram_logmel_cnn14": 32,
}
RES1DNET31_SAMPLES = 20_476  # a stride of 5 and six poolings by 4 leave one
# CNN14 keeps 64 channels of six float32 tensors at full resolution, and as much again for all the smaller ones. The
# other networks keep less.
BYTES_PER_CELL = 64 * 6 * 4 * 2
INPUTS = {"res1dnet31": "wave", "wavegram_logmel_cnn14": "wave_logmel"}


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of a PANN.

    Raises:
        ValueError: if there is no such network, or no checkpoint of it for `pretrain_hz`.
    """
    if backbone not in NUM_PARAMETERS:
        raise ValueError(f"backbone={backbone!r}: there is no such PANN; there are {', '.join(NUM_PARAMETERS)}")
    if (backbone, pretrain_hz) not in CHECKPOINTS:
        rates = ", ".join(str(hz) for name, hz in CHECKPOINTS if name == backbone)
        raise ValueError(f"pretrain_hz={pretrain_hz}: {backbone} was pre-trained at {rates} Hz")
    file, num_bytes, sha256 = CHECKPOINTS[backbone, pretrain_hz]
    front_end = FRONT_ENDS[pretrain_hz]
    frames = MIN_FRAMES.get(backbone)
    return Card(
        backbone=backbone,
        pretrain_hz=pretrain_hz,
        inputs=(INPUTS.get(backbone, "logmel"),),
        front_end=front_end,
        min_samples=(frames - 1) * front_end.hop if frames else RES1DNET31_SAMPLES,
        num_parameters=NUM_PARAMETERS[backbone],
        bytes_per_cell=BYTES_PER_CELL,
        dense=True,
        passport=Passport(
            file, SOURCE, "AudioSet, 527 classes", "CC BY 4.0", num_bytes, sha256, command=_command(file)
        ),
    )


@functools.cache
def _command(file: str) -> str:
    """The shell command that downloads a file, and resumes an interrupted download."""
    return f"curl -L --fail --continue-at - -o {{path}} {shlex.quote(URL.format(quote(file)))}"


def build(config: TrialConfig, num_classes: int, *, generator: torch.Generator) -> Backbone:
    """A PANN with random weights drawn from `generator`; loads torch."""
    from trainable.network.panns import models  # imported here so that a plan needs no torch

    return models.build(
        config.backbone,
        num_classes,
        width=config.width,
        head_dropout=config.head_dropout,
        front_end=config.card.front_end,
        generator=generator,
    )


def from_published(config: TrialConfig, network: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict, unchanged: the networks use its names, and loading removes its front end."""
    return state
