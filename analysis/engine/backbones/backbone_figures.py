"""The figures of a study of backbones: accuracies beside the published means, and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.engine import figures
from analysis.engine.backbones.backbone_wording import count, short
from analysis.engine.backbones.backbones import Backbone, BackboneTable
from analysis.engine.confusion import Confusion
from analysis.engine.wording import mean_std, percent
from sweeps.engine.store.drawing import Axes, Figure, Line2D

MAX_WORDS = 8  # classes: with more, the numbers of a matrix cannot be read
MAX_NAMES = 20  # beside a matrix; of more classes every second, third, ... is named
MAX_ROWS, MAX_MATRICES = 60, 24  # the highest backbones, where there are more; the tables have all
DARK = 0.72  # share from which white is read better than black: a contrast of at least 4.4 on either side
PUBLISHED_BELOW = 0.26  # of the distance of two rows


def accuracy_figure(table: BackboneTable) -> Figure:
    """One row per backbone, the highest mean at the top; an incomplete one keeps its row, with what was published."""
    cells = table.cells[:MAX_ROWS]
    rows = len(cells)
    figure = Figure(figsize=(7.2, 1.2 + 0.36 * rows), layout="constrained")
    axes = figure.add_subplot()
    families = sorted({backbone.family for backbone in cells})
    for y, backbone in enumerate(cells):
        _dot(axes, y, backbone, figures.look(families.index(backbone.family)))
    axes.set_yticks(range(rows), [short(backbone) for backbone in cells])
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlabel(f"Test accuracy, clips [%]{_cut(rows, len(table.cells))}")
    figures.dress(axes, "x")
    right = axes.twinx()
    right.set_yticks(range(rows), [count(backbone.num_parameters) for backbone in cells], color=figures.GREY)
    right.set_ylim(axes.get_ylim())
    right.tick_params(length=0)
    right.spines[["top", "right", "left"]].set_visible(False)
    right.set_ylabel("trained parameters", color=figures.GREY)
    groups = [(Line2D([], [], linestyle="none", markersize=6, **figures.look(i)), f) for i, f in enumerate(families)]
    figures.legend(figure, groups, any(backbone.published for backbone in cells), upright=False)
    return figure


def best_confusions(table: BackboneTable) -> Figure:
    """The best complete backbone of each family, side by side."""
    best = {backbone.family: backbone for backbone in reversed(table.ranked)}
    return confusion_figure([best[family] for family in sorted(best)], columns=2, inches=3.4)


def confusion_figure(backbones: Sequence[Backbone], columns: int, inches: float) -> Figure:
    """Row-normalised confusion matrices, mean ± sample standard deviation over seeds, in percent.

    Args:
        backbones: complete ones, the highest first.
        columns: most in a row.
        inches: width of one matrix.
    """
    number, backbones = len(backbones), backbones[:MAX_MATRICES]
    columns = min(columns, len(backbones)) or 1
    rows = math.ceil(len(backbones) / columns) or 1
    figure = Figure(figsize=(columns * inches, rows * inches * 1.06), layout="constrained")
    if not backbones:
        figure.text(0.5, 0.5, "No backbone is complete yet.", ha="center", va="center")
        return figure
    if number > len(backbones):
        figure.suptitle(_cut(len(backbones), number).lstrip("; "), fontsize=2.6 * inches)
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(backbones):
            axes.set_axis_off()
            continue
        found, scores = backbones[i].confusion, backbones[i].scores
        assert found  # they are complete
        assert scores
        _matrix(axes, found, inches)
        axes.set_title(f"{short(backbones[i])}\n{mean_std(scores.clip.mean, scores.clip.std)} %", fontsize=2.6 * inches)
        axes.set_xlabel("predicted" if i + columns >= len(backbones) else "", fontsize=2.6 * inches)
        axes.set_ylabel("true" if i % columns == 0 else "", fontsize=2.6 * inches)
    return figure


def _dot(axes: Axes, y: int, backbone: Backbone, look: dict[str, Any]) -> None:
    if backbone.published:
        axes.plot(
            100 * backbone.published.mean, y + PUBLISHED_BELOW, markersize=5, markerfacecolor="white", zorder=2, **look
        )
    if backbone.scores is None:
        axes.annotate(backbone.gap, (0.01, y), xycoords=axes.get_yaxis_transform(), va="center", color="#a33c00")
        return
    clip, over = backbone.scores.clip, backbone.scores.over_recordings
    axes.hlines(y, 100 * over.low, 100 * over.high, color=look["color"], linewidth=6, alpha=0.22, zorder=1)
    axes.errorbar(100 * clip.mean, y, xerr=100 * clip.std, linewidth=1.4, markersize=6, capsize=2.5, zorder=3, **look)


def _cut(shown: int, number: int) -> str:
    return f"; the first {shown} of {number}, the tables have all" if shown < number else ""


def _matrix(axes: Axes, found: Confusion, inches: float) -> None:
    mean, std, size = found.mean, found.std, len(found.classes)
    axes.imshow(mean, cmap="Blues", vmin=0, vmax=1)
    named = slice(None, None, -(-size // MAX_NAMES))
    look: dict[str, Any] = {"parse_math": False, "fontsize": 2.1 * inches}
    places, names = range(size)[named], found.classes[named]
    axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor", **look)
    axes.set_yticks(places, names, **look)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if size > MAX_WORDS:
        return
    for true, said in np.ndindex(size, size):
        share, deviation = float(mean[true, said]), float(std[true, said])
        words = percent(share) if math.isnan(deviation) else f"{percent(share)}\n± {percent(deviation)}"
        colour = "white" if share > DARK else "black"
        axes.text(said, true, words, ha="center", va="center", color=colour, fontsize=min(9, 9.6 * inches / size))
