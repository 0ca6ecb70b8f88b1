"""Training steps of several light trials at once on one GPU, in a process each, beside one trial alone on it.

    python -m benchmarks.pack [--at-once 1,2,4] [--seconds 5] [--rounds 5] [--json FILE]

The trials are those of the tables that leave a GPU idle most: CNN14 on 2 kHz (32 frames), and MobileNetV3. A process
trains by `trainable.finetune.train_epoch`, as a trial does, on clips of random numbers. All processes are started and
warm before the first clock starts; then one, two or four of them train for --seconds, in turn, and the others wait.
Aggregate steps a second, medians over rounds: what a GPU gains that is given to several trials. Without a GPU nothing
is measured, unless --device cpu asks for the same on cores, which says nothing of a GPU.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmarks import measured
from benchmarks.measured import Row
from sweeps.recipes.mohammadi import RATES
from trainable import finetune
from trainable.config import TrialConfig
from trainable.cost import measure
from trainable.device.place import Place
from trainable.trial import ready_network

LIGHT = {
    "CNN14, 32 frames": RATES.but(data_hz=2_000, weights="none"),
    "MobileNetV3, 501 frames": RATES.but(
        backbone="timm/mobilenetv3_large_100.ra_in1k", weights="none", head_dropout=0, batch=64
    ),
}
AT_LEAST = 2.0  # times one trial's steps, from as many trials as do best
STEPS = 8  # between two looks at the clock


@dataclass(frozen=True)
class Trained:
    """What one process did while it was its turn."""

    num_steps: int
    seconds: float
    first_loss: float  # of the steps that warmed it up: the same in every process that does the same


def work(config: TrialConfig, device_name: str, turns: Connection) -> None:
    """A process: builds the trial, makes `STEPS` steps, and trains for so many seconds whenever it is told to."""
    torch.set_num_threads(1)
    device = torch.device(device_name)
    clips = measure.random_examples(config, STEPS * config.batch * config.clips_per_sample, device)
    with tempfile.TemporaryDirectory(prefix="pack-") as folder:
        network = ready_network(config, Place(Path(), Path(), None, Path(folder)), measure.NUM_CLASSES, clips)
        learner, _ = finetune.take_up(config, network, Path(folder))
    train = measure.steps(learner, clips)
    with finetune.dropout_of(config, 1, device):
        first_loss = train(STEPS)
    turns.send(first_loss)
    with suppress(EOFError):  # no more turns
        while True:
            turns.send(turn(train, turns.recv(), first_loss))


def turn(train: Callable[[int], float], least_s: float, first_loss: float) -> Trained:
    """Trains for so many seconds."""
    began, num_steps, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < least_s:
        train(STEPS)  # waits for the device at its end
        num_steps, elapsed = num_steps + STEPS, time.perf_counter() - began
    return Trained(num_steps, elapsed, first_loss)


@contextmanager
def processes(config: TrialConfig, device: str, number: int) -> Iterator[list[Connection]]:
    """So many processes that are warm and wait for their turn."""
    context = multiprocessing.get_context("spawn")  # CUDA does not live through a fork
    pairs = [context.Pipe() for _ in range(number)]
    started = [context.Process(target=work, args=(config, device, theirs), daemon=True) for _, theirs in pairs]
    for process, (_, theirs) in zip(started, pairs, strict=True):
        process.start()
        theirs.close()  # the process has its own: when it dies, reading here ends
    try:
        for mine, _ in pairs:
            mine.recv()
        yield [mine for mine, _ in pairs]
    finally:
        for process, (mine, _) in zip(started, pairs, strict=True):
            mine.close()
            process.join()


def together(some: Sequence[Connection], seconds: float) -> list[Trained]:
    """All of them train at once."""
    for connection in some:
        connection.send(seconds)
    return [connection.recv() for connection in some]


def rates(config: TrialConfig, device: str, sizes: Sequence[int], seconds: float, num_rounds: int) -> dict[int, float]:
    """Aggregate steps a second of so many processes at once, the sizes in turn.

    Raises:
        RuntimeError: if the processes did not all train the same.
    """
    found: dict[int, list[float]] = {size: [] for size in sizes}
    with processes(config, device, max(sizes)) as all_of_them:
        for _ in range(num_rounds):
            for size in sizes:
                trained = together(all_of_them[:size], seconds)
                if not all(math.isclose(t.first_loss, trained[0].first_loss, rel_tol=1e-3) for t in trained):
                    raise RuntimeError(f"{config.backbone}: not every process began with the same losses: {trained}")
                found[size].append(sum(t.num_steps / t.seconds for t in trained))
    return {size: statistics.median(values) for size, values in found.items()}


def rows(case: str, config: TrialConfig, args: argparse.Namespace) -> Iterator[Row]:
    """Each size beside one trial alone; the goal is the best of them's."""
    alone, *sizes = args.at_once
    unit, on_gpu = "steps/s", args.device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        yield measured.not_measured(f"{case}, {max(sizes)} trials", unit, f">= {AT_LEAST:g}x", "needs a GPU")
        return
    found = rates(config, args.device, args.at_once, args.seconds, args.rounds)
    best = max(sizes, key=lambda size: found[size])
    for size in sizes:
        goal = AT_LEAST if on_gpu and size == best else None
        name = f"{case}, {size} trials"
        yield measured.against(name, unit, found[size], found[alone], "one at a time", goal, more_is_better=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    parser = measured.parser(__doc__)
    parser.add_argument("--at-once", type=lambda words: [int(w) for w in words.split(",")], default=[1, 2, 4])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=float, default=1.0, help="of the networks: 0.0625 is quick on cores")
    parser.add_argument("--batch", type=int, help="samples, instead of the tables' 32 and 64")
    args = parser.parse_args(argv)
    if len(args.at_once) < 2 or args.at_once[0] != 1:
        parser.error("--at-once: begin with 1, which the others are held against, and name another: 1,2,4")
    cases = {
        name: replace(config, width=args.width, batch=args.batch or config.batch) for name, config in LIGHT.items()
    }
    measured.show([row for name, config in cases.items() for row in rows(name, config, args)], args)


if __name__ == "__main__":
    main()
