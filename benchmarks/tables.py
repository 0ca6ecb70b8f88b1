"""Computes the time of both DeepShip tables on k GPUs in the launcher's order, beside the plan's order and the bound.

    python -m benchmarks.tables [--times FILE] [--gpus 1,2,4,8,16] [--json FILE]

The trials are those of `sweeps.deepship_rates` and `sweeps.deepship_backbones`, with DeepShip's numbers of clips and
all of their 100 epochs; nothing is run. The launcher starts the longest trials first, judged by counted operations
alone. The seconds of the trials follow from --times, a JSON list of measurements on one GPU:

    [{"backbone": "cnn14", "frames": 501, "batch": 64, "step_s": 0.02, "eval_clip_s": 0.0001, "device": "..."}, ...]

step_s is the time of a training step on `batch` samples, and eval_clip_s the time to predict one clip. Without that
file the length of a trial is its number of operations; then hours are unknown, but the distance of an order from the
bound is known. The bound: no schedule can end before the work is shared equally, nor before the longest trial has
ended. The two sweeps are run by two commands, or in one pool, as if both were one sweep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import measured
from benchmarks.measured import Row
from sweeps import deepship_backbones, deepship_rates
from sweeps.engine.forecast.cost import Basis, Clips, Prediction, Span, longest_first, makespan, predict
from trainable.config import TrialConfig
from trainable.cost.cost import Measured, cell_of

CLIPS = Clips(train=23_088, validation=3_974, test=6_708)  # of DeepShip's 609 recordings, as published
TABLES = {"Table I": deepship_rates.SWEEP.trials, "Table II": deepship_backbones.SWEEP.trials}
JUDGED_GPUS, MOST_OF_BOUND, MOST_GPU_HOURS = 8, 1.05, 10.0
Seconds = Mapping[str, float]  # by key


def read_times(path: Path, trials: Sequence[TrialConfig]) -> tuple[dict[str, Measured], str]:
    """The measurements of each trial's cell, and the names of the devices.

    Raises:
        SystemExit: if the file lacks some networks, frames and batches of the trials; all of them are named.
    """
    rows = json.loads(path.read_text(encoding="utf-8"))
    row_of = {(row["backbone"], row["frames"], row["batch"]): row for row in rows}
    key_of_cell = {cell_of(t): (t.backbone, t.num_frames, t.batch) for t in trials}
    if missing := sorted(set(key_of_cell.values()) - row_of.keys()):
        missing_list = ", ".join(f"{name} at {frames} frames, batch {batch}" for name, frames, batch in missing)
        raise SystemExit(f"--times {path}: has no {missing_list}; measure them too")
    cells = {
        cell: Measured((row_of[key]["step_s"],), (row_of[key]["eval_clip_s"],), 0, 0, 0, 0, 0)
        for cell, key in key_of_cell.items()
    }
    return cells, " and ".join(sorted({row_of[key]["device"] for key in key_of_cell.values()}))


def predictions(trials: Sequence[TrialConfig], cells: Mapping[str, Measured]) -> dict[str, Prediction]:
    """The predicted time of each trial: from measurements, or one second for each operation."""
    basis = Basis(cells) if cells else Basis(flops_per_s=Span(1, 1, 1))
    maybe = {trial.key: predict(trial, CLIPS, basis) for trial in trials}
    return {key: prediction for key, prediction in maybe.items() if prediction}


def all_epochs(predicted: Mapping[str, Prediction]) -> Seconds:
    """The seconds of trials that do not stop early, by key."""
    return {key: prediction.seconds.high for key, prediction in predicted.items()}


def ends(order: Sequence[TrialConfig], seconds: Seconds, num_gpus: int) -> float:
    """The time at which the last of the trials ends, if each has a whole GPU [s]."""
    return makespan([seconds[t.key] for t in order], [1.0] * len(order), num_gpus, num_gpus)


def bound(trials: Sequence[TrialConfig], seconds: Seconds, num_gpus: int) -> float:
    """The time before which no schedule can end [s]."""
    return max(sum(seconds[t.key] for t in trials) / num_gpus, *(seconds[t.key] for t in trials))


def schedule_row(case: str, parts: Sequence[Sequence[TrialConfig]], seconds: Seconds, num_gpus: int) -> Row:
    """A row with the parts one after another, in the launcher's order and in the plan's, relative to the bound.

    Args:
        parts: the trials of each start of the launcher; the bound is that of all of them together.
    """
    least = bound([t for part in parts for t in part], seconds, num_gpus)
    ours = sum(ends(longest_first(part, {}), seconds, num_gpus) for part in parts) / least
    peer = sum(ends(part, seconds, num_gpus) for part in parts) / least
    unit, name = "x the bound", "plan's order"
    if num_gpus == JUDGED_GPUS and case.startswith("both, two commands"):
        return measured.at_most(case, unit, ours, MOST_OF_BOUND, peer=peer, peer_name=name, ratio=peer / ours)
    return Row(case, unit, ours, peer, name, peer / ours)


def hours_row(seconds: Seconds, device: str) -> Row:
    """The row with the GPU-hours of all trials, if their seconds are known."""
    case, unit = "both tables, 84 trials of 100 epochs", "GPU-h"
    if not device:
        return measured.not_measured(case, unit, f"<= {MOST_GPU_HOURS:g} {unit}", "needs --times, from a GPU")
    note = f"on {device}: steps and evaluations, without preparing the audio"
    return measured.at_most(case, unit, sum(seconds.values()) / 3600, MOST_GPU_HOURS, note)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    parser = measured.parser(__doc__)
    parser.add_argument("--times", type=Path, metavar="FILE", help="measured steps (see above)")
    parser.add_argument("--gpus", type=lambda words: [int(w) for w in words.split(",")], default=[1, 2, 4, 8, 16])
    args = parser.parse_args(argv)
    trials = [t for table in TABLES.values() for t in table]
    cells, device = read_times(args.times, trials) if args.times else ({}, "")
    seconds = all_epochs(predictions(trials, cells))
    rows = [hours_row(seconds, device)]
    for num in args.gpus:
        plural = "s" * (num > 1)
        rows += [schedule_row(f"{name}, {num} GPU{plural}", [table], seconds, num) for name, table in TABLES.items()]
        rows.append(schedule_row(f"both, two commands, {num} GPU{plural}", list(TABLES.values()), seconds, num))
        rows.append(schedule_row(f"both, one pool, {num} GPU{plural}", [trials], seconds, num))
    measured.show(rows, args)


if __name__ == "__main__":
    main()
