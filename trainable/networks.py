"""The network that a trial starts from, and the check that every checkpoint of a plan fits before any trial starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainable import weights
from trainable.card import module
from trainable.randomness import generator

if TYPE_CHECKING:
    from torch import nn

    from trainable.config import TrialConfig


def start_network(config: TrialConfig, num_classes: int, pretrained: Path | None) -> nn.Module:
    """The network that a trial starts from, on the CPU: pre-trained or random, with a new classifier.

    Trials with one seed start from one classifier, whatever their rates: their comparison is paired.
    """
    random = generator(config.seed, "weights")
    network = module(config.backbone).build(
        config.backbone, num_classes, config.width, config.head_dropout, generator=random
    )
    if pretrained:
        weights.load(network, pretrained, config.card.front_end)
    network.replace_classifier(num_classes, generator(config.seed, "classifier"))
    return network


def check_starts(trials: Iterable[TrialConfig], checkpoints: Mapping[str, Path | None]) -> None:
    """Loads each checkpoint once into the network that it is for.

    Args:
        checkpoints: the file of each trial, by key.

    Raises:
        WrongWeights: if one is damaged, or of another network or front end; all are named at once.
    """
    starts = {(checkpoints[t.key], t.backbone, t.pretrain_hz, t.width): t for t in trials if checkpoints[t.key]}
    problems = []
    for (path, *_), trial in starts.items():
        try:
            start_network(trial, 2, path)
        except weights.WrongWeights as error:
            problems.append(str(error))
    if problems:
        raise weights.WrongWeights("\n".join(problems))
