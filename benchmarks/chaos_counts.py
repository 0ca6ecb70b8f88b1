"""Counts what a disturbed sweep has lost, repeated or left open, from the MLflow database and the trials' folders.

It does not use the code of the sweeps, because that code is being tested.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNS = """
    SELECT r.run_uuid, r.status, r.start_time / 1000.0, r.end_time / 1000.0, k.value FROM runs r
    LEFT JOIN (SELECT run_uuid, key, value FROM tags UNION SELECT run_uuid, key, value FROM params) k
    ON k.run_uuid = r.run_uuid AND k.key = 'key'
    WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time
"""


@dataclass(frozen=True)
class Run:
    """A run of the store; `key` is that of the planned trial."""

    run_id: str
    status: str
    began: float  # [s since 1970]
    ended: float | None
    key: str | None  # None for the run of a sweep, and if a kill came before the key was written


@dataclass(frozen=True)
class Counts:
    """The faults of a side; all are 0 if nothing went wrong, except that some epochs may be repeated."""

    lost: int  # planned trials without a finished run
    twice: int  # trials with more than one finished run
    stuck: int  # runs with status RUNNING when everything has ended
    again: int  # trials that were executed again after they had finished
    epochs_redone: int  # epochs that were trained more than once


def read_runs(store: Path) -> list[Run]:
    """Every active run of an MLflow store in SQLite; none if it does not exist yet."""
    if not store.exists():
        return []
    with closing(sqlite3.connect(store, timeout=60)) as database:
        return [Run(*row) for row in database.execute(RUNS)]


def finished(runs: Iterable[Run]) -> Counter[str]:
    """The number of finished runs of each trial."""
    return Counter(r.key for r in runs if r.key and r.status == "FINISHED")


def counts(runs: Sequence[Run], planned: int, again: set[str], num_trained: int, num_epochs: int) -> Counts:
    """Counts the faults of a side when everything has ended.

    Args:
        runs: the runs of its store.
        planned: number of planned trials.
        again: the trials that were executed again.
        num_trained: number of epochs that were trained in total.
        num_epochs: number of epochs of one trial.
    """
    per_key = finished(runs)
    return Counts(
        lost=planned - len(per_key),
        twice=sum(n > 1 for n in per_key.values()),
        stuck=sum(r.status == "RUNNING" for r in runs),
        again=len(again),
        epochs_redone=num_trained - planned * num_epochs,
    )


def worked_again(runs: Sequence[Run], log: str) -> set[str]:
    """The trials of the peer that its log (with lines `key epoch time`) shows at work after one of their runs ended."""
    first_end: dict[str, float] = {}
    for run in runs:
        if run.key and run.status == "FINISHED" and run.ended:
            first_end[run.key] = min(run.ended, first_end.get(run.key, run.ended))
    lines = [line.split() for line in log.splitlines()]
    return {key for key, _, moment in lines if float(moment) > first_end.get(key, float("inf"))}


@dataclass
class Watch:
    """Watches the folders of our trials while they run."""

    trials: Path
    records: dict[str, bytes] = field(default_factory=dict)  # by folder, as first seen
    altered: set[str] = field(default_factory=set)  # records that changed or disappeared
    again: set[str] = field(default_factory=set)  # trials with a checkpoint that is newer than their record

    def __call__(self) -> None:
        """Notes new records, altered records and new checkpoints of finished trials."""
        paths = {path.parent.name: path for path in self.trials.glob("*/record.json")}
        for name, path in paths.items():
            if name not in self.records:
                self.records[name] = path.read_bytes()
        for name, first in self.records.items():
            if name not in paths or paths[name].read_bytes() != first:
                self.altered.add(name)
        for path in self.trials.glob("*/epoch-*.pt"):
            try:
                late = path.parent.name in paths and path.stat().st_mtime > paths[path.parent.name].stat().st_mtime
            except FileNotFoundError:
                continue  # removed in the meantime
            if late:
                self.again.add(path.parent.name)

    def results(self) -> dict[str, tuple[Any, Any]]:
        """The scores and predictions of every trial, by key; a second execution must reproduce them bit by bit."""
        records = {name: json.loads(text)["record"] for name, text in self.records.items()}
        return {r["key"]: (r["scores"], r["files"]["predictions.npz"]) for r in records.values()}

    def left_behind(self) -> list[Path]:
        """The files in the trials' folders that only an unfinished trial may have."""
        return [p for p in self.trials.glob("*/*") if p.name.startswith(("epoch-", "best-", "attempt-", "."))]
