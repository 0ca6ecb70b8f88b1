"""Measures each distinct cell of a plan where its trials would run, and keeps the results in the storage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeps.engine.display import progress
from sweeps.engine.forecast import placement
from sweeps.engine.forecast.cost import Cluster
from sweeps.engine.forecast.placement import Asked
from sweeps.engine.forecast.timings import FILE, Timings, merged, read, versions, write
from sweeps.engine.running import cluster
from trainable.config import TrialConfig
from trainable.cost.cost import Measured, cell_of

MAX_COPIES = 16  # of one cell, measured at once


def measure_cells(trials: Sequence[TrialConfig], storage: Path, asked: Asked) -> dict[str, str]:
    """Measures the cells of the trials that are not measured yet, as many at once as trials would run.

    Returns:
        The reasons why cells could not be measured, by cell.

    Raises:
        WrongEnvironment: if a node has other versions than this one.
    """
    cells = {cell_of(t): t for t in trials}
    refused: dict[str, str] = {}
    for _ in range(2):  # again, if the first measurement shows that the device has changed
        timings = read(storage)
        missing = [t for cell, t in cells.items() if cell not in timings.here and cell not in refused]
        if not missing:
            break
        answers = _on_cluster(missing, storage, asked)
        refused |= answers.refused
        if answers.by_cell:
            write(_with(timings, answers), storage)
    num = len(cells.keys() & read(storage).here.keys())
    print(f"measure  {num} of {len(cells)} cells are measured, on random clips; kept in {storage / FILE}", flush=True)
    return refused


@dataclass(frozen=True)
class Answer:
    """The answer of a task about its cell."""

    device: str  # with the versions there
    measured: Measured
    worked_s: float  # the total time of the task


@dataclass(frozen=True)
class Answers:
    """The answers of all tasks."""

    by_cell: Mapping[str, Sequence[Answer]]
    refused: Mapping[str, str]
    cluster: Cluster


def _with(timings: Timings, collected: Answers) -> Timings:
    measured = {device: dict(cells) for device, cells in timings.measured.items()}
    device = ""
    for cell, answers in collected.by_cell.items():
        for device in {a.device for a in answers}:
            measured.setdefault(device, {})[cell] = merged([a.measured for a in answers if a.device == device])
    return Timings(collected.cluster, device, measured)


def _on_cluster(trials: Sequence[TrialConfig], storage: Path, asked: Asked) -> Answers:
    """Measures one trial of each cell."""
    began = time.monotonic()
    cluster.join()
    try:
        import ray
        import ray.tune  # as in a sweep, whose start is being measured

        cluster.check_nodes()
        join_s = time.monotonic() - began
        nodes, total = cluster.nodes(), cluster.capacity()
        resources = {cell_of(t): placement.resources(placement.needs(t, 0), nodes, asked) for t in trials}
        room = placement.room(list(resources.values()), total)
        copies = math.ceil(
            min(room, MAX_COPIES) / len(trials)
        )  # so that cells are measured side by side, as trials run
        # Each runs in its own process, because the peak memory of a process never falls.
        task = ray.remote(max_calls=1, max_retries=0)(measure_one)
        asks = {
            task.options(**_options(resources[cell_of(t)])).remote(t, asked.cpus_per_trial, str(storage)): t
            for t in trials
            for _ in range(copies)
        }
        by_cell, refused, waited_s = _gathered(ray, asks)
    finally:
        cluster.leave()
    return Answers(by_cell, refused, Cluster(total.get("CPU", 1), nodes.num_gpus, nodes.memory_gb, join_s + waited_s))


def _gathered(ray: Any, asks: Mapping[Any, TrialConfig]) -> tuple[dict[str, list[Answer]], dict[str, str], float]:
    """The answers by cell, the reasons why others have none, and the time that the first waited for its worker [s]."""
    by_cell: dict[str, list[Answer]] = {}
    refused: dict[str, str] = {}
    began, waited_s, waiting = time.monotonic(), math.inf, list(asks)

    def as_they_come() -> Iterator[Any]:
        while waiting:
            (ready,), waiting[:] = ray.wait(waiting)
            yield ready

    for ready in progress.each(as_they_come(), len(asks), "measuring cells", unit="cell"):
        cell = cell_of(asks[ready])
        try:
            answer = ray.get(ready)
        except ray.exceptions.RayError as error:
            refused[cell] = str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
        else:
            by_cell.setdefault(cell, []).append(answer)
            waited_s = min(waited_s, time.monotonic() - began - answer.worked_s)
    return {c: answers for c, answers in by_cell.items() if c not in refused}, refused, waited_s if by_cell else 0.0


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    special = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU", "memory")}
    return {
        "num_cpus": resources["CPU"],
        "num_gpus": resources.get("GPU", 0),
        "memory": resources["memory"],
        "resources": special,
    }


def measure_one(trial: TrialConfig, num_threads: int, storage: str) -> Answer:
    """The task that measures one cell in a worker."""
    began = time.perf_counter()
    from ray import tune  # noqa: F401 - as in a trial's worker

    from trainable.cost import measure  # loads torch
    from trainable.result.provenance import describe

    cluster.check_this_node()
    start_s = time.perf_counter() - began
    folder = Path(storage)
    folder.mkdir(parents=True, exist_ok=True)
    measured = measure.measure(trial, num_threads, folder)
    device = f"{describe()['device']}, {num_threads} threads, {versions()}"
    return Answer(device, replace(measured, start_s=start_s + measured.start_s), time.perf_counter() - began)
