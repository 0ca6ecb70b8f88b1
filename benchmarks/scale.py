"""What a large cluster costs its driver: trials that do nothing, through the launcher, on simulated nodes.

    python -m benchmarks.scale [--nodes 64] [--gpus 8] [--trials 10000] [--epochs 1] [--at-once 16] [--json FILE]

The nodes are Ray's own processes on this machine (`ray.cluster_utils.Cluster`), each with GPUs that are only numbers.
A worker is a real process, so that --at-once is what the machine has memory for (about 0.1 GB each). Printed are wall
time, the driver's CPU time and its memory, in ten parts of the sweep: linear time and flat memory look alike in all of
them, and the goals hold the last part against the second, before which workers start. What a trial's run costs the
store is measured beside it. The peer of what a trial costs is in benchmarks/overhead.py.
"""

from __future__ import annotations

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
from sweeps import cluster, placement, tuner
from trainable.config import TrialConfig
from trainable.place import Place

BASE = TrialConfig(corpus="deepship", backbone="cnn14", augment="none", pretrain_hz=8_000, data_hz=2_000, seed=0)
EPOCHS = 100  # points of a run's curves, of which a trial reports each
PARTS = 10
GROWTH = 1.25  # of a part against another, in which noise is
STORE_TRIALS = 50
REPORT_TRIALS = 20


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
    """Listens as the launcher does, and only counts."""

    def __init__(self, every: int) -> None:
        self.every, self.num, self.num_epochs = every, 0, 0
        self.marks: list[Mark] = []
        self.failures: list[str] = []

    def started(self, key: str) -> None:
        """The first one starts the clock: Ray is up, its workers are coming."""
        if not self.marks:
            self.marks.append(mark(0))

    def epoch(self, key: str, row: dict[str, float]) -> None:
        """Counts it."""
        self.num_epochs += 1

    def finished(self, key: str) -> None:
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
    """A trial that does nothing but say so."""
    from ray import tune

    for epoch in range(1, int(config["epochs"]) + 1):
        tune.report(
            {"event": "epoch", "row": {"epoch": epoch, "val_loss": 1.0, "val_accuracy": 0.5, "train_loss": 1.0}}
        )
    tune.report({"event": "finished"})


