"""A score over a field, one line per column of a pivot, with both spreads and the published values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.engine.figures import style
from analysis.engine.tables import labels
from analysis.engine.tables.cells import Cell
from analysis.engine.tables.pivot import PivotTable
from analysis.engine.wording import hover_words, scale
from sweeps.engine.store.drawing import Axes, Figure

DODGE = 2 ** (1 / 6)  # between neighbouring lines, so that no whisker hides another
STEP = 0.12  # the same, where places are evenly spaced
PUBLISHED_ASIDE = 0.3  # the offset of published means, in steps
ABREAST = 5  # lines that fit at one place; more are drawn closer together
LONGEST = 60  # letters that fit below an axis; longer labels are slanted


@dataclass(frozen=True)
class Places:
    """The places of a field's values along an axis.

    Positive numbers lie on a logarithmic axis; words, and numbers without a logarithm, are evenly spaced.
    """

    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether the axis is logarithmic."""
        return all(not isinstance(value, str) and value > 0 for value in self.values)

    @property
    def ticks(self) -> Sequence[float]:
        """The place of each value."""
        return self.values if self.numeric else range(len(self.values))

    def aside(self, steps: float) -> list[float]:
        """The places, shifted by some steps."""
        return [tick * DODGE**steps if self.numeric else tick + STEP * steps for tick in self.ticks]


def lines(table: PivotTable) -> Figure:
    """The score of each cell over the field that runs down the table; an incomplete cell leaves a gap in its line."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    places, columns = Places(table.down_values), table.across_values
    for i, across in enumerate(columns):
        cells = [table.cell(down, across) for down in table.down_values]
        steps = (i - (len(columns) - 1) / 2) * min(1, ABREAST / len(columns))
        marks = style.marks_of(i) | ({} if places.numeric else {"linestyle": "none"})  # nothing lies between two words
        _ours(axes, places.aside(steps), cells, marks | {"label": table.heading(across)}, scale(table.score.is_share))
        for x, cell in zip(places.aside(steps), cells, strict=True):
            if cell and cell.scores:
                style.hover(axes, x, scale(table.score.is_share) * cell.scores.clip.mean, hover_words(table, cell))
        _published(axes, places.aside(steps + PUBLISHED_ASIDE), cells, marks)
    _dress(figure, axes, table, places)
    return figure


def _ours(axes: Axes, x: list[float], cells: list[Cell | None], marks: dict[str, Any], times: float) -> None:
    scores = [cell.scores if cell else None for cell in cells]
    mean = [times * s.clip.mean if s else math.nan for s in scores]
    std = [times * s.clip.std if s else math.nan for s in scores]
    low = [times * s.to_come.low if s else math.nan for s in scores]
    high = [times * s.to_come.high if s else math.nan for s in scores]
    axes.vlines(x, low, high, color=marks["color"], linewidth=4, alpha=0.22, zorder=1)
    axes.errorbar(x, mean, yerr=std, linewidth=1.4, markersize=5, capsize=2.5, zorder=3, **marks)


def _published(axes: Axes, x: list[float], cells: list[Cell | None], marks: dict[str, Any]) -> None:
    beside = [cell.published if cell else None for cell in cells]
    if not any(beside):
        return
    mean = [100 * cell.mean if cell else math.nan for cell in beside]
    marks = {"linestyle": "--", **marks}
    axes.plot(x, mean, linewidth=0.8, markersize=5, markerfacecolor="white", zorder=2, **marks)


def _dress(figure: Figure, axes: Axes, table: PivotTable, places: Places) -> None:
    if places.numeric:
        axes.set_xscale("log", base=2)
    words = [table.plain(table.down, value) for value in table.down_values]
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places.ticks, words, **slanted if sum(map(len, words)) > LONGEST else {})
    if len(words) == 1 and places.numeric:  # otherwise the shifted points would span the whole axis
        axes.set_xlim(places.ticks[0] / 2, places.ticks[0] * 2)
    axes.minorticks_off()
    axes.set_xlabel(labels.axis(table.down))
    axes.set_ylabel(style.score_label(table))
    style.dress(axes, "y")
    if table.score.is_share:
        style.within_shares(axes, "y")
    groups = list(zip(*axes.get_legend_handles_labels(), strict=True))
    published = any(cell.published for cell in table.cells)
    style.legend(figure, groups, published, upright=True)
