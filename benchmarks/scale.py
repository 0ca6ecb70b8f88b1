"""Measures the load of a large cluster on its driver: trials that do nothing, by the launcher, on simulated nodes.

    python -m benchmarks.scale [--nodes 64] [--gpus 8] [--trials 10000] [--epochs 1] [--json FILE]

The nodes are Ray processes on this machine (`ray.cluster_utils.Cluster`), whose GPUs are only numbers. A worker is a
real process, so a trial takes all GPUs of a node, and the cluster is full with one worker on each. (With one GPU per
trial most of the cluster would be free, and Ray would start a new worker for each waiting trial.) A node takes about
0.25 GB of memory. Wall time, the driver's CPU time and its memory are printed for ten parts of the sweep: if time is
linear, all parts are alike; the goals compare the second half with the first. The store's time for a trial's run is
measured too. The cost of a trial beside a peer is in benchmarks/overhead.py.
"""

from __future__ import annotations

import logging
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import measured
from benchmarks.measured import Row
from sweeps.engine.forecast import placement
from sweeps.engine.running import cluster, tuner
from sweeps.recipes.mohammadi import RATES
from trainable.device.place import Place

BASE = RATES.but(augment="none", pretrain_hz=8_000, data_hz=2_000, seed=0)
CURVES = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
EPOCHS = 100  # epochs of a run in the store, and of a trial whose reports are measured
PARTS = 10
GROWTH = 1.25  # goal: ratio of one half to the other, which includes noise
STORE_TRIALS = 50
REPORT_TRIALS = 20
GO = "every-worker-has-a-trial"
WORKERS_START_S = 900


@dataclass(frozen=True)
class Mark:
    """The clocks and memory of the driver after a number of trials."""

    trials: int
    wall_s: float
    cpu_s: float  # of the driver's process
    memory_mb: float  # resident memory of the driver's process


