"""The numbers of a sweep for its own run in the store: its progress, and the mean of every complete cell."""

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
    """The run of each trial that is planned or nested in the sweep's run: the finished one, otherwise the last."""
    planned, chosen = {t.key for t in sweep.trials}, dict[str, Run]()
    for run in runs:
        if run.key in planned or run.tags.get("mlflow.parentRunId") == parent:
            chosen[run.key] = chosen[run.key] if run.key in chosen and _finished(chosen[run.key]) else run
    return chosen


def numbers(sweep: Sweep, runs: Mapping[str, Run]) -> dict[str, float]:
    """The sweep's metrics: counts of trials, the best score on validation, and the test mean of each complete cell.

    Args:
        sweep: the sweep.
        runs: the runs of its trials, by key.
    """
    counts = Counter(run.status for run in runs.values())
    main = sweep.trials[0].main_score if sweep.trials else None
    validation, test = (f"{role}_{main.name}" if main else "" for role in ("best_val", "test"))
    best = [r.metrics[validation] for r in runs.values() if _finished(r) and validation in r.metrics]
    metrics = {
        "trials_planned": len({*runs, *(t.key for t in sweep.trials)}),
        "trials_finished": counts["FINISHED"],
        "trials_failed": counts["FAILED"],
        **({validation: main.best(best)} if main and best else {}),
    }
    cells = defaultdict(list)
    for trial in sweep.trials:
        cells[sweep.cell(trial)].append(runs.get(trial.key))
    for cell, cell_runs in cells.items():
        tested = [r.metrics[test] for r in cell_runs if r and _finished(r) and test in r.metrics]
        if len(tested) == len(cell_runs):  # partial means would compare different seeds
            metrics[f"{test}/{_metric_name(cell)}"] = fmean(tested)
    return {name: float(value) for name, value in metrics.items()}


def table(sweep: Sweep, runs: Mapping[str, Run]) -> str:
    """A CSV with one row per trial that has a run, which MLflow shows as a table."""
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
    """A cell's name in the characters that MLflow accepts; a slash would start another section of its page."""
    return re.sub(r"[^\w\-. :]", "-", cell)
