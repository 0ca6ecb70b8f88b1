"""The numbers of a sweep: every trial counts once, and incomplete cells have no mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store import summary
from sweeps.engine.store.runs import Run, read_all
from sweeps.engine.store.store import Store, artifact_path
from sweeps.recipes.mohammadi import RATES
from tests.sweeps.test_outage import Drive

BASE = RATES.but(augment="none", pretrain_hz=8_000, data_hz=8_000)
SWEEP = Sweep("toy", grid(BASE, data_hz=(2_000, 8_000), seed=(1, 2)))
CELLS = ["test_accuracy/cnn14-8k on 2 kHz", "test_accuracy/cnn14-8k on 8 kHz"]


def run(number: int, status: str = "FINISHED", parent: str = "p", key: str = "", **metrics: float) -> Run:
    """The run of a trial of the plan, or of another key."""
    trial = SWEEP.trials[number % 4]
    tags = {"key": key or trial.key, "cell": SWEEP.cell(trial), "mlflow.parentRunId": parent}
    return Run(f"r{number}", "toy", f"n{number}", status, {}, metrics, tags, "")


def finished(number: int, test: float, validation: float = 0.5, **more: str) -> Run:
    return run(number, test_accuracy=test, best_val_accuracy=validation, **more)  # type: ignore[arg-type]


def test_only_whole_cells_have_a_mean() -> None:
    """Two of two seeds are there at 2 kHz, one of two at 8 kHz; running or failed trials have no score."""
    runs = [finished(0, 0.5), finished(1, 0.7, 0.9), finished(2, 0.9), run(3, "FAILED", test_accuracy=1.0)]
    numbers = summary.numbers(SWEEP, summary.by_key(SWEEP, "p", runs))
    assert numbers == {
        "trials_planned": 4,
        "trials_finished": 3,
        "trials_failed": 1,
        "best_val_accuracy": 0.9,
        CELLS[0]: pytest.approx(0.6),
    }


def test_of_attempts_at_a_trial_the_finished_one_counts() -> None:
    """It may have begun first or last; a trial finished by another sweep is not repeated, so it counts."""
    runs = [run(0, "KILLED"), finished(0, 0.4, parent="another"), run(0, "RUNNING")]
    assert [r.status for r in summary.by_key(SWEEP, "p", runs).values()] == ["FINISHED"]
    assert summary.numbers(SWEEP, summary.by_key(SWEEP, "p", runs))["trials_finished"] == 1


def test_trials_of_earlier_starts_count_among_those_asked_for() -> None:
    """Started again with other seeds, the sweep's run has more trials than the plan, but none of other sweeps."""
    runs = [finished(0, 0.5, key="older"), finished(0, 0.5, key="foreign", parent="another")]
    numbers = summary.numbers(SWEEP, summary.by_key(SWEEP, "p", runs))
    assert (numbers["trials_planned"], numbers["trials_finished"]) == (5, 1)


def test_the_table_has_a_row_for_each_trial() -> None:
    """It has the cell and the scores; an unfinished trial has no scores."""
    runs = summary.by_key(SWEEP, "p", [finished(0, 0.5), run(1, "RUNNING", test_accuracy=0.1)])
    rows = list(csv.DictReader(io.StringIO(summary.table(SWEEP, runs))))
    assert [(row["cell"], row["status"], row["test_accuracy"]) for row in rows] == [
        ("cnn14-8k on 2 kHz", "FINISHED", "0.5"),
        ("cnn14-8k on 2 kHz", "RUNNING", ""),
    ]


def test_the_driver_gives_the_sweeps_run_its_numbers(open_store: Callable[..., Store], tmp_path: Path) -> None:
    """It does so at its start and at its end, with the settings and a table of its trials."""
    drive = Drive(open_store(), tmp_path)
    for trial in drive.trials:
        drive.begin(trial, 2)
        drive.end(trial, 2)
    drive.close()
    (sweep,) = (run for run in read_all(drive.store.uri) if "key" not in run.tags)
    assert sweep.metrics == {
        "trials_planned": 2.0,
        "trials_finished": 2.0,
        "trials_failed": 0.0,
        "best_val_accuracy": 0.75,
        "test_accuracy/cnn14-32k on 32 kHz": 0.5,
    }
    assert (sweep.status, sweep.params["data_hz"], "seed" in sweep.params) == ("FINISHED", "32000", False)
    with artifact_path(sweep, summary.TABLE).open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["FINISHED"] * 2


def test_a_metrics_name_has_only_letters_that_mlflow_takes() -> None:
    """Names have slashes and plus signs; neither is refused, nor starts a section."""
    trials = grid(BASE, augment=("none", "specaugment+mixup"))
    sweep = Sweep("toy", trials)
    runs = {t.key: run(0, test_accuracy=0.5, key=t.key) for t in trials}
    names = [name for name in summary.numbers(sweep, runs) if name.startswith("test_accuracy/")]
    assert names == [
        "test_accuracy/cnn14-8k on 8 kHz- augment-none",
        "test_accuracy/cnn14-8k on 8 kHz- augment-specaugment-mixup",
    ]
