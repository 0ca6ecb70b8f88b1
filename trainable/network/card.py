"""What a plan must know of a backbone without loading it: its rates, its front end, its shortest input, its checkpoint.

Nothing here imports torch, so that a grid of ten thousand trials is checked in milliseconds.
"""

from __future__ import annotations

import ast
import functools
import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from datasets.engine.refusal import Refusal

BACKBONES = Path(__file__).resolve().parents[1] / "backbones"
HUB_FILE = "model.safetensors"  # in a repository of the Hugging Face hub, as its libraries name it


class BackboneError(Refusal, ValueError):
    """A network that does not exist, or that cannot take the clips of a trial."""


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
    num_mels: int

    def num_frames(self, num_samples: int) -> int:
        """Frames that a clip of `num_samples` gives, centred and reflected at both ends."""
        return num_samples // self.hop + 1

    def decibels(self, logmel: Any) -> Any:
        """A log-mel as a figure shows it [dB]."""
        return logmel


@dataclass(frozen=True)
class KaldiFrontEnd(FrontEnd):
    """A log-mel of a pre-emphasised waveform in Kaldi's mel bands, normalised by two constants.

    Its frames are `taper` samples long and stand in the middle of the `window` that is transformed.
    """

    taper: int  # samples of the symmetric Hann window
    pre_emphasis: float  # of the sample before, which is taken off each
    floor: float  # added to the mel power before its natural logarithm
    mean: float  # of the logarithm, taken off
    spread: float  # that it is divided by

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip: the first sample has none before it, so that one is lost."""
        return (num_samples - 1) // self.hop + 1

    def decibels(self, logmel: Any) -> Any:
        """A log-mel as a figure shows it [dB], its normalisation undone."""
        return (logmel * self.spread + self.mean) * (10 / math.log(10))


@dataclass(frozen=True)
class Passport:
    """A published checkpoint: which file, where from, how to know it, under which licence."""

    file: str
    source: str
    pretrained_on: str
    licence: str
    num_bytes: int | None = None  # None where no public record states it
    sha256: str | None = None
    hub_id: str = ""  # repository of the Hugging Face hub whose cache on this disk may hold the file, as "owner/name"
    command: str = ""  # of a shell, that gets the file and writes it to {path}; empty where none is known


@dataclass(frozen=True)
class Card:
    """One backbone at one pre-training rate."""

    backbone: str
    pretrain_hz: int
    inputs: tuple[str, ...]  # parts of trainable/inputs/ that it can be given, its own first
    front_end: FrontEnd  # of a network that takes waveforms alone only the rate counts
    min_samples: int  # shortest clip
    num_parameters: int | None  # as published, its classifier included; None where nobody has told
    passport: Passport
    bytes_per_cell: int  # of activations that a step keeps for each frame and band of a clip's log-mel, at most
    input_norms: tuple[str, ...] = ("batch",)  # values of `TrialConfig.input_norm` that it has a use for
    dense: bool = False  # whether its convolutions are of all channels, none depthwise or in groups
    scalable: bool = True  # whether `TrialConfig.width` can differ from 1


def family(backbone: str) -> str:
    """The module of `trainable.backbones` that a name belongs to: `timm/x` is timm's, `cnn14` of whoever names it.

    Raises:
        ValueError: if no family has such a bare name; names those there are.
    """
    if "/" in backbone:
        return backbone.partition("/")[0]
    found = bare_names()
    if backbone not in found:
        others = [name for name in families() if name not in found.values()]
        raise ValueError(
            f"backbone={backbone!r}: there is no such network; there are {', '.join(found)}, and family/name of "
            f"{', '.join(others)}"
        )
    return found[backbone]


def families() -> list[str]:
    """The names of all families, sorted: each is a file of `trainable/backbones/`."""
    return sorted(path.stem for path in BACKBONES.glob("[!_]*.py"))


@functools.cache
def bare_names() -> Mapping[str, str]:
    """The family of each network that is called by its name alone: those in `NAMES` at the top of the family's file.

    The files are read and not run, because a trial loads no family but its own (`sweeps.engine.modules` counts them).

    Raises:
        ValueError: if the names of a family must be computed.
    """
    return {name: stem for stem in families() for name in _names(BACKBONES / f"{stem}.py") if "/" not in name}


def _names(path: Path) -> tuple[str, ...]:
    """What a family's file gives `NAMES` at its top; nothing where it does not."""
    for node in ast.parse(path.read_bytes(), path.name).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and re.match("NAMES( =|:)", ast.unparse(node)):
            try:
                return tuple(ast.literal_eval(node.value))
            except ValueError as error:
                raise ValueError(f"{path}: NAMES is read without running the file; write the names out") from error
    return ()


def module(backbone: str) -> ModuleType:
    """The family's module: one file, in which nothing that stands at its top loads torch.

    It has `card(backbone, pretrain_hz) -> Card`; `build(config, num_classes, *, generator) -> Backbone`, the network
    with random weights; and `from_published(config, network, state) -> state dict`, a published file's tensors under
    the names of that network. It may have `NAMES`, a tuple of texts: its networks that are called by a name alone; and
    `TITLE`, what papers call its networks, where that is not the file's name in capitals.

    Raises:
        ValueError: if there is no such family, or none with a network of that name alone.
    """
    found = family(backbone)
    name = f"trainable.backbones.{found}"
    unknown = ValueError(f"backbone={backbone!r}: there is no family trainable/backbones/{found}.py")
    if not re.fullmatch("[A-Za-z0-9]+", found):  # another folder
        raise unknown
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the family is there and lacks something itself
            raise
        raise unknown from None


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of `backbone` pre-trained at `pretrain_hz`.

    Raises:
        ValueError: if there is no such family, no such network in it, or none at that rate; names those there are.
    """
    found: Card = module(backbone).card(backbone, pretrain_hz)
    return found
