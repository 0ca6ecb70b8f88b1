"""Macro-F1, recall and confusion of the cells of a pivot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.engine.confusion import Confusion, confusion, macro_f1
from analysis.engine.page.each_run import of_cells
from analysis.engine.rows import Predictions
from analysis.engine.stats import SeedSummary
from analysis.engine.tables.cells import Cell, Material, Scores
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.pivot import PivotTable
from analysis.engine.wording import mean_std, rounded

MOST_CLASSES = 12  # recalls that fit a row
MOST_MATRICES = 6


@dataclass(frozen=True)
class Classwise:
    """The class-wise results of a complete cell."""

    short: str  # the title of the cell
    cell: Cell
    scores: Scores
    macro_f1: SeedSummary
    confusion: Confusion


def of_pivot(table: PivotTable, made_of: Material) -> tuple[Classwise, ...]:
    """The class-wise results of every complete cell, in the order of the table."""
    seeds: dict[str, list[Predictions]] = {}
    for cell, row in of_cells(table, made_of):
        if cell.scores:
            seeds.setdefault(table.title(cell), []).append(made_of.predictions[row["key"]])
    return tuple(
        Classwise(title, cell, cell.scores, macro_f1(seeds[title]), confusion(seeds[title]))
        for cell in table.cells
        if cell.scores and (title := table.title(cell))
    )


def best_of_columns(table: PivotTable, results: Sequence[Classwise]) -> list[Classwise]:
    """The best cell of each column of a pivot, at most six; of equal ones, the first."""
    chosen = []
    for column in table.across_values[:MOST_MATRICES]:
        its = [one for one in results if column is None or one.cell.value(table.across) == column]
        if its:
            best = table.score.best(rounded(one.scores.clip.mean, table.score.is_share) for one in its)
            chosen.append(next(one for one in its if rounded(one.scores.clip.mean, table.score.is_share) == best))
    return chosen


def class_grid(results: Sequence[Classwise]) -> Grid:
    """Macro-F1, and the recall of every class; of many or different classes, the lowest and the highest recall."""
    if not results:
        return Grid((), [])
    classes = results[0].confusion.classes
    each = len(classes) <= MOST_CLASSES and all(one.confusion.classes == classes for one in results)
    rows = []
    for one in results:
        recall = dict(zip(one.confusion.classes, one.confusion.recall, strict=True))
        known = {name: score for name, score in recall.items() if score.mean == score.mean}
        ends = (min(known, key=lambda name: known[name].mean), max(known, key=lambda name: known[name].mean))
        words = [mean_std(score.mean, score.std) for score in recall.values()] if each else []
        words = words or [f"{name}: {mean_std(known[name].mean, known[name].std)}" for name in ends]
        rows.append([Text(one.short), Text(mean_std(one.macro_f1.mean, one.macro_f1.std)), *map(Text, words)])
    return Grid(("Cell", "Macro-F1", *(classes if each else ("Lowest recall", "Highest recall"))), rows)


def confusion_frame(table: PivotTable, results: Sequence[Classwise]) -> pd.DataFrame:
    """One row per cell, true and predicted class, as fractions of the true class."""
    return pd.DataFrame(
        {"cell": one.short, **{axis: one.cell.value(axis) for axis in table.axes}, **row}
        for one in results
        for row in one.confusion.rows()
    )
