"""Counts what a disturbed sweep has lost, repeated or left open: from an MLflow store's tables and the trials' folders.

None of it is read by the sweeps' own code, which is what is being tried.
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
    """A run of the store; `key` says of which planned trial."""

    run_id: str
    status: str
    began: float  # [s since 1970]
    ended: float | None
    key: str | None  # None of a sweep's run, and where a kill came before it was said


@dataclass(frozen=True)
class Counts:
    """What a side ended with, each of them 0 if nothing went wrong but the epochs."""

    lost: int  # planned trials without a finished run
    twice: int  # trials with more than one finished run
    stuck: int  # runs that say that they are running, when nothing runs any more
    again: int  # trials that were executed again after they had been finished
    epochs_redone: int  # epochs trained beyond one of each


def read_runs(store: Path) -> list[Run]:
    """Every active run of an MLflow store in SQLite; none if it does not exist yet."""
    if not store.exists():
        return []
    with closing(sqlite3.connect(store, timeout=60)) as database:
        return [Run(*row) for row in database.execute(RUNS)]


def finished(runs: Iterable[Run]) -> Counter[str]:
    """How many finished runs each trial has."""
    return Counter(r.key for r in runs if r.key and r.status == "FINISHED")


def counts(runs: Sequence[Run], planned: int, again: set[str], num_trained: int, num_epochs: int) -> Counts:
    """What went wrong, from a store when everything has ended.

    Args:
        again: the trials that were executed again.
        num_trained: epochs that were trained by all.
        num_epochs: of one trial.
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
    """The trials of the peer that its work log (`key epoch time` a line) shows at work after a run of theirs ended."""
    first_end: dict[str, float] = {}
    for run in runs:
        if run.key and run.status == "FINISHED" and run.ended:
            first_end[run.key] = min(run.ended, first_end.get(run.key, run.ended))
    lines = [line.split() for line in log.splitlines()]
    return {key for key, _, moment in lines if float(moment) > first_end.get(key, float("inf"))}


@dataclass
class Watch:
    """Looks at the trials' folders of our side while it runs."""

    trials: Path
    records: dict[str, bytes] = field(default_factory=dict)  # by folder, as first seen
    altered: set[str] = field(default_factory=set)  # records that changed or went
    again: set[str] = field(default_factory=set)  # trials with a checkpoint that is younger than their record

    def __call__(self) -> None:
        """Notes what there is now."""
        now = {path.parent.name: path for path in self.trials.glob("*/record.json")}
        for name, path in now.items():
            if name not in self.records:
                self.records[name] = path.read_bytes()
        for name, first in self.records.items():
            if name not in now or now[name].read_bytes() != first:
                self.altered.add(name)
        for path in self.trials.glob("*/epoch-*.pt"):
            try:
                late = path.parent.name in now and path.stat().st_mtime > now[path.parent.name].stat().st_mtime
            except FileNotFoundError:
                continue  # removed meanwhile
            if late:
                self.again.add(path.parent.name)

    def results(self) -> dict[str, tuple[Any, Any]]:
        """What every trial has committed that a second execution must repeat bit by bit: scores and predictions."""
        found = {name: json.loads(text)["record"] for name, text in self.records.items()}
        return {r["key"]: (r["scores"], r["files"]["predictions.npz"]) for r in found.values()}

    def left_behind(self) -> list[Path]:
        """What only a trial that has not ended may have in its folder."""
        return [p for p in self.trials.glob("*/*") if p.name.startswith(("epoch-", "best-", "attempt-", "."))]
