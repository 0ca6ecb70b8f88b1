"""Every run behind a table: as a grid with links to the store, as a row a seed for programs, and its epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.engine.figures.learning import Curve, Panel, Quantity
from analysis.engine.rows import FINISHED
from analysis.engine.tables import grids
from analysis.engine.tables.cells import Cell, Material, Table
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.wording import number
from sweeps.engine.plan import differing
from sweeps.engine.store import pages
from sweeps.engine.store.runs import Row, Run, experiment_id
from trainable.config import CHANCE
from trainable.learning.score import Score

Rows = list[dict[str, Any]]
EPOCH_S = "epoch_s"


def of_cells(table: Table, made_of: Material) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yields each seed's row of the material with its cell, in the order of the table."""
    rows: Rows = made_of.rows.to_dict("records")  # type: ignore[assignment]
    by_setting: dict[object, Rows] = {}
    for row in rows:
        by_setting.setdefault(row["config"].all_but(CHANCE), []).append(row)
    for cell in table.cells:
        yield from ((cell, row) for row in by_setting[cell.trial.all_but(CHANCE)])


def run_grid(table: Table, made_of: Material, runs: Mapping[str, Run], store_uri: str) -> Grid:
    """One row for each trial, with the address of its run.

    Args:
        table: the table of these runs.
        made_of: its material.
        runs: the finished runs, by key.
        store_uri: the store.
    """
    records: Any = made_of.trials.to_dict("records")
    trials: dict[str, dict[str, Any]] = {row["key"]: row for row in records}
    scores, folds = made_of.trial.scores, any("+" in key for key in made_of.rows["key"])
    numbers = {name: experiment_id(store_uri, name) for name in {run.experiment for run in runs.values()}}
    rows = []
    for cell, seed in of_cells(table, made_of):
        for key in seed["key"].split("+"):
            row, run = trials[key], runs.get(key)
            link = pages.run_address(store_uri, numbers[run.experiment], run.run_id) if run else ""
            rows.append(
                [
                    Text(table.title(cell)),
                    Text(str(row["seed"])),
                    *[Text(row["split"])] * folds,
                    *(Text(_score(row, score)) for score in scores),
                    Text(_whole(row["best_epoch"])),
                    Text(_whole(row["epochs_run"])),
                    Text(run.run_id[:12], link=link if numbers[run.experiment] else "") if run else _lacking(row),
                    Text(key),
                ]
            )
    heads = (*(f"Test {score.title}" for score in scores), "Kept epoch", "Epochs", "Run", "Key")
    return Grid(("Cell", "Seed", *["Split"] * folds, *heads), rows)


def seed_frame(table: Table, made_of: Material, runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row for each planned seed: its cell, its scores as fractions, the metrics of its run, and what it took.

    Args:
        table: the table of these runs.
        made_of: its material.
        runs: the finished runs, by key.
    """
    varied = [name for name in differing(list(made_of.rows["config"])) if name != "seed"]
    clip, *recording = (title.lower().replace(" ", "_") for title in grids.titles(table.score))
    rows = []
    for cell, seed in of_cells(table, made_of):
        its = [run for key in seed["key"].split("+") if (run := runs.get(key))]
        predictions = made_of.predictions.get(seed["key"]) if seed["status"] == FINISHED.lower() else None
        given = (predictions.logits, predictions.labels, predictions.recording) if predictions else None
        row = {"sweep": table.name, "cell": table.title(cell), **{name: cell.value(name) for name in varied}}
        row |= {"seed": seed["seed"], "status": seed["status"]}
        row |= {clip: table.score.of(*given) if given else math.nan}
        row |= {name: table.score.of_recordings(*given) if given else math.nan for name in recording}
        row |= {name: seed[name] for name in (*seed["config"].metrics, "epochs_run")}
        row |= {"took_s": sum(run.took_s for run in its) if its else math.nan}
        rows.append({**row, "key": seed["key"], "run_id": "+".join(run.run_id for run in its)})
    return pd.DataFrame(rows)


def panels(
    table: Table, made_of: Material, runs: Mapping[str, Run], curves: Mapping[str, Sequence[Row]]
) -> tuple[Panel, ...]:
    """The learning curves of each cell; a cell without any is left out.

    Args:
        table: the table of these runs.
        made_of: its material.
        runs: the finished runs, by key.
        curves: the epochs of each run, by its id.
    """
    by_cell: dict[str, list[Curve]] = {}
    for cell, seed in of_cells(table, made_of):
        for key in seed["key"].split("+"):
            if (run := runs.get(key)) and (epochs := curves.get(run.run_id)):
                fold = f", {run.params['split']}" if "+" in seed["key"] else ""
                kept = int(run.metrics.get("best_epoch", 0))
                by_cell.setdefault(table.title(cell), []).append(Curve(f"seed {seed['seed']}{fold}", epochs, kept))
    return tuple(Panel(title, tuple(its)) for title, its in by_cell.items())


def quantities(score: Score) -> dict[str, Quantity]:
    """The quantities that are drawn over the epochs, by figure: the score on validation, and both losses."""
    judged = Quantity(
        f"validation {score.title}{' [%]' * score.is_share}",
        score.is_share,
        {f"val_{score.name}": f"validation {score.title}"},
    )
    losses = Quantity("loss", False, {"val_loss": "validation loss", "train_loss": "training loss"})
    return {"curves": judged, "losses": losses}


def trained_s(curves: Mapping[str, Sequence[Row]]) -> float:
    """The time of all epochs together [s]; 0 if no run says it."""
    return sum(row.get(EPOCH_S, 0.0) for epochs in curves.values() for row in epochs)


def _lacking(row: Mapping[str, Any]) -> Text:
    return Text(str(row["status"]), "gap")


def _score(row: Mapping[str, Any], score: Score) -> str:
    return number(float(row.get(f"test_{score.name}", math.nan)), score.is_share)


def _whole(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:g}"
