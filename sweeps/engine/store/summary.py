"""A sweep in numbers, as its own run in the store shows it: how far it is, and the mean of every whole cell."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run

TABLE = "trials.csv"


def by_key(sweep: Sweep, parent: str, runs: Sequence[Run]) -> dict[str, Run]:
    """The run of each trial that is planned or is nested in the sweep's: the finished one, or else the last."""
    planned, found = {t.key for t in sweep.trials}, dict[str, Run]()
    for run in runs:
        if run.key in planned or run.tags.get("mlflow.parentRunId") == parent:
            found[run.key] = found[run.key] if run.key in found and _finished(found[run.key]) else run
    return found


def numbers(sweep: Sweep, runs: Mapping[str, Run]) -> dict[str, float]:
    """The sweep's metrics: counts of trials, the best score on validation, and the mean of each whole cell on test.

    Args:
        runs: of its trials, by key.
    """
    counts = Counter(run.status for run in runs.values())
    main = sweep.trials[0].main_score if sweep.trials else None
    validation, test = (f"{role}_{main.name}" if main else "" for role in ("best_val", "test"))
    best = [r.metrics[validation] for r in runs.values() if _finished(r) and validation in r.metrics]
    found = {
        "trials_planned": len({*runs, *(t.key for t in sweep.trials)}),
        "trials_finished": counts["FINISHED"],
        "trials_failed": counts["FAILED"],
        **({validation: main.best(best)} if main and best else {}),
    }
    cells = defaultdict(list)
    for trial in sweep.trials:
        cells[sweep.cell(trial)].append(runs.get(trial.key))
    for cell, its in cells.items():
        tested = [r.metrics[test] for r in its if r and _finished(r) and test in r.metrics]
        if len(tested) == len(its):  # the mean of a part is of other seeds than its neighbour's
            found[f"{test}/{_metric_name(cell)}"] = fmean(tested)
    return {name: float(value) for name, value in found.items()}


def table(sweep: Sweep, runs: Mapping[str, Run]) -> str:
    """A row for each trial that has a run, as CSV, which MLflow shows as a table."""
    metrics = tuple(dict.fromkeys(name for trial in sweep.trials for name in trial.metrics))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("trial", "cell", "status", *metrics, "key"))
    for run in sorted(runs.values(), key=lambda run: run.name):
        scores = [run.metrics.get(name, "") if _finished(run) else "" for name in metrics]
        lines.writerow((run.name, run.tags.get("cell", ""), run.status, *scores, run.key))
    return text.getvalue()


def _finished(run: Run) -> bool:
    return run.status == "FINISHED"


def _metric_name(cell: str) -> str:
    """A cell's name in the letters that MLflow takes; a slash would open another section of its page."""
    return re.sub(r"[^\w\-. :]", "-", cell)