def ours(num_trials: int, num_epochs: int, at_once: int, storage: Path) -> list[Mark]:
    """The launcher's own way to run trials."""
    counter = Counter(max(1, num_trials // PARTS))
    place = Place(storage / "clips", storage / "split.csv", None, storage / "trial")
    needs = placement.needs(BASE, 1000)
    jobs = (tuner.Job(replace(BASE, seed=n, epochs=num_epochs), place, needs) for n in range(num_trials))
    share = {"CPU": 1.0, "GPU": 1.0}
    cluster.join()  # and no look at every node's packages: 64 workers at once are 64 nodes' work, not two cores'
    try:
        tuner.tune_jobs(stub, jobs, num_trials, counter, storage / "scale", lambda _: share, at_once)
    finally:
        cluster.leave()
    if counter.failures or counter.num != num_trials or counter.num_epochs != num_trials * num_epochs:
        raise SystemExit(f"{counter.num} of {num_trials} trials ended; {counter.failures[:1]}")
    return counter.marks


def store_cost(num_trials: int, num_epochs: int, folder: Path) -> tuple[float, float]:
    """What a trial's run costs the thread that writes the store: wall and CPU seconds, SQLite on this disk."""
    from sweeps.store import Store

    store = Store(f"sqlite:///{folder / 'mlflow.db'}")
    parent = store.open_sweep("scale", "", {})
    begun = mark(0)
    for n in range(num_trials):
        trial = replace(BASE, seed=n)
        run = store.begin(parent, trial.key, trial.to_dict(), {"key": trial.key}, None)
        for epoch in range(1, num_epochs + 1):
            store.log_epoch(run, {"epoch": epoch, "val_loss": 1.0, "val_accuracy": 0.5, "train_loss": 1.0})
        store.finish(run, {"test_accuracy": 0.5}, {"record": trial.key}, [])
    ended = mark(num_trials)
    return (ended.wall_s - begun.wall_s) / num_trials, (ended.cpu_s - begun.cpu_s) / num_trials


def per_epoch(few: list[Mark], many: list[Mark]) -> tuple[float, float]:
    """What one report more costs: wall and driver CPU seconds, from sweeps of one epoch and of many."""
    reports = EPOCHS * (many[-1].trials - many[0].trials)
    spent = [(m[-1].wall_s - m[0].wall_s, m[-1].cpu_s - m[0].cpu_s) for m in (few, many)]
    return (spent[1][0] - spent[0][0]) / reports, (spent[1][1] - spent[0][1]) / reports


def rows(marks: list[Mark], report: tuple[float, float], run: tuple[float, float]) -> list[Row]:
    """Each part of the sweep, the goals, and what the parts of a trial cost."""
    found = []
    for before, after in pairwise(marks):
        wall, cpu = each(before, after)
        note = f"{1e3 * wall:.0f} ms wall, driver at {after.memory_mb:.0f} MB"
        found.append(
            Row(f"trials {before.trials + 1:,} to {after.trials:,}: driver's CPU a trial", "ms", 1e3 * cpu, note=note)
        )
    wall, cpu = each(marks[0], marks[-1])
    second, last = marks[1:3], marks[-2:]
    grown = {
        name: end / start
        for name, start, end in zip(("wall time", "driver's CPU"), each(*second), each(*last), strict=True)
    }
    found += [
        measured.at_most(f"{name} a trial, last tenth beside the second", "x", ratio, GROWTH)
        for name, ratio in grown.items()
    ]
    memory = last[1].memory_mb / second[1].memory_mb
    found.append(measured.at_most("driver's memory, last tenth beside the second", "x", memory, GROWTH))
    what = f"all {marks[-1].trials:,} trials"
    found.append(Row(f"{what}: wall time a trial", "ms", 1e3 * wall))
    found.append(Row(f"{what}: driver's CPU a trial", "ms", 1e3 * cpu))
    found.append(Row("an epoch's report: driver's CPU", "ms", 1e3 * report[1]))
    found.append(Row(f"a run of {EPOCHS} epochs in the store: its thread's CPU", "ms", 1e3 * run[1]))
    return found


def each(before: Mark, after: Mark) -> tuple[float, float]:
    """Wall and driver CPU seconds of a trial between two marks."""
    num = after.trials - before.trials
    return (after.wall_s - before.wall_s) / num, (after.cpu_s - before.cpu_s) / num


def simulate(num_nodes: int, num_gpus: int) -> Any:
    """A head, and nodes with as many CPUs as GPUs, as processes of this machine."""
    from ray.cluster_utils import Cluster

    # Each node would start a worker for each of its CPUs when the driver joins: 512 processes. And on a machine that is
    # slow with so many, one that has not answered after a minute would be started again, and again.
    none_before = {
        "prestart_worker_first_driver": False,
        "enable_worker_prestart": False,
        "worker_register_timeout_seconds": 900,
    }
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": none_before}
    simulated = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": 100_000_000})
    for _ in range(num_nodes):
        simulated.add_node(num_cpus=num_gpus, num_gpus=num_gpus, object_store_memory=80_000_000)
    return simulated


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes everything as JSON if asked."""
    command = measured.parser(__doc__)
    command.add_argument("--nodes", type=int, default=64)
    command.add_argument("--gpus", type=int, default=8, help="of a node")
    command.add_argument("--trials", type=int, default=10_000)
    command.add_argument("--epochs", type=int, default=1, help="that a trial reports")
    command.add_argument("--at-once", type=int, default=16, help="workers, which are real")
    args = command.parse_args(argv)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    begun = time.monotonic()
    simulated = simulate(args.nodes, args.gpus)
    print(f"{args.nodes} nodes x {args.gpus} GPUs are up after {time.monotonic() - begun:.0f} s", flush=True)
    os.environ["RAY_ADDRESS"] = simulated.address
    try:
        with tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            marks = ours(args.trials, args.epochs, args.at_once, folder)
            few, many = (ours(REPORT_TRIALS, n, args.at_once, folder) for n in (1, 1 + EPOCHS))
            run = store_cost(STORE_TRIALS, EPOCHS, folder)
    finally:
        simulated.shutdown()
    measured.show(rows(marks, per_epoch(few, many), run), args)


if __name__ == "__main__":
    main()
