"""The rows of a ranking, one below another: their scores beside the published means."""

from __future__ import annotations

from typing import Any

from analysis.engine.figures import style
from analysis.engine.tables.ranking import Ranked, RankingTable
from analysis.engine.wording import hover_words, scale
from sweeps.engine.store.drawing import Axes, Figure, Line2D

MAX_ROWS = 60  # only the highest-ranked are drawn; the tables have all
PUBLISHED_BELOW = 0.26  # the offset of published means, in distances between rows


def dots(table: RankingTable) -> Figure:
    """One row per value, the best mean at the top; an incomplete value keeps its row, with its published mean."""
    cells = table.cells[:MAX_ROWS]
    rows = len(cells)
    figure = Figure(figsize=(7.2, 1.2 + 0.36 * rows), layout="constrained")
    axes = figure.add_subplot()
    groups = sorted({table.group(row) for row in cells})
    for y, row in enumerate(cells):
        _dot(axes, y, row, style.marks_of(groups.index(table.group(row))), scale(table.score.is_share))
        if row.scores:
            value = scale(table.score.is_share) * row.scores.clip.mean
            style.hover(axes, value, y, hover_words(table, row))
    axes.set_yticks(range(rows), [row.short for row in cells])
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlabel(style.score_label(table) + (f"; {cut}" if (cut := style.cut(rows, len(table.cells))) else ""))
    style.dress(axes, "x")
    if table.score.is_share:
        style.within_shares(axes, "x")
    _right(axes, table)
    handles = [
        (Line2D([], [], linestyle="none", markersize=6, **style.marks_of(i)), g) for i, g in enumerate(groups) if g
    ]
    style.legend(figure, handles, any(row.published for row in cells), upright=False)
    return figure


def _right(axes: Axes, table: RankingTable) -> None:
    """Labels the right-hand axis with one column of the table."""
    column = next((column for column in table.columns if column.axis), None)
    if column is None:
        return
    cells = table.cells[:MAX_ROWS]
    right = axes.twinx()
    right.set_yticks(range(len(cells)), [column.text(row) for row in cells], color=style.GREY)
    right.set_ylim(axes.get_ylim())
    right.tick_params(length=0)
    right.spines[["top", "right", "left"]].set_visible(False)
    right.set_ylabel(column.axis, color=style.GREY)


def _dot(axes: Axes, y: int, row: Ranked, marks: dict[str, Any], times: float) -> None:
    if row.published:
        mean = 100 * row.published.mean
        axes.plot(mean, y + PUBLISHED_BELOW, markersize=5, markerfacecolor="white", zorder=2, **marks)
    if row.scores is None:
        axes.annotate(row.gap, (0.01, y), xycoords=axes.get_yaxis_transform(), va="center", color=style.GAP)
        return
    clip, over = row.scores.clip, row.scores.to_come
    mean, std, low, high = (times * number for number in (clip.mean, clip.std, over.low, over.high))
    axes.hlines(y, low, high, color=marks["color"], linewidth=6, alpha=0.22, zorder=1)
    axes.errorbar(mean, y, xerr=std, linewidth=1.4, markersize=6, capsize=2.5, zorder=3, **marks)
