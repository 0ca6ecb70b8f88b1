"""What a large cluster costs its driver: trials that do nothing, through the launcher, on simulated nodes.

    python -m benchmarks.scale [--nodes 64] [--gpus 8] [--trials 10000] [--epochs 1] [--json FILE]

The nodes are Ray's own processes on this machine (`ray.cluster_utils.Cluster`), each with GPUs that are only numbers.
A worker is a real process, so that a trial takes all GPUs of a node: the cluster is full with one worker on each. (One
GPU each would leave most of it free, and a free share has a new worker started for each trial that waits.) A node takes
about 0.25 GB of memory. Printed are wall time, the driver's CPU time and its memory, in ten parts of the sweep: linear
time looks alike in all of them, and the goals hold one half against the other. What a trial's run costs the store
is measured beside it. The peer of what a trial costs is in benchmarks/overhead.py.
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
EPOCHS = 100  # points of a run's curves, of which a trial reports each
PARTS = 10
GROWTH = 1.25  # of a part against another, in which noise is
STORE_TRIALS = 50
REPORT_TRIALS = 20
GO = "every-worker-has-a-trial"
WORKERS_START_S = 900


@dataclass(frozen=True)
class Mark:
    """Where the driver stood when so many trials were done."""

    trials: int
    wall_s: float
    cpu_s: float  # of the driver's process
    memory_mb: float  # resident


def mark(trials: int) -> Mark:
    """Now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Mark(trials, time.monotonic(), used.ru_utime + used.ru_stime, memory)


class Counter:
    """Listens as the launcher does, and only counts.

    Args:
        every: trials between two looks at the clock.
        num_workers: that must have a trial before the clock starts.
        go: a file that is made then.
    """

    def __init__(self, every: int, num_workers: int = 1, go: Path | None = None) -> None:
        self.every, self.num_workers, self.go = every, num_workers, go
        self.num_started = self.num = self.num_epochs = 0
        self.marks: list[Mark] = []
        self.failures: list[str] = []

    def started(self, key: str) -> None:
        """Starts the clock when every worker has one."""
        self.num_started += 1
        if self.num_started == self.num_workers:
            self.marks.append(mark(0))
            if self.go:
                self.go.touch()

    def epoch(self, key: str, row: dict[str, float]) -> None:
        """Counts it."""
        self.num_epochs += 1

    def finished(self, key: str, node: str) -> None:
        """Counts it, and looks at the clock now and then."""
        self.num += 1
        if self.num % self.every == 0:
            self.marks.append(mark(self.num))
            if self.every >= 100:
                print(self.marks[-1], flush=True)

    def failed(self, key: str, reason: str) -> None:
        """Keeps why."""
        self.failures.append(reason)

    def stop(self, reason: str) -> None:
        """Keeps why."""
        if reason:
            self.failures.append(reason)

    def note(self, line: str) -> None:
        """Nothing to say."""


def stub(config: dict[str, Any]) -> None:
    """A trial that does nothing but say so, once every worker has one.

    If the first ones ended while other workers are still starting, Tune would hand them what those start for, give
    those up and have new ones started for the next trials: a storm, which trials of minutes do not raise.
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
    """The launcher's own way to run trials, as many at once as there are nodes."""
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
    """Joins the simulated cluster. The nodes share a disk, and so the code: where each unpacks its own copy of it, one
    that has no worker left deletes that of all. Nor are their packages compared: that is a worker on each at once."""
    import ray

    ray.init(log_to_driver=False, logging_level=logging.ERROR)  # at RAY_ADDRESS


def store_cost(num_trials: int, num_epochs: int, folder: Path) -> float:
    """What a trial's run costs the thread that writes the store: CPU seconds, SQLite on this disk."""
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
    """What one report more costs: driver CPU seconds, from sweeps of one epoch and of `EPOCHS` more."""
    return (each(many[0], many[-1])[1] - each(few[0], few[-1])[1]) / EPOCHS


def rows(marks: list[Mark], report_s: float, run_s: float) -> list[Row]:
    """Each part of the sweep, the goals, and what the parts of a trial cost."""
    found = []
    for before, after in pairwise(marks):
        wall, cpu = each(before, after)
        note = f"{1e3 * wall:.0f} ms wall, driver at {after.memory_mb:.0f} MB"
        part = f"trials {before.trials + 1:,} to {after.trials:,}"
        found.append(Row(f"{part}: driver's CPU a trial", "ms", 1e3 * cpu, note=note))
    wall, cpu = each(marks[0], marks[-1])
    middle, last = marks[len(marks) // 2], marks[-1]
    halves = zip(("wall time", "driver's CPU"), each(marks[0], middle), each(middle, last), strict=True)
    found += [
        measured.at_most(f"{name} a trial, second half beside the first", "x", end / start, GROWTH)
        for name, start, end in halves
    ]
    left = (last.memory_mb - middle.memory_mb) / (last.trials - middle.trials)
    grown_by_1000 = 1 + 1000 * left / middle.memory_mb
    found.append(measured.at_most("driver's memory, after 1,000 trials more", "x", grown_by_1000, GROWTH))
    found.append(Row("driver's memory that a trial leaves, in Tune's list of them", "kB", 1e3 * left))
    what = f"all {marks[-1].trials:,} trials"
    found.append(Row(f"{what}: wall time a trial", "ms", 1e3 * wall))
    found.append(Row(f"{what}: driver's CPU a trial", "ms", 1e3 * cpu))
    found.append(Row("an epoch's report: driver's CPU", "ms", 1e3 * report_s))
    found.append(Row(f"a run of {EPOCHS} epochs in the store: its thread's CPU", "ms", 1e3 * run_s))
    return found


def each(before: Mark, after: Mark) -> tuple[float, float]:
    """Wall and driver CPU seconds of a trial between two marks."""
    num = after.trials - before.trials
    return (after.wall_s - before.wall_s) / num, (after.cpu_s - before.cpu_s) / num


def simulate(num_nodes: int, num_gpus: int) -> Any:
    """A head and nodes of GPUs, as processes of this machine. None has CPUs: Ray starts a worker for each of those."""
    os.environ["PYTHONPATH"] = str(cluster.ROOT)  # where workers find this file
    from ray.cluster_utils import Cluster

    # On a machine slow with so many, a worker that is silent for a minute would be started again, and again.
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
    command.add_argument("--gpus", type=int, default=8, help="of a node")
    command.add_argument("--trials", type=int, default=10_000)
    command.add_argument("--epochs", type=int, default=1, help="that a trial reports")
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
