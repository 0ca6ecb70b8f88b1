"""What a plan must know of a backbone without loading it: its rates, its front end, its shortest input, its checkpoint.

Nothing here imports torch, so that a grid of ten thousand trials is checked in milliseconds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class FrontEnd:
    """A log-mel front end, fixed by the rate a backbone was pre-trained at.

    Audio at another rate is fed to it as it is (Mohammadi et al. 2024, section III): a window of `window` samples then
    lasts longer or shorter, and a mel band nominally at f covers f * data_hz / rate_hz.
    """

    rate_hz: int
    window: int  # samples, and FFT size
    hop: int  # samples
    f_min_hz: float
    f_max_hz: float
    num_mels: int = 64

    def num_frames(self, num_samples: int) -> int:
        """Frames that a clip of `num_samples` gives, centred and reflected at both ends."""
        return num_samples // self.hop + 1


@dataclass(frozen=True)
class Passport:
    """A published checkpoint: which file, where from, how to know it, under which licence."""

    file: str
    source: str
    pretrained_on: str
    licence: str
    num_bytes: int | None = None  # None where no public record states it
    sha256: str | None = None


@dataclass(frozen=True)
class Card:
    """One backbone at one pre-training rate."""

    backbone: str
    pretrain_hz: int
    input: str  # "logmel"
    front_end: FrontEnd
    min_frames: int
    num_parameters: int  # as published, its classifier included
    passport: Passport


def family(backbone: str) -> str:
    """The module of `trainable.backbones` that a name belongs to: `timm/x` is timm's, a bare name is a PANN."""
    return backbone.partition("/")[0] if "/" in backbone else "panns"


def module(backbone: str) -> ModuleType:
    """The family's module, with `card(backbone, pretrain_hz)` and `build(backbone, num_classes, ...)`.

    Raises:
        ValueError: if there is no such family.
    """
    name = f"trainable.backbones.{family(backbone)}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the family is there and lacks something itself
            raise
        raise ValueError(
            f"backbone={backbone!r}: there is no family trainable/backbones/{family(backbone)}.py"
        ) from None


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of `backbone` pre-trained at `pretrain_hz`.

    Raises:
        ValueError: if there is no such family, no such network in it, or none at that rate; names those there are.
    """
    found: Card = module(backbone).card(backbone, pretrain_hz)
    return found
