"""Measures a linear probe, which embeds each clip once, against a frozen network that runs in every epoch.

    python -m benchmarks.linear_probe [--clips 256] [--epochs 100] [--peer-epochs 2] [--rounds 3] [--json FILE]

The peer trains the same classifier from the same start, on the same batches, with the same dropout: it freezes the
backbone, in evaluation mode and without gradients, and passes every clip through it in every epoch. Its epochs all take
the same time, so a few are measured and scaled to the number of ours, all of which run; ours also writes checkpoints.
With one thread, the sides take turns after a round to warm up; the figures are medians of CPU time, or of wall time on
a GPU.
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
AT_LEAST = 30  # goal: ratio to the peer's speed
ON_CPU = (("mobilenetv1", 1.0), ("cnn14", 1 / 4))  # backbone and width
ON_GPU = ("cnn14", 1.0)
CLIPS_ON_GPU = 16  # ratio to the number of clips on a CPU


@dataclass(frozen=True)
class Found:
    """The measurements of one network."""

    ours_s: float
    peer_s: float  # scaled to the number of our epochs
    embeddings_differ: float  # largest difference, as a share of the largest value
    losses_differ: float  # largest difference of validation losses, over the epochs that both sides ran


def trial(backbone: str, width: float, epochs: int) -> TrialConfig:
    """A linear probe on 8 kHz clips with the 32 kHz front end, which gives 126 frames."""
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
    """Examples of noise around a level that depends on the class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % NUM_CLASSES
    noise = torch.randn(number, *config.logmel_shape, generator=random)
    inputs = -30 + 7.6 * noise + 3 * labels[:, None, None]
    none = np.zeros(number, dtype=int)
    return Examples(inputs.half().to(device), labels.to(device), none, none)


def ready(config: TrialConfig, train: Examples) -> Backbone:
    """The network at the start of a trial: random weights, but normalisations that have seen a batch.

    Without that batch, MobileNetV1's embeddings are below 1e-17 and nearly identical.
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
    """Embeds the clips once and trains all epochs; returns the validation losses."""
    with tempfile.TemporaryDirectory() as folder:
        part, (fit, held_out) = config.trained.ready(config, network, (train, validation))
        history = finetune(config, part, fit, held_out, Path(folder), lambda row: None)
    return [row["val_loss"] for row in history]


def peer(config: TrialConfig, network: Backbone, train: Examples, validation: Examples, epochs: int) -> list[float]:
    """Trains the classifier for some epochs, with the whole network in each; returns the validation losses."""
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
    """The classifier's input when the whole network predicts."""
    inputs: list[Tensor] = []
    handle = network.classifier.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    predict(network, examples, config)
    handle.remove()
    return torch.cat(inputs)


def measure(config: TrialConfig, num_clips: int, peer_epochs: int, rounds: int, device: torch.device) -> Found:
    """Measures both sides in turn, each from the same start; times are medians over the rounds."""
    train, validation = clips(config, num_clips, 0, device), clips(config, max(1, num_clips // 4), 1, device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    classified = fed(config, ready(config, train), train)
    embeddings = embedded(config, ready(config, train), train).inputs
    ours_s, peer_s, losses_differ = [], [], []
    for round_ in range(rounds + 1):
        our_network, peer_network = ready(config, train), ready(config, train)
        began = clock()
        losses = ours(config if round_ else replace(config, epochs=1), our_network, train, validation)
        between = clock()
        peer_losses = peer(config, peer_network, train, validation, peer_epochs if round_ else 1)
        if round_:
            ours_s.append(between - began)
            peer_s.append((clock() - between) * config.epochs / peer_epochs)
            losses_differ += [abs(one - two) for one, two in zip(losses, peer_losses, strict=False)]
    return Found(
        statistics.median(ours_s),
        statistics.median(peer_s),
        float((embeddings - classified).abs().max() / classified.abs().max()),
        max(losses_differ),
    )


def rows_of(backbone: str, width: float, args: argparse.Namespace, device: torch.device) -> list[Row]:
    """The rows of one network: its time, and the difference of its embeddings from those the network classifies."""
    num_clips = args.clips * (CLIPS_ON_GPU if device.type == "cuda" else 1)
    measured = measure(trial(backbone, width, args.epochs), num_clips, args.peer_epochs, args.rounds, device)
    case = f"{case_of(backbone, width)}, {num_clips} + {max(1, num_clips // 4)} clips, {args.epochs} epochs"
    note = f"peer: {args.peer_epochs} epochs, scaled; their validation losses differ by {measured.losses_differ:.1g}"
    unit = "CPU-s" if device.type == "cpu" else "s"
    return [
        against(case, unit, measured.ours_s, measured.peer_s, "network in every epoch", AT_LEAST, note),
        at_most(f"{case_of(backbone, width)}: embeddings differ", "of the largest", measured.embeddings_differ, 1e-5),
    ]


def case_of(backbone: str, width: float) -> str:
    """The description of a network."""
    return backbone + (f" at width {width:g}" if width != 1 else "")


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    flags = parser(__doc__)
    flags.add_argument("--clips", type=int, default=256, help="for training; a quarter as many for validation")
    flags.add_argument("--epochs", type=int, default=100, help="of ours; the peer's time is scaled to them")
    flags.add_argument("--peer-epochs", type=int, default=2, help="of the peer")
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
