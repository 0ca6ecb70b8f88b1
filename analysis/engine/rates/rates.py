"""A table of accuracies, data rate by pre-training rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.engine import cells
from analysis.engine.cells import Cell, Table
from analysis.engine.protocol import Published, incomparable
from analysis.engine.rows import Predictions
from analysis.engine.wording import khz

AXES = ("pretrain_hz", "data_hz")


@dataclass(frozen=True)
class RateTable(Table):
    """All cells of a sweep over rates, of one backbone."""

    backbone: str

    @property
    def pretrain_rates_hz(self) -> tuple[int, ...]:
        """The columns."""
        return tuple(sorted({cell.trial.pretrain_hz for cell in self.cells}))

    @property
    def data_rates_hz(self) -> tuple[int, ...]:
        """The rows."""
        return tuple(sorted({cell.trial.data_hz for cell in self.cells}))

    def cell(self, pretrain_hz: int, data_hz: int) -> Cell | None:
        """The cell of two rates; None if it was not planned."""
        rates = (pretrain_hz, data_hz)
        return next((c for c in self.cells if (c.trial.pretrain_hz, c.trial.data_hz) == rates), None)

    def model(self, pretrain_hz: int) -> str:
        """The name of a column, such as CNN14_8k."""
        name = self.backbone if "/" in self.backbone else self.backbone.upper()
        return f"{name}_{pretrain_hz / 1000:g}k"

    def title(self, cell: Cell) -> str:
        """Such as `2 kHz, CNN14_8k`."""
        return f"{khz(cell.trial.data_hz)}, {self.model(cell.trial.pretrain_hz)}"


def rate_table(
    name: str,
    rows: pd.DataFrame,
    predictions: Mapping[str, Predictions],
    published: Published | None = None,
    margin: float = 0.02,
) -> RateTable:
    """Joins the trials of each pair of rates over their seeds.

    Args:
        name: of the sweep.
        rows: what `analysis.engine.rows.table_rows` gives.
        predictions: of every finished trial, by key.
        published: numbers to stand beside them.
        margin: largest difference that does not matter, as a fraction.

    Raises:
        ValueError: if trials of one cell differ in more than the seed, or were scored on different clips, or the sweep
            has several backbones.
    """
    by_rates = rows.groupby(["data_hz", "pretrain_hz"])
    others = cells.varying(by_rates, AXES)
    if others or rows["backbone"].nunique() > 1:
        raise ValueError(
            f"sweep {name} varies {', '.join(others or ['backbone'])} too; a table of rates has room for one backbone, "
            f"{', '.join(AXES)}, seed"
        )
    reasons = incomparable(published, rows) if published else {}
    return RateTable(
        name=name,
        cells=tuple(cells.cell(group, predictions, published, reasons, margin) for _, group in by_rates),
        published=published,
        reasons=tuple(reasons),
        margin=margin,
        provenance=cells.provenance(rows, map(khz, rows["pretrain_hz"])),
        backbone=str(rows["backbone"].iloc[0]),
    )