def mark(trials: int) -> Mark:
    """The mark at this moment."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Mark(trials, time.monotonic(), used.ru_utime + used.ru_stime, memory)


class Counter:
    """Counts the events of trials, in place of the launcher's listener.

    Args:
        every: number of trials between two looks at the clock.
        num_workers: number of workers that must have a trial before the clock starts.
        go: a file to create when the clock starts.
    """

    def __init__(self, every: int, num_workers: int = 1, go: Path | None = None) -> None:
        self.every, self.num_workers, self.go = every, num_workers, go
        self.num_started = self.num = self.num_epochs = 0
        self.marks: list[Mark] = []
        self.failures: list[str] = []

    def started(self, key: str) -> None:
        """Starts the clock when every worker has a trial."""
        self.num_started += 1
        if self.num_started == self.num_workers:
            self.marks.append(mark(0))
            if self.go:
                self.go.touch()

    def epoch(self, key: str, row: dict[str, float]) -> None:
        """Counts an epoch."""
        self.num_epochs += 1

    def finished(self, key: str, node: str) -> None:
        """Counts a finished trial, and looks at the clock after every few."""
        self.num += 1
        if self.num % self.every == 0:
            self.marks.append(mark(self.num))
            if self.every >= 100:
                print(self.marks[-1], flush=True)

    def failed(self, key: str, reason: str) -> None:
        """Notes the reason of a failure."""
        self.failures.append(reason)

    def stop(self, reason: str) -> None:
        """Notes the reason why the sweep stops, if there is one."""
        if reason:
            self.failures.append(reason)

    def note(self, line: str) -> None:
        """Ignores a message."""


def stub(config: dict[str, Any]) -> None:
    """A trial that only reports its epochs, once every worker has a trial.

    If the first trials ended while other workers are still starting, Tune would give the waiting trials to the idle
    workers, abandon those that are starting, and start new ones for the next trials. Trials that last for minutes do
    not cause this.
    """
    from ray import tune

    end = time.monotonic() + WORKERS_START_S
    while not (config["place"].folder / GO).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"not every node has a worker after {WORKERS_START_S} s: take fewer --nodes")
        time.sleep(0.1)
    for epoch in range(1, int(config["trial"].epochs) + 1):
        tune.report({"event": "epoch", "row": {"epoch": epoch, **CURVES}})
    tune.report({"event": "finished"})


def ours(num_trials: int, num_epochs: int, num_nodes: int, num_gpus: int, storage: Path) -> list[Mark]:
    """Runs the trials by the launcher, one per node at a time."""
    folder = Path(tempfile.mkdtemp(dir=storage))
    counter = Counter(max(1, num_trials // PARTS), min(num_nodes, num_trials), folder / GO)
    place = Place(storage / "clips", storage / "split.csv", None, folder)
    needs = placement.needs(BASE, 1000)
    jobs = (tuner.Job(replace(BASE, seed=n, epochs=num_epochs), place, needs) for n in range(num_trials))
    share = {"GPU": float(num_gpus)}
    joined()
    try:
        tuner.tune_jobs(stub, jobs, num_trials, counter, folder / "tune", lambda _: share, num_nodes)
    finally:
        cluster.leave()
    if counter.failures or counter.num != num_trials or counter.num_epochs != num_trials * num_epochs:
        raise SystemExit(f"{counter.num} of {num_trials} trials ended; {counter.failures[:1]}")
    return counter.marks


def joined() -> None:
    """Joins the simulated cluster, without sending it code and without comparing packages.

    The nodes share a disk: if each unpacked its own copy of the code, a node without workers would delete the copy of
    all. Comparing packages would start a worker on every node at once.
    """
    import ray

    ray.init(log_to_driver=False, logging_level=logging.ERROR)  # at RAY_ADDRESS


def store_cost(num_trials: int, num_epochs: int, folder: Path) -> float:
    """CPU seconds of the store's writing thread for a trial's run, with SQLite on this disk."""
    from sweeps.engine.store.store import Store

    store = Store(f"sqlite:///{folder / 'mlflow.db'}")
    parent = store.open_sweep("scale", "", {})
    begun = mark(0)
    for n in range(num_trials):
        trial = replace(BASE, seed=n)
        run = store.begin(parent, trial.key, trial.to_dict(), {"key": trial.key}, None)
        for epoch in range(1, num_epochs + 1):
            store.log_epoch(run, {"epoch": epoch, **CURVES})
        store.finish(run, {"test_accuracy": 0.5}, {"record": trial.key}, [])
    return each(begun, mark(num_trials))[1]


def per_epoch(few: list[Mark], many: list[Mark]) -> float:
    """CPU seconds of the driver for one more report, from sweeps with one epoch and with `EPOCHS` more."""
    return (each(many[0], many[-1])[1] - each(few[0], few[-1])[1]) / EPOCHS


def rows(marks: list[Mark], report_s: float, run_s: float) -> list[Row]:
    """The rows for each part of the sweep, the goals, and the costs of a trial.

    Args:
        report_s: CPU seconds of the driver for a report.
        run_s: CPU seconds of the store for a run.
    """
    table = []
    for before, after in pairwise(marks):
        wall, cpu = each(before, after)
        note = f"{1e3 * wall:.0f} ms wall, driver at {after.memory_mb:.0f} MB"
        part = f"trials {before.trials + 1:,} to {after.trials:,}"
        table.append(Row(f"{part}: driver's CPU a trial", "ms", 1e3 * cpu, note=note))
    wall, cpu = each(marks[0], marks[-1])
    middle, last = marks[len(marks) // 2], marks[-1]
    halves = zip(("wall time", "driver's CPU"), each(marks[0], middle), each(middle, last), strict=True)
    table += [
        measured.at_most(f"{name} a trial, second half beside the first", "x", end / start, GROWTH)
        for name, start, end in halves
    ]
    mb_per_trial = (last.memory_mb - middle.memory_mb) / (last.trials - middle.trials)
    grown_by_1000 = 1 + 1000 * mb_per_trial / middle.memory_mb
    table.append(measured.at_most("driver's memory, after 1,000 trials more", "x", grown_by_1000, GROWTH))
    table.append(Row("driver's memory that a trial leaves, in Tune's list of them", "kB", 1e3 * mb_per_trial))
    whole_sweep = f"all {marks[-1].trials:,} trials"
    table.append(Row(f"{whole_sweep}: wall time a trial", "ms", 1e3 * wall))
    table.append(Row(f"{whole_sweep}: driver's CPU a trial", "ms", 1e3 * cpu))
    table.append(Row("an epoch's report: driver's CPU", "ms", 1e3 * report_s))
    table.append(Row(f"a run of {EPOCHS} epochs in the store: its thread's CPU", "ms", 1e3 * run_s))
    return table


def each(before: Mark, after: Mark) -> tuple[float, float]:
    """Wall seconds and CPU seconds of the driver per trial, between two marks."""
    num = after.trials - before.trials
    return (after.wall_s - before.wall_s) / num, (after.cpu_s - before.cpu_s) / num


def simulate(num_nodes: int, num_gpus: int) -> Any:
    """Starts a head and nodes with GPUs as processes on this machine; without CPUs, as Ray starts a worker for each."""
    os.environ["PYTHONPATH"] = str(cluster.ROOT)  # workers must find this file
    from ray.cluster_utils import Cluster

    # With so many processes the machine is slow, and Ray would replace workers that are silent for a minute.
    patient = {"worker_register_timeout_seconds": WORKERS_START_S}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": patient}
    simulated = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": 100_000_000})
    for _ in range(num_nodes):
        simulated.add_node(num_cpus=0, num_gpus=num_gpus, object_store_memory=80_000_000)
    return simulated


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes everything as JSON if asked."""
    command = measured.parser(__doc__)
    command.add_argument("--nodes", type=int, default=64)
    command.add_argument("--gpus", type=int, default=8, help="on each node")
    command.add_argument("--trials", type=int, default=10_000)
    command.add_argument("--epochs", type=int, default=1, help="reported by each trial")
    args = command.parse_args(argv)
    os.environ |= cluster.QUIET  # before Ray is loaded
    begun = time.monotonic()
    simulated = simulate(args.nodes, args.gpus)
    print(f"{args.nodes} nodes x {args.gpus} GPUs are up after {time.monotonic() - begun:.0f} s", flush=True)
    os.environ["RAY_ADDRESS"] = simulated.address
    try:
        with tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            size = (args.nodes, args.gpus)
            marks = ours(args.trials, args.epochs, *size, folder)
            few, many = (ours(REPORT_TRIALS, n, *size, folder) for n in (1, 1 + EPOCHS))
            run_s = store_cost(STORE_TRIALS, EPOCHS, folder)
    finally:
        simulated.shutdown()
    measured.show(rows(marks, per_epoch(few, many), run_s), args)


if __name__ == "__main__":
    main()
