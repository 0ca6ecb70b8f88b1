"""A rate table as Markdown, LaTeX and CSV."""

from __future__ import annotations

import pandas as pd

from analysis.engine import tables
from analysis.engine.rates.rates import RateTable
from analysis.engine.tables import Grid, Text
from analysis.engine.wording import detail_captions, khz, main_captions


def main_grid(table: RateTable) -> Grid:
    """The compact table: for each data rate a row of ours and, where there is one, a row of published numbers."""
    rows = []
    for data_hz in table.data_rates_hz:
        cells = [table.cell(pretrain_hz, data_hz) for pretrain_hz in table.pretrain_rates_hz]
        rows.append([Text(khz(data_hz)), *(tables.ours(table, cell) for cell in cells)])
        if any(cell and cell.published for cell in cells):
            rows.append([Text("published", "published"), *map(tables.published, cells)])
    return Grid(("Data rate", *map(table.model, table.pretrain_rates_hz)), rows)


def detail_grid(table: RateTable) -> Grid:
    """The detailed table: one row per cell."""
    rows = [
        [Text(khz(cell.trial.data_hz)), Text(table.model(cell.trial.pretrain_hz)), *tables.detail(table, cell)]
        for cell in table.cells
    ]
    return Grid(("Data", "Pre-training", *tables.DETAIL_HEAD), rows)


def markdown(table: RateTable) -> str:
    """The compact table, the detailed one, and what they mean."""
    captions = tables.bullets([*main_captions(table), *detail_captions(table)])
    return tables.markdown(table, [main_grid(table).markdown(), detail_grid(table).markdown(), captions])


def latex(table: RateTable) -> str:
    """Both tables for LaTeX without any package."""
    below = [*detail_captions(table), *tables.remarks(table)]
    detail = tables.latex(detail_grid(table), "Every cell, with its uncertainty.", below, small=True)
    return "\n".join([tables.latex(main_grid(table), " ".join(main_captions(table))), detail])


def csv_frame(table: RateTable) -> pd.DataFrame:
    """One row per cell with every number at full precision, as fractions."""
    same = {"sweep": table.name, "backbone": table.backbone}
    rates = ({"pretrain_hz": cell.trial.pretrain_hz, "data_hz": cell.trial.data_hz} for cell in table.cells)
    return tables.frame(
        {**same, **pair, **tables.numbers(table, cell)} for pair, cell in zip(rates, table.cells, strict=True)
    )
