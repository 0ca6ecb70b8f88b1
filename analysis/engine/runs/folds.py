"""The folds of one seed as one run: their test predictions joined, each recording scored once.

Trials are folds of one run if they differ in nothing but the fold of their split. A fold that has not finished, or that
the plan leaves out, leaves the seed incomplete.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.engine.rows import FINISHED, Predictions, metrics_of
from datasets.engine.splitting.folds import fold_named, num_published
from trainable.config import SPLIT, TrialConfig

Row = dict[str, Any]  # by the name of the column
Unit = tuple[str, str, int]  # the corpus, the unit of its folds, and their number
UNPLANNED = "not planned"
KINDS = ("groups", "seen")  # of the mappings that predictions hold by group


def joined(rows: pd.DataFrame, predictions: Mapping[str, Predictions]) -> tuple[pd.DataFrame, dict[str, Predictions]]:
    """The rows and predictions of a sweep, with one row for all folds of a seed.

    A split of which only one fold is planned is left as it is.

    Args:
        rows: the rows of `analysis.engine.rows.table_rows`.
        predictions: the predictions of every finished trial, by key.

    Returns:
        The rows; and the predictions of the finished ones, by key. Where folds are joined, the rows have two columns
        more: num_folds, 0 for a row that is one trial; and gaps, the folds that a row lacks, in words, each with their
        status. A joined row has the settings of its first fold, but no metrics.

    Raises:
        ValueError: if the folds of a seed have different classes, or do not score every recording once.
    """
    if not (units := _cross_validated(rows["config"])):
        return rows, dict(predictions)
    runs: dict[object, list[Row]] = defaultdict(list)
    records: Any = rows.to_dict("records")
    for row in records:
        unit = _unit(row["config"])
        runs[(row["config"].all_but(SPLIT), unit) if unit in units else row["key"]].append(row)
    lines: list[Row] = []
    kept = {}
    for folds in runs.values():
        if (unit := _unit(folds[0]["config"])) and unit in units:
            folds.sort(key=_number)
            lines.append(_one_row(folds, unit))
            if not lines[-1]["gaps"]:
                kept[lines[-1]["key"]] = _concatenated(folds, predictions)
        else:
            lines.append({**folds[0], "num_folds": 0, "gaps": ()})
            kept |= {key: its for key, its in predictions.items() if key == folds[0]["key"]}
    return pd.DataFrame(lines), kept


def split_words(split: str, num_folds: int) -> str:
    """The name of a split whose folds are joined, from that of one of them: `speaker, 5 folds`."""
    fold = fold_named(split)
    return f"{fold.unit if fold else split}, {num_folds} folds"


def gap_words(gaps_of: Iterable[tuple[int, Sequence[tuple[str, str]]]]) -> str:
    """The folds that seeds lack: `fold 3 of seed 1 failed, folds 4, 5 of seeds 1, 2 missing`.

    Args:
        gaps_of: each incomplete seed with its gaps, as in the rows of `joined`.
    """
    seeds = defaultdict(list)
    for seed, gaps in gaps_of:
        for gap in gaps:
            seeds[gap].append(seed)
    return ", ".join(f"{folds} of {_listed('seed', its)} {status}" for (folds, status), its in seeds.items())


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _cross_validated(trials: Iterable[TrialConfig]) -> set[Unit]:
    """The units of which several folds are planned."""
    numbers = defaultdict(set)
    for trial in trials:
        if (fold := fold_named(trial.split)) and (unit := _unit(trial)):
            numbers[unit].add(fold.number)
    return {unit for unit, its in numbers.items() if len(its) > 1}


def _unit(trial: TrialConfig) -> Unit | None:
    if not (fold := fold_named(trial.split)):
        return None
    return trial.corpus, fold.unit, fold.total or num_published(trial.corpus)


def _number(row: Row) -> int:
    fold = fold_named(row["config"].split)
    assert fold
    return fold.number


def _one_row(folds: list[Row], unit: Unit) -> Row:
    """The row of a seed, from those of its folds."""
    _, _, total = unit
    status_of = dict.fromkeys(range(1, total + 1), UNPLANNED) | {_number(row): row["status"] for row in folds}
    gaps = defaultdict(list)
    for number, status in status_of.items():
        if status != FINISHED.lower():
            gaps[status].append(number)
    first = folds[0]
    return {
        **first,
        **dict.fromkeys(metrics_of(first["config"]), math.nan),  # of one fold, which say nothing about the run
        "split": split_words(first["split"], total),
        "key": "+".join(row["key"] for row in folds),
        "status": "incomplete" if gaps else FINISHED.lower(),
        "run_id": "",
        "artifact_uri": "",
        "num_folds": total,
        "gaps": tuple(
            (f"all {total} folds" if len(numbers) == total else _listed("fold", numbers), status)
            for status, numbers in gaps.items()
        ),
    }


def _concatenated(folds: Sequence[Row], predictions: Mapping[str, Predictions]) -> Predictions:
    """The predictions of all folds, in their order; a group is `seen` where its own fold's training has it."""
    each = [predictions[row["key"]] for row in folds]
    run = f"seed {folds[0]['seed']} of split={split_words(folds[0]['split'], len(folds))}"
    remedy = f"delete the runs that are out of date, among {', '.join(row['key'] for row in folds)}"
    if len({its.classes for its in each}) > 1:
        raise ValueError(f"{run}: its folds have different classes; {remedy}")
    scored: dict[str, int] = {}
    for row, its in zip(folds, each, strict=True):
        for recording in np.unique(its.recording).tolist():
            if recording in scored:
                raise ValueError(
                    f"{run}: recording {recording} is scored in fold {scored[recording]} and again in fold "
                    f"{_number(row)}; {remedy}"
                )
            scored[recording] = _number(row)
    counts = {str(row["corpus_recordings"]) for row in folds}  # of the three roles, such as 240/80/80
    if wrong := sorted(c for c in counts if c and sum(map(int, c.split("/"))) != len(scored)):
        raise ValueError(
            f"{run}: {len(scored)} recordings are scored, of {sum(map(int, wrong[0].split('/')))}; {remedy}"
        )
    logits, labels, recording, clip = (
        np.concatenate([getattr(its, name) for its in each]) for name in ("logits", "labels", "recording", "clip")
    )
    names = sorted(set.intersection(*(set(its.groups) for its in each)))
    groups, seen = ({n: np.concatenate([getattr(its, kind)[n] for its in each]) for n in names} for kind in KINDS)
    units = {its.sampled_by for its in each}
    files = [its.recording if its.file is None else its.file for its in each]
    file = None if all(its.file is None for its in each) else np.concatenate(files)
    unit = units.pop() if len(units) == 1 else ""
    return Predictions(logits, labels, recording, clip, each[0].classes, groups, seen, unit, file)
