"""A pivot: one field of `TrialConfig` down, another across, a score in each cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.engine.inference import constant
from analysis.engine.tables import cells, differing, grids, labels, seen
from analysis.engine.tables.cells import Cell, Material, Table
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.networks import model
from analysis.engine.wording import detail_captions, main_captions
from trainable.learning.score import Score


@dataclass(frozen=True)
class PivotTable(Table):
    """The cells of a sweep by the values of one or two fields, row by row."""

    down: str
    across: str  # empty for a single column
    down_values: tuple[Any, ...]  # numbers in rising order, words as planned
    across_values: tuple[Any, ...]  # (None,) if there is no field across

    @property
    def axes(self) -> tuple[str, ...]:
        """The fields that define the cells."""
        return axes(self.down, self.across)

    def cell(self, down: Any, across: Any = None) -> Cell | None:
        """The cell of a row and a column; None if it was not planned."""
        values = (down, across) if self.across else (down,)
        return next((c for c in self.cells if tuple(map(c.value, self.axes)) == values), None)

    def words(self, field: str, value: Any) -> str:
        """The words for a value whose field is named; with one network, rates are networks, such as CNN14_8k."""
        if field == "pretrain_hz" and "backbone" not in self.axes:
            return model(self.cells[0].trial.backbone, value)
        return self.plain(field, value)

    def plain(self, field: str, value: Any) -> str:
        """The words for a value; of several pre-trained weights, each is told with the run that it comes from."""
        if field == "weights" and value != "none" and len({cell.value(field) for cell in self.cells} - {"none"}) == 1:
            return labels.words(field, "published")
        return labels.words(field, value)

    def named(self, field: str, value: Any) -> str:
        """The words for a row or column that is named alone."""
        return self.words(field, value) if labels.label(field).alone else labels.told(field, value)

    def heading(self, across: Any) -> str:
        """The heading of a column."""
        return self.named(self.across, across) if self.across else self.score.heading

    def title(self, cell: Cell) -> str:
        """The name of a cell, such as `2 kHz, CNN14_8k`."""
        return ", ".join(self.named(field, cell.value(field)) for field in self.axes)


def axes(down: str, across: str) -> tuple[str, ...]:
    """The one or two fields of a pivot."""
    return (down, across) if across else (down,)


def pivot_table(down: str, across: str, score: Score, made_of: Material) -> PivotTable:
    """Joins the trials of each pair of values over their seeds.

    Args:
        down: the field whose values are the rows.
        across: the field whose values are the columns; empty for a single column.
        score: the score to average.
        made_of: the runs of a sweep.

    Raises:
        ValueError: if the trials of one cell differ in more than the seed or were scored on different clips; if the
            sweep has several backbones and neither axis is the backbone; or if the published numbers are of another
            score.
    """
    fields, rows = axes(down, across), made_of.rows
    settings = cells.grouped(made_of, fields)
    others = cells.varying(settings, fields)
    if others or ("backbone" not in fields and rows["backbone"].nunique() > 1):
        also, by = ", ".join(others or ["backbone"]), " and ".join(fields)
        room = ", ".join([*["one backbone"] * ("backbone" not in fields), *fields, "seed"])
        raise ValueError(f"sweep {made_of.name} varies {also} too; a table by {by} has room for {room}")
    reasons = cells.reasons(score, made_of)
    averaged = cells.judged([cells.cell(score, group, made_of, reasons) for _, group in settings], made_of.margin)
    values = {field: ordered(cell.value(field) for cell in averaged) for field in fields}
    return PivotTable(
        name=made_of.name,
        score=score,
        cells=tuple(sorted(averaged, key=lambda cell: [values[field].index(cell.value(field)) for field in fields])),
        published=made_of.published,
        reasons=tuple(reasons),
        margin=made_of.margin,
        provenance=cells.provenance(made_of.trials, cells.whose(made_of.trials, fields)),
        down=down,
        across=across,
        down_values=values[down],
        across_values=values.get(across, (None,)),
    )


def ordered(values: Iterable[Any]) -> tuple[Any, ...]:
    """The distinct values: numbers in rising order, words in the given order."""
    distinct = list(dict.fromkeys(values))
    return tuple(distinct if any(isinstance(value, str) for value in distinct) else sorted(distinct))


def main_grid(table: PivotTable) -> Grid:
    """The compact table: for each value down, a row of our numbers and, if there are any, one of published numbers."""
    rows = []
    for down in table.down_values:
        row = [table.cell(down, across) for across in table.across_values]
        rows.append([Text(table.plain(table.down, down)), *(grids.ours(table, cell) for cell in row)])
        if any(cell and cell.published for cell in row):
            rows.append([Text("published", "published"), *map(grids.published, row)])
    return Grid((labels.label(table.down).name, *map(table.heading, table.across_values)), rows)


def detail_grid(table: PivotTable) -> Grid:
    """The detailed table: one row per cell."""
    heads = [labels.label(field).short or labels.label(field).name for field in table.axes]
    rows = [
        [
            Text(table.plain(table.down, cell.value(table.down))),
            *(Text(table.words(field, cell.value(field))) for field in table.axes[1:]),
            *grids.detail(table, cell),
        ]
        for cell in table.cells
    ]
    return Grid((*heads, *grids.detail_head(table)), rows)


def captions(table: PivotTable) -> list[str]:
    """Captions of the compact table, including the further fields that differ between cells."""
    titles = [*(lambda cell, field=field: table.named(field, cell.value(field)) for field in table.axes[::-1])]
    shown = {*table.axes, *({"weights"} if {"backbone", "pretrain_hz"} & {*table.axes} else ())}
    differences = differing.differing(table.cells, [*titles, table.title], shown)
    return [*main_captions(table), *constant.captions(table), *differing.captions(differences, "cells")]


def markdown(table: PivotTable) -> str:
    """The compact table, the detailed one, and their captions."""
    below = grids.bullets([*captions(table), *detail_captions(table), *seen.remarks(table)])
    parts = [block for its in seen.shown(table) for block in (its.grid.markdown(), grids.bullets(its.captions))]
    return grids.markdown(table, [main_grid(table).markdown(), detail_grid(table).markdown(), below, *parts])


def latex(table: PivotTable) -> str:
    """Both tables in LaTeX, for a document with the package booktabs."""
    below = [*detail_captions(table), *seen.remarks(table), *grids.remarks(table)]
    detail = grids.latex(detail_grid(table), "Every cell, with its uncertainty.", below, small=True)
    parts = [grids.latex(its.grid, f"{its.title}.", its.captions, small=True) for its in seen.shown(table)]
    return "\n".join([grids.latex(main_grid(table), " ".join(captions(table))), detail, *parts])


def csv_frame(table: PivotTable) -> pd.DataFrame:
    """One row per cell, with every number at full precision and shares as fractions."""
    return grids.frame(
        {
            "sweep": table.name,
            "backbone": cell.trial.backbone,
            **{field: cell.value(field) for field in reversed(table.axes)},
            **grids.numbers(table, cell),
        }
        for cell in table.cells
    )
