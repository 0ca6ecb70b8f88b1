"""Measures the cost of feeding an epoch with its clips, against float32 arrays in memory and a DataLoader with workers.

    python -m benchmarks.feed [--clips N] [--epochs N] [--rounds N] [--workers N] [--json FILE]

The peer is the data module of Mohammadi et al. 2024: a list of dicts, each item turned into a tensor, batches from
worker processes. Here its workers start once for all epochs, in the original in every epoch. Ours are the batches of
`train_epoch`, from `Examples` on the device. All sides shuffle, and return the same clips in batches of the same size.
The figures are CPU times of all threads and processes; the sides take turns, and medians over the rounds are shown.
They are measured on --clips clips, and scaled to the 27,062 of an epoch of DeepShip: 23,088 for training and 3,974 for
validation.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks import noise
from benchmarks.measured import Row, against, as_a_worker, parser, show
from datasets.engine.clips import Clips, open_clips
from datasets.engine.splits import Split
from sweeps.recipes.mohammadi import RATES
from trainable import examples
from trainable.config import TrialConfig
from trainable.examples import Examples
from trainable.finetune import batches

if TYPE_CHECKING:
    from torch import Tensor

CLIPS_IN_EPOCH = 27_062
UNIT = 2  # clips in a sample with mixup: 64 clips make the 32 samples of a batch
LOGMELS, WAVES = (RATES.but(backbone=name, augment="mixup", weights="none") for name in ("cnn14", "res1dnet31"))
Batch = tuple["Tensor", "Tensor"]  # inputs and labels


class DictsInMemory(Dataset[Batch]):
    """The data set of the peer: every clip is a dict with float32 samples between 0 and 1."""

    def __init__(self, clips: Clips) -> None:
        low, high = np.float32(clips.levels.min()), np.float32(clips.levels.max())
        self.items = [
            {"data": (wave.astype(np.float32) - low) / (high - low), "label": int(label)}
            for wave, label in zip(clips.wave, clips.label, strict=True)
        ]

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.items)

    def __getitem__(self, number: int) -> Batch:
        item = self.items[number]
        return torch.tensor(item["data"]), torch.tensor(item["label"])


def by_loader(dataset: DictsInMemory, num_epochs: int, num_workers: int) -> Iterator[Batch]:
    """Yields the batches of the peer for all epochs, each shuffled anew."""
    order = RandomSampler(dataset, num_samples=num_epochs * len(dataset))
    yield from DataLoader(dataset, UNIT * LOGMELS.batch, sampler=order, num_workers=num_workers)


def by_index(clips: Examples, num_epochs: int) -> Iterator[Batch]:
    """Yields our batches for all epochs, as in `trainable.finetune.train_epoch`."""
    for epoch in range(num_epochs):
        order = torch.randperm(len(clips.labels), generator=torch.Generator().manual_seed(epoch))
        for drawn in batches(order, LOGMELS.batch, UNIT):
            yield clips.batch(drawn), clips.labels[drawn]


def hold(config: TrialConfig, clips: Clips) -> Examples:
    """All clips as the training examples of a trial, on the CPU."""
    split = Split("all", dict.fromkeys(map(str, clips.recording), "train"))
    return examples.load(config, clips, split, "train", torch.device("cpu"))


def cpu_s() -> float:
    """CPU time of this process and of ended child processes, over all threads [s]."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def seconds_per_clip(ways: dict[str, Callable[[], Iterator[Batch]]], num_rounds: int) -> dict[str, float]:
    """Median CPU time per clip of each way to feed clips [s]; they take turns, after a round that is not counted."""
    times_of: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(num_rounds + 1):
        for name, give in ways.items():
            began = cpu_s()
            num_clips = sum(len(labels) for _, labels in give())
            if number:
                times_of[name].append((cpu_s() - began) / num_clips)
    return {name: statistics.median(times) for name, times in times_of.items()}


def measure(clips: Clips, num_epochs: int, num_rounds: int, num_workers: int) -> list[Row]:
    """The table: ours with log-mels and with waveforms, and the cost that a trial pays once."""
    dataset = DictsInMemory(clips)
    began = cpu_s()
    logmels = hold(LOGMELS, clips)
    once_s = (cpu_s() - began) * CLIPS_IN_EPOCH / len(clips.wave)
    waves = hold(WAVES, clips)
    loader = f"DataLoader, {num_workers} workers"
    ways: dict[str, Callable[[], Iterator[Batch]]] = {
        loader: lambda: by_loader(dataset, num_epochs, num_workers),
        "DataLoader, none": lambda: by_loader(dataset, num_epochs, 0),
        "logmels": lambda: by_index(logmels, num_epochs),
        "waves": lambda: by_index(waves, num_epochs),
    }
    epoch_s = {name: s * CLIPS_IN_EPOCH for name, s in seconds_per_clip(ways, num_rounds).items()}
    unit = "CPU-s an epoch"
    scaled = f"scaled from {num_epochs} x {len(clips.wave)} clips to {CLIPS_IN_EPOCH:,}"
    return [
        against("log-mels", unit, epoch_s["logmels"], epoch_s[loader], loader, 100, scaled),
        against("log-mels", unit, epoch_s["logmels"], epoch_s["DataLoader, none"], "DataLoader, none"),
        against("waveforms, for networks that take them", unit, epoch_s["waves"], epoch_s[loader], loader),
        Row("log-mels made, once a trial", "CPU-s", once_s, note="the peer's network makes them in every epoch"),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the results as JSON if asked."""
    options = parser(__doc__)
    options.add_argument("--clips", type=int, default=576, metavar="N", help="in memory; default 576")
    options.add_argument("--epochs", type=int, default=4, metavar="N", help="in a round; default 4")
    options.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    options.add_argument("--workers", type=int, default=8, metavar="N", help="of the peer; default 8, as in its code")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores, as in the peer's code
    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        clips = open_clips(noise.entry(Path(folder), args.clips))
        rows = measure(clips, args.epochs, args.rounds, args.workers)
    show(rows, args)


if __name__ == "__main__":
    as_a_worker()
    main()
