"""The network from which a trial starts, and a check, before any trial starts, that all networks of a plan can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainable.network.card import BackboneError, module
from trainable.network.depthwise import use_fast_gradients
from trainable.network.on_gpu import use_fast_layers
from trainable.randomness import generator
from trainable.weights import pretrained
from trainable.weights.weights import WrongWeights, starts

if TYPE_CHECKING:
    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone

WIDE = 10_000_000  # parameters


def start_network(config: TrialConfig, num_classes: int, checkpoint: Path | None) -> Backbone:
    """The network from which a trial starts, on the CPU: pre-trained or random, with a new classifier.

    Trials with the same seed start from the same classifier, whatever their rates, so that comparisons are paired.

    Raises:
        BackboneError: if there is no such network, or it cannot be built for the trial's clips.
        WrongWeights: if the checkpoint is damaged, or belongs to another network or front end.
    """
    family = module(config.backbone)
    network: Backbone = family.build(config, num_classes, generator=generator(config.seed, "weights"))
    if checkpoint:
        rename = partial(family.from_published, config, network)
        pretrained.load(network, checkpoint, config.card.front_end, rename)
    network.replace_classifier(num_classes, generator(config.seed, "classifier"))
    return network


def laid_out(network: Backbone, config: TrialConfig, device: torch.device) -> Backbone:
    """The network on its device, with the memory layout and the layers that are fastest there."""
    if device.type == "cpu":
        use_fast_gradients(network)
    else:
        use_fast_layers(network)
    # On a CPU, channels_last makes narrow and depthwise convolutions up to twice as fast, but wide dense ones a tenth
    # slower (benchmarks/network.py).
    wide = (config.card.num_parameters or 0) * config.width**2 > WIDE
    if device.type == "cpu" and config.card.dense and wide:
        return network
    return network.to(device).to(memory_format=torch.channels_last)


def check_starts(trials: Iterable[TrialConfig], checkpoints: Mapping[str, Path | None]) -> None:
    """Builds each different network once, loads its checkpoint, and runs it on the shape of its clips.

    Args:
        checkpoints: the checkpoint of each trial, by key.

    Raises:
        BackboneError: if a network does not exist or cannot take its clips; all such networks are named.
        WrongWeights: if a checkpoint is damaged or belongs to another network or front end; all of them are named.
    """
    problems: dict[str, type[ValueError]] = {}
    for trial in starts(trials, checkpoints):
        try:
            _show(start_network(trial, 2, checkpoints[trial.key]), trial)
        except (BackboneError, WrongWeights) as error:
            problems[str(error)] = type(error)
    if problems:
        raise (BackboneError if BackboneError in problems.values() else WrongWeights)("\n".join(problems))


def _show(network: Backbone, config: TrialConfig) -> None:
    """Runs the network on shapes alone, which costs no arithmetic.

    Raises:
        BackboneError: if it cannot take clips of this length.
    """
    shape = config.given.shape(config)
    try:
        network.to("meta")(torch.empty(2, *shape, device="meta"))
    except (AssertionError, RuntimeError) as error:
        size = " x ".join(map(str, shape))
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BackboneError(
            f"backbone={config.backbone!r}: cannot take a clip of {config.clip_s:g} s at data_hz={config.data_hz}, "
            f"{size}: {reason}; choose another data_hz, clip_s or backbone"
        ) from error
