"""Compares a plan with reality: predicts Table I in miniature from a measurement, and then runs it.

    python -m benchmarks.plan [--limit N] [--json FILE]

It uses invented ships and random weights, in a folder that is removed at the end. It prints the sweep's wall time and
the seconds of its epochs, predicted and actual, and the seconds of each cell. All are wall times, so the error includes
other work of the machine that differs between measurement and run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measured import Row, at_most, parser, show
from sweeps.deepship_rates import SWEEP
from sweeps.engine import estimate, survey
from sweeps.engine.command.commandline import options_of, study_parser
from sweeps.engine.command.options import Options
from sweeps.engine.forecast.cost import ZERO, Prediction, Span
from sweeps.engine.plan import cell_name
from sweeps.engine.situation import Situation

ROOT = Path(__file__).resolve().parents[1]
MODULE = "sweeps.deepship_rates"
GOAL = 0.25  # the largest relative error


@dataclass(frozen=True)
class Held:
    """A prediction beside the actual time [s]."""

    what: str
    predicted: Span
    actual_s: float

    @property
    def error(self) -> float:
        """The error of the prediction, relative to the actual time."""
        return self.predicted.mid / self.actual_s - 1

    def row(self) -> Row:
        """The row of a benchmark's table."""
        span = f"predicted {self.predicted.low:.1f} to {self.predicted.high:.1f} s, off by {100 * self.error:+.0f} %"
        return Row(self.what, "s", self.predicted.mid, self.actual_s, "actual", note=span)


def run(words: Sequence[str]) -> float:
    """Runs one command, whose output is shown; returns its wall time [s]."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", MODULE, *words], cwd=ROOT, check=True)  # noqa: S603
    return time.monotonic() - began


def situation(words: Sequence[str]) -> tuple[Situation, Options]:
    """The situation and options for the arguments of a command."""
    options = options_of(study_parser(SWEEP.name).parse_args(words))
    plan = options.planned(SWEEP)
    options = options.invented(plan.trials[0].corpus)
    return survey.from_memory(plan, options), options


def epochs_s(situation: Situation) -> Mapping[str, float]:
    """Seconds of all epochs of each finished trial, by key."""
    return {key: sum(row["epoch_s"] for row in record.history) for key, record in situation.records.items()}


def measured(prediction: Prediction) -> Span:
    """The predicted seconds of all epochs of a trial.

    Raises:
        ValueError: if its cell was not measured.
    """
    if prediction.epochs_s is None:
        raise ValueError("a cell was not measured: the measurement above says why")
    return prediction.epochs_s


def held(before: Situation, after: Situation) -> list[Held]:
    """Prediction and actual time of each cell, the longest last."""
    cells = defaultdict(list)
    for trial in after.sweep.trials:
        cells[cell_name(trial)].append(trial.key)
    trained = epochs_s(after)
    comparisons = []
    for name, keys in cells.items():
        predicted = sum((measured(before.predictions[k]) for k in keys), ZERO)
        comparisons.append(Held(name, predicted, sum(trained[k] for k in keys)))
    return sorted(comparisons, key=lambda h: h.actual_s)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument("--limit", type=int, help="only the first N trials")
    args = command.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        words = ["--small", "--storage", f"{folder}/results", "--set", "weights=none"]
        words += ["--limit", str(args.limit)] if args.limit else []
        load_then = os.getloadavg()[0]
        measure_s = run([*words, "--measure"])
        before, flagged = situation(words)
        forecast = estimate.forecast_of(before, before.to_run, flagged)
        load_between = os.getloadavg()[0]
        wall_s = run(words)
        cells = held(before, situation(words)[0])
    total = Held("all epochs of all trials", sum((h.predicted for h in cells), ZERO), sum(h.actual_s for h in cells))
    wall = Held("the command, start to end", forecast.wall_s, wall_s)
    median = statistics.median(abs(h.error) for h in cells)
    load = f"the measurement took {measure_s:.0f} s, its steps {before.basis.load.mid:.2f} times their CPU time; "
    load += f"load {load_then:.1f} before it, {load_between:.1f} before the run"
    rows = [h.row() for h in (*cells, total, wall)]
    rows.append(at_most("error of a cell, median", "", median, GOAL, load))
    rows.append(at_most("error of the command's wall time", "", abs(wall.error), GOAL))
    show(rows, args)


if __name__ == "__main__":
    main()
