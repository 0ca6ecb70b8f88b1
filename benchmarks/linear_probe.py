"""Measures a linear probe, whose clips are embedded once, against as many epochs of the same frozen network.

    python -m benchmarks.linear_probe [--clips 256] [--epochs 100] [--peer-epochs 2] [--rounds 3] [--json FILE]

The peer trains the same classifier from the same start, on the same batches, with the same dropout: it freezes the
backbone, in evaluation mode and without gradients, and passes every clip through it in every epoch. It is measured for
a few epochs, which are all alike, and scaled to as many as ours, all of which are run; ours writes its checkpoints too.
One thread, taken in turn after a round to warm up; medians of CPU time, or on a GPU of the clock on the wall.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measured import Row, against, at_most, not_measured, parser, show
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.examples import Examples
from trainable.finetune import batches, dropout_of, finetune, predict
from trainable.network.backbone import Backbone
from trainable.network.linear import embedded
from trainable.network.networks import start_network
from trainable.randomness import generator
from trainable.result.metrics import cross_entropy

NUM_CLASSES = 4
AT_LEAST = 30  # times the peer's speed
ON_CPU = (("mobilenetv1", 1.0), ("cnn14", 1 / 4))  # backbone and width
ON_GPU = ("cnn14", 1.0)
CLIPS_ON_GPU = 16  # times as many


@dataclass(frozen=True)
class Found:
    """What was measured of one network."""

    ours_s: float
    peer_s: float  # of as many epochs as ours, by scaling
    embeddings_differ: float  # at most, as a share of the largest
    losses_differ: float  # of validation, at most, over the epochs that both were measured for


def trial(backbone: str, width: float, epochs: int) -> TrialConfig:
    """A linear probe of 8 kHz clips before the 32 kHz front end: 126 frames."""
    return RATES.but(
        backbone=backbone,
        data_hz=8_000,
        augment="none",
        weights="none",
        width=width,
        epochs=epochs,
        patience=epochs,
        trained="head",
    )


def clips(config: TrialConfig, number: int, seed: int, device: torch.device) -> Examples:
    """Noise about a level that tells the class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % NUM_CLASSES
    noise = torch.randn(number, *config.logmel_shape, generator=random)
    inputs = -30 + 7.6 * noise + 3 * labels[:, None, None]
    none = np.zeros(number, dtype=int)
    return Examples(inputs.half().to(device), labels.to(device), none, none)


def ready(config: TrialConfig, train: Examples) -> Backbone:
    """The network that a trial begins with: random weights, but normalisations that have seen a batch.

    Without, MobileNetV1's embeddings are below 1e-17, and all alike.
    """
    device = train.labels.device
    network = start_network(config, NUM_CLASSES, None).to(device).to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad(), dropout_of(config, 0, device):
        network.train()(train.batch(slice(0, config.batch)))
    return network


def ours(config: TrialConfig, network: Backbone, train: Examples, validation: Examples) -> list[float]:
    """Embeds once, trains all epochs; the validation losses."""
    with tempfile.TemporaryDirectory() as folder:
        part, (fit, held_out) = config.trained.ready(config, network, (train, validation))
        history = finetune(config, part, fit, held_out, Path(folder), lambda row: None)
    return [row["val_loss"] for row in history]


def peer(config: TrialConfig, network: Backbone, train: Examples, validation: Examples, epochs: int) -> list[float]:
    """Trains some epochs of the classifier on a network that runs in each of them; the validation losses."""
    network.requires_grad_(False).classifier.requires_grad_(True)
    optimizer = torch.optim.Adam(network.classifier.parameters(), lr=config.lr, fused=True)
    device, losses = train.labels.device, []
    for epoch in range(1, epochs + 1):
        network.eval().head_dropout.train()
        order = torch.randperm(len(train.labels), generator=generator(config.seed, "order", epoch)).to(device)
        with dropout_of(config, epoch, device):
            for drawn in batches(order, config.batch, 1):
                optimizer.zero_grad()
                F.cross_entropy(network(train.batch(drawn)), train.labels[drawn]).backward()
                optimizer.step()
        losses.append(cross_entropy(predict(network, validation, config), validation.labels.cpu().numpy()))
    return losses


def fed(config: TrialConfig, network: Backbone, examples: Examples) -> Tensor:
    """What the classifier is fed when the whole network predicts."""
    found: list[Tensor] = []
    handle = network.classifier.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    predict(network, examples, config)
    handle.remove()
    return torch.cat(found)


def measure(config: TrialConfig, num_clips: int, peer_epochs: int, rounds: int, device: torch.device) -> Found:
    """Both in turn, each from the same start; medians over the rounds."""
    train, validation = clips(config, num_clips, 0, device), clips(config, max(1, num_clips // 4), 1, device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    whole = fed(config, ready(config, train), train)
    alone = embedded(config, ready(config, train), train).inputs
    ours_s, peer_s, losses_differ = [], [], []
    for round_ in range(rounds + 1):
        mine, other = ready(config, train), ready(config, train)
        began = clock()
        losses = ours(config if round_ else replace(config, epochs=1), mine, train, validation)
        between = clock()
        others = peer(config, other, train, validation, peer_epochs if round_ else 1)
        if round_:
            ours_s.append(between - began)
            peer_s.append((clock() - between) * config.epochs / peer_epochs)
            losses_differ += [abs(one - two) for one, two in zip(losses, others, strict=False)]
    return Found(
        statistics.median(ours_s),
        statistics.median(peer_s),
        float((alone - whole).abs().max() / whole.abs().max()),
        max(losses_differ),
    )


def rows_of(backbone: str, width: float, args: argparse.Namespace, device: torch.device) -> list[Row]:
    """The time of one network, and how far its embeddings are from those that the network classifies."""
    num_clips = args.clips * (CLIPS_ON_GPU if device.type == "cuda" else 1)
    found = measure(trial(backbone, width, args.epochs), num_clips, args.peer_epochs, args.rounds, device)
    case = f"{case_of(backbone, width)}, {num_clips} + {max(1, num_clips // 4)} clips, {args.epochs} epochs"
    note = f"peer: {args.peer_epochs} epochs, scaled; their validation losses differ by {found.losses_differ:.1g}"
    unit = "CPU-s" if device.type == "cpu" else "s"
    return [
        against(case, unit, found.ours_s, found.peer_s, "network in every epoch", AT_LEAST, note),
        at_most(f"{case_of(backbone, width)}: embeddings differ", "of the largest", found.embeddings_differ, 1e-5),
    ]


def case_of(backbone: str, width: float) -> str:
    """A network in words."""
    return backbone + (f" at width {width:g}" if width != 1 else "")


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    flags = parser(__doc__)
    flags.add_argument("--clips", type=int, default=256, help="trained on; a quarter as many for validation")
    flags.add_argument("--epochs", type=int, default=100, help="of ours; the peer is scaled to them")
    flags.add_argument("--peer-epochs", type=int, default=2, help="that the peer is measured for")
    flags.add_argument("--rounds", type=int, default=3)
    args = flags.parse_args(argv)
    torch.set_num_threads(1)
    rows = [row for case in ON_CPU for row in rows_of(*case, args, torch.device("cpu"))]
    if torch.cuda.is_available():
        rows += rows_of(*ON_GPU, args, torch.device("cuda"))
    else:
        rows.append(not_measured(f"{case_of(*ON_GPU)} on a GPU", "s", f">= {AT_LEAST}x", "there is no GPU here"))
    show(rows, args)


if __name__ == "__main__":
    main()
