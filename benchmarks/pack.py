"""Measures the training steps of several light trials at once on one GPU, beside one trial alone.

    python -m benchmarks.pack [--at-once 1,2,4] [--seconds 5] [--rounds 5] [--json FILE]

The trials are those of the tables that leave a GPU idle most: CNN14 on 2 kHz (32 frames), and MobileNetV3. Each has a
process, which trains with `trainable.finetune.train_epoch`, like a trial, on clips of random numbers. All processes are
started and warm before the measurement; then one, two or four of them train for --seconds, in turn, while the others
wait. The figures are total steps per second, medians over rounds: they show the gain from giving a GPU several trials.
Without a GPU nothing is measured, unless --device cpu is given, which measures cores and says nothing about a GPU.
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
AT_LEAST = 2.0  # goal: ratio to the steps of one trial, for the best number of trials
STEPS = 8  # steps between two looks at the clock


@dataclass(frozen=True)
class Trained:
    """The work of one process in its turn."""

    num_steps: int
    seconds: float
    first_loss: float  # loss of the steps to warm up, which is the same in every process


def work(config: TrialConfig, device_name: str, turns: Connection) -> None:
    """Runs a process: it builds the trial, makes `STEPS` steps, and then trains for given times when told to."""
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
    """Trains for at least `least_s` seconds."""
    began, num_steps, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < least_s:
        train(STEPS)  # waits for the device
        num_steps, elapsed = num_steps + STEPS, time.perf_counter() - began
    return Trained(num_steps, elapsed, first_loss)


@contextmanager
def processes(config: TrialConfig, device: str, number: int) -> Iterator[list[Connection]]:
    """Starts `number` processes; yields their connections when all are warm and wait for their turn."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    pairs = [context.Pipe() for _ in range(number)]
    workers = [context.Process(target=work, args=(config, device, worker_end), daemon=True) for _, worker_end in pairs]
    for process, (_, worker_end) in zip(workers, pairs, strict=True):
        process.start()
        worker_end.close()  # the process has its own copy; when it dies, reading here ends
    try:
        for own_end, _ in pairs:
            own_end.recv()
        yield [own_end for own_end, _ in pairs]
    finally:
        for process, (own_end, _) in zip(workers, pairs, strict=True):
            own_end.close()
            process.join()


def together(connections: Sequence[Connection], seconds: float) -> list[Trained]:
    """Makes all of these processes train at once."""
    for connection in connections:
        connection.send(seconds)
    return [connection.recv() for connection in connections]


def rates(config: TrialConfig, device: str, sizes: Sequence[int], seconds: float, num_rounds: int) -> dict[int, float]:
    """Total steps per second by number of processes, as medians over rounds; the numbers take turns.

    Args:
        sizes: numbers of processes.

    Raises:
        RuntimeError: if the processes did not all start with the same losses.
    """
    rates_of: dict[int, list[float]] = {size: [] for size in sizes}
    with processes(config, device, max(sizes)) as connections:
        for _ in range(num_rounds):
            for size in sizes:
                trained = together(connections[:size], seconds)
                if not all(math.isclose(t.first_loss, trained[0].first_loss, rel_tol=1e-3) for t in trained):
                    raise RuntimeError(f"{config.backbone}: not every process began with the same losses: {trained}")
                rates_of[size].append(sum(t.num_steps / t.seconds for t in trained))
    return {size: statistics.median(values) for size, values in rates_of.items()}


def rows(case: str, config: TrialConfig, args: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each number of trials, beside one trial alone; the goal applies to the best of them."""
    alone, *sizes = args.at_once
    unit, on_gpu = "steps/s", args.device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        yield measured.not_measured(f"{case}, {max(sizes)} trials", unit, f">= {AT_LEAST:g}x", "needs a GPU")
        return
    rate_of = rates(config, args.device, args.at_once, args.seconds, args.rounds)
    best = max(sizes, key=lambda size: rate_of[size])
    for size in sizes:
        goal = AT_LEAST if on_gpu and size == best else None
        name = f"{case}, {size} trials"
        yield measured.against(name, unit, rate_of[size], rate_of[alone], "one at a time", goal, more_is_better=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    parser = measured.parser(__doc__)
    parser.add_argument("--at-once", type=lambda words: [int(w) for w in words.split(",")], default=[1, 2, 4])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=float, default=1.0, help="of the networks: 0.0625 is quick on cores")
    parser.add_argument("--batch", type=int, help="samples, instead of the tables' 32 and 64")
    args = parser.parse_args(argv)
    if len(args.at_once) < 2 or args.at_once[0] != 1:
        parser.error("--at-once: begin with 1, with which the others are compared, and add another: 1,2,4")
    cases = {
        name: replace(config, width=args.width, batch=args.batch or config.batch) for name, config in LIGHT.items()
    }
    measured.show([row for name, config in cases.items() for row in rows(name, config, args)], args)


if __name__ == "__main__":
    main()
