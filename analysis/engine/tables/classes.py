"""The class-wise results of a ranking: macro-F1, recall, and confusion."""

from __future__ import annotations

import pandas as pd

from analysis.engine.tables import grids, labels
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.ranking import Ranked, RankingTable, place
from analysis.engine.wording import mean_std

CLASS_CAPTION = (
    "Macro-F1: the mean F1 score of the classes. Recall of a class: the share of its test clips that are classified "
    "correctly. Both in percent, mean ± sample standard deviation (ddof 1) over seeds."
)
CONFUSION_CAPTION = (
    "Rows: the true class. Columns: the predicted class, in percent of the test clips of the true class, mean ± sample "
    "standard deviation (ddof 1) over seeds; each row adds up to 100."
)


def class_grid(table: RankingTable) -> Grid:
    """Macro-F1 and the recall of every class, for the complete values."""
    rows = []
    for row in table.ranked:
        assert row.macro_f1 and row.confusion  # noqa: PT018 - a row has both or neither
        scores = [row.macro_f1, *row.confusion.recall]
        rows.append([*place(table, row, row.short), *(Text(mean_std(score.mean, score.std)) for score in scores)])
    return Grid(("#", labels.label(table.over).name, "Macro-F1", *_classes(table)), rows)


def numbers(table: RankingTable, row: Ranked) -> dict[str, object]:
    """Macro-F1 and recalls at full precision, as fractions."""
    columns = grids.summary("macro_f1", row.macro_f1)
    recall = row.confusion.recall if row.confusion else [None] * len(_classes(table))
    for name, score in zip(_classes(table), recall, strict=True):
        columns |= grids.summary(f"recall_{name}", score)
    return columns


def confusion_frame(table: RankingTable) -> pd.DataFrame:
    """One row per value, true and predicted class, as fractions of the true class."""
    rows = [
        {table.over: row.value(table.over), **its}
        for row in table.ranked
        if row.confusion
        for its in row.confusion.rows()
    ]
    return pd.DataFrame(rows)


def _classes(table: RankingTable) -> tuple[str, ...]:
    return next((row.confusion.classes for row in table.ranked if row.confusion), ())
