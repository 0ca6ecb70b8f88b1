"""Cards: the facts about a backbone that a plan needs, such as its front end, its shortest input and its checkpoint.

Nothing here imports torch, so that a grid of ten thousand trials can be checked without loading it.
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
HUB_FILE = "model.safetensors"  # the usual name in a repository of the Hugging Face hub


class BackboneError(Refusal, ValueError):
    """A network that does not exist, or that cannot take the clips of a trial."""


@dataclass(frozen=True)
class FrontEnd:
    """A log-mel front end, fixed by the rate at which a backbone was pre-trained.

    Audio at another rate is fed to it without resampling (Mohammadi et al. 2024, section III): a window of `window`
    samples then lasts longer or shorter, and a mel band nominally at f covers f * data_hz / rate_hz.
    """

    rate_hz: int
    window: int  # samples; also the FFT size
    hop: int  # samples
    f_min_hz: float
    f_max_hz: float
    num_mels: int

    def num_frames(self, num_samples: int) -> int:
        """The number of frames in `num_samples`; frames are centred, and a clip is reflected at both ends."""
        return num_samples // self.hop + 1

    def decibels(self, logmel: Any) -> Any:
        """The log-mel in decibels, for figures."""
        return logmel


@dataclass(frozen=True)
class KaldiFrontEnd(FrontEnd):
    """A log-mel of a pre-emphasised waveform in Kaldi's mel bands, normalised with two constants.

    A frame is `taper` samples long, centred in the `window` of the FFT.
    """

    taper: int  # samples of the symmetric Hann window
    pre_emphasis: float  # the factor of the previous sample, which is subtracted
    floor: float  # added to the mel power before its natural logarithm
    mean: float  # subtracted from the logarithm
    spread: float  # by which the difference is divided

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip; pre-emphasis drops the first sample, which has no previous one."""
        return (num_samples - 1) // self.hop + 1

    def decibels(self, logmel: Any) -> Any:
        """The log-mel in decibels, for figures: its normalisation is undone."""
        return (logmel * self.spread + self.mean) * (10 / math.log(10))


@dataclass(frozen=True)
class Passport:
    """A published checkpoint: its file, source, size, hash and licence."""

    file: str
    source: str
    pretrained_on: str
    licence: str
    num_bytes: int | None = None  # None if no public record states it
    sha256: str | None = None
    hub_id: str = ""  # repository on the Hugging Face hub, "owner/name"; the local cache of the hub may hold the file
    command: str = ""  # the shell command that gets the file and writes it to {path}; empty if none is known


@dataclass(frozen=True)
class Card:
    """One backbone at one pre-training rate."""

    backbone: str
    pretrain_hz: int
    inputs: tuple[str, ...]  # parts of trainable/inputs/ that it can take, its own first
    front_end: FrontEnd  # only the rate matters for a network that takes nothing but waveforms
    min_samples: int  # the shortest clip
    num_parameters: int | None  # of the published network with its classifier; None if unknown
    passport: Passport
    bytes_per_cell: int  # maximum bytes of activations in a step, for each frame and band of a clip's log-mel
    input_norms: tuple[str, ...] = ("batch",)  # values of `TrialConfig.input_norm` that it supports
    dense: bool = False  # whether all its convolutions are over all channels, without depthwise or grouped ones
    scalable: bool = True  # whether `TrialConfig.width` can differ from 1


def family(backbone: str) -> str:
    """The module of `trainable.backbones` for a network: `timm` for `timm/x`; for `cnn14`, the one with it in `NAMES`.

    Raises:
        ValueError: if no family has this bare name; names those that exist.
    """
    if "/" in backbone:
        return backbone.partition("/")[0]
    family_of = bare_names()
    if backbone not in family_of:
        others = [name for name in families() if name not in family_of.values()]
        raise ValueError(
            f"backbone={backbone!r}: there is no such network; there are {', '.join(family_of)}, and family/name of "
            f"{', '.join(others)}"
        )
    return family_of[backbone]


def families() -> list[str]:
    """The names of all families, sorted: each is a file of `trainable/backbones/`."""
    return sorted(path.stem for path in BACKBONES.glob("[!_]*.py"))


@functools.cache
def bare_names() -> Mapping[str, str]:
    """The family of each network whose name has no family in it; such names are in `NAMES` at the top of a file.

    The files are read but not run, because a trial loads no family but its own (`sweeps.engine.modules` counts them).

    Raises:
        ValueError: if `NAMES` of a family would have to be computed.
    """
    return {name: stem for stem in families() for name in _names(BACKBONES / f"{stem}.py") if "/" not in name}


def _names(path: Path) -> tuple[str, ...]:
    """The value of `NAMES` at the top of a family's file; empty if it has none."""
    for node in ast.parse(path.read_bytes(), path.name).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and re.match("NAMES( =|:)", ast.unparse(node)):
            try:
                return tuple(ast.literal_eval(node.value))
            except ValueError as error:
                raise ValueError(f"{path}: NAMES is read without running the file; write the names out") from error
    return ()


def module(backbone: str) -> ModuleType:
    """The module of a network's family: one file, which does not import torch at its top.

    It has `card(backbone, pretrain_hz) -> Card`; `build(config, num_classes, *, generator) -> Backbone`, the network
    with random weights; and `from_published(config, network, state) -> state dict`, the tensors of a published file
    under the names of that network. It may have `NAMES`, a tuple with its networks, which
    `python -m trainable` lists, and of which those without `family/` are allowed; and `TITLE`, the name of its networks
    in papers, if that is not the name of the file in capitals.

    Raises:
        ValueError: if there is no such family, or no family has a network with this bare name.
    """
    family_name = family(backbone)
    name = f"trainable.backbones.{family_name}"
    unknown = ValueError(f"backbone={backbone!r}: there is no family trainable/backbones/{family_name}.py")
    if not re.fullmatch("[A-Za-z0-9]+", family_name):  # it could lead to another folder
        raise ValueError(f"{unknown}; the name of a family has letters and digits only")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the family exists, but one of its own imports fails
            raise
        raise unknown from None


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of `backbone` pre-trained at `pretrain_hz`.

    Raises:
        ValueError: if there is no such family, network or rate; names those that exist.
    """
    loaded: Card = module(backbone).card(backbone, pretrain_hz)
    return loaded
