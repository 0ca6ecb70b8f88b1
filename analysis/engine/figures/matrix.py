"""Confusion matrices of the rows of a ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from analysis.engine.confusion import Confusion
from analysis.engine.figures import style
from analysis.engine.tables import labels
from analysis.engine.tables.cells import Scores
from analysis.engine.tables.ranking import RankingTable
from analysis.engine.wording import mean_std, percent, unit
from sweeps.engine.store.drawing import Axes, Figure

MAX_WORDS = 8  # classes; with more, the numbers in a matrix are too small to read
MAX_NAMES = 20  # labels beside a matrix; with more classes only every second, third, ... is labelled
MAX_MATRICES = 24  # only the highest-ranked rows are drawn; the tables have all
DARK = 0.72  # the share above which white text reads better than black: contrast is at least 4.4 on either side


def best_confusions(table: RankingTable) -> Figure:
    """The matrix of the best complete row of each group, side by side."""
    best = {table.group(row): row for row in reversed(table.ranked)}
    return confusions(
        [best[group] for group in sorted(best)], columns=2, inches=3.4, none=nothing(table), share=table.score.is_share
    )


def all_confusions(table: RankingTable) -> Figure:
    """The matrices of all complete rows, in the order of the ranking."""
    return confusions(table.ranked, columns=4, inches=2.6, none=nothing(table), share=table.score.is_share)


def nothing(table: RankingTable) -> str:
    """The text shown when no row is complete."""
    return f"No {labels.title(table.over)} is complete yet."


class Shown(Protocol):
    """A complete setting with its confusion matrix."""

    @property
    def short(self) -> str:
        """The title above the matrix."""
        ...

    @property
    def scores(self) -> Scores | None:
        """The scores that it is told with."""
        ...

    @property
    def confusion(self) -> Confusion | None:
        """The matrix."""
        ...


def confusions(rows: Sequence[Shown], columns: int, inches: float, none: str, share: bool = True) -> Figure:
    """Row-normalised confusion matrices, mean ± sample standard deviation over seeds, in percent.

    Args:
        rows: complete settings, in the order of their table.
        columns: largest number of matrices side by side.
        inches: width of one matrix.
        none: the text shown when there is no row.
        share: whether the score above each matrix is a share.
    """
    number, rows = len(rows), rows[:MAX_MATRICES]
    columns = min(columns, len(rows)) or 1
    num_rows = math.ceil(len(rows) / columns) or 1
    figure = Figure(figsize=(columns * inches, num_rows * inches * 1.06), layout="constrained")
    if not rows:
        figure.text(0.5, 0.5, none, ha="center", va="center")
        return figure
    if cut := style.cut(len(rows), number):
        figure.suptitle(cut, fontsize=2.6 * inches)
    grid = figure.subplots(num_rows, columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(rows):
            axes.set_axis_off()
            continue
        matrix, scores = rows[i].confusion, rows[i].scores
        assert matrix  # every row is complete
        assert scores
        _matrix(axes, matrix, inches)
        score = f"{mean_std(scores.clip.mean, scores.clip.std, share)}{unit(share)}"
        axes.set_title(f"{rows[i].short}\n{score}", fontsize=2.6 * inches)
        axes.set_xlabel("predicted" if i + columns >= len(rows) else "", fontsize=2.6 * inches)
        axes.set_ylabel("true" if i % columns == 0 else "", fontsize=2.6 * inches)
    return figure


def _matrix(axes: Axes, matrix: Confusion, inches: float) -> None:
    mean, std, size = matrix.mean, matrix.std, len(matrix.classes)
    axes.imshow(mean, cmap="Blues", vmin=0, vmax=1)
    labelled = slice(None, None, -(-size // MAX_NAMES))
    letters: dict[str, Any] = {"parse_math": False, "fontsize": 2.1 * inches}
    places, names = range(size)[labelled], matrix.classes[labelled]
    axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor", **letters)
    axes.set_yticks(places, names, **letters)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if size > MAX_WORDS:
        return
    for true, predicted in np.ndindex(size, size):
        share, deviation = float(mean[true, predicted]), float(std[true, predicted])
        words = percent(share) if math.isnan(deviation) else f"{percent(share)}\n± {percent(deviation)}"
        colour = style.ON_DARK if share > DARK else style.ON_LIGHT
        axes.text(predicted, true, words, ha="center", va="center", color=colour, fontsize=min(9, 9.6 * inches / size))
