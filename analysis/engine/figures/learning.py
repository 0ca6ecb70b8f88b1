"""Learning curves: a panel for each setting, a line for each of its runs, a dot at the epoch that was kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.engine.figures import style
from analysis.engine.wording import number, scale, unit
from sweeps.engine.store.drawing import Axes, Figure, Line2D, MaxNLocator

MAX_PANELS = 24  # the first ones are drawn
ABREAST = 4


@dataclass(frozen=True)
class Curve:
    """The epochs of one run."""

    name: str  # of the run, such as `seed 1`
    epochs: Sequence[Mapping[str, float]]  # by metric, with the number `epoch`
    kept: int  # the epoch whose weights were scored; 0 if it is unknown


@dataclass(frozen=True)
class Panel:
    """The runs of one setting."""

    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Quantity:
    """A quantity over the epochs."""

    label: str  # of the vertical axis
    share: bool
    metrics: Mapping[str, str]  # by name, what each is called


def learning(panels: Sequence[Panel], shown: Quantity, abreast: int = ABREAST) -> Figure:
    """Small multiples with common axes, at most 24.

    Args:
        panels: the settings, in the order of their table.
        shown: the metrics, the first in full lines and the second in dashed ones.
        abreast: the most panels side by side, such as the columns of a table.
    """
    drawn = panels[:MAX_PANELS]
    columns = min(abreast, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(min(7.2, 2.4 * columns), 0.9 + 1.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for i, axes in enumerate(grid.flat):
        if i >= len(drawn):
            axes.set_axis_off()
            continue
        _panel(axes, drawn[i], shown)
        if i + columns >= len(drawn):  # the lowest panel of its column
            axes.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(shown.label, fontsize=9)
    if cut := style.cut(len(drawn), len(panels)):
        figure.suptitle(cut, fontsize=8)
    _legend(figure, shown)
    return figure


def _panel(axes: Axes, panel: Panel, shown: Quantity) -> None:
    times = scale(shown.share)
    for curve in panel.curves:
        for i, metric in enumerate(shown.metrics):
            points = [(row["epoch"], times * row[metric]) for row in curve.epochs if metric in row]
            if not points:
                continue
            x, y = zip(*points, strict=True)
            marker = "." if len(points) == 1 else ""
            axes.plot(x, y, color=style.COLOURS[i], linewidth=1, alpha=0.6, linestyle=_line(i), marker=marker)
            if i == 0:
                _kept(axes, panel, curve, dict(points), shown)
    axes.set_title(panel.title, fontsize=7.5, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    style.dress(axes, "y")


def _kept(axes: Axes, panel: Panel, curve: Curve, values: Mapping[float, float], shown: Quantity) -> None:
    """Marks the epoch that was kept, with its value for the pointer."""
    if curve.kept not in values:
        return
    value, (name, *_) = values[curve.kept], shown.metrics.values()
    axes.plot(curve.kept, value, marker="o", markersize=3.2, color=style.COLOURS[0], linestyle="none")
    words = f"{number(value / scale(shown.share), shown.share)}{unit(shown.share)}"
    style.hover(axes, curve.kept, value, f"{panel.title}, {curve.name}: {name} {words} at the kept epoch, {curve.kept}")


def _line(i: int) -> Literal["-", "--"]:
    return "--" if i % 2 else "-"


def _legend(figure: Figure, shown: Quantity) -> None:
    lines = [Line2D([], [], color=style.COLOURS[i], linestyle=_line(i)) for i in range(len(shown.metrics))]
    dot = Line2D([], [], color=style.COLOURS[0], marker="o", markersize=3.2, linestyle="none")
    names = [*shown.metrics.values(), "kept epoch"]
    figure.legend([*lines, dot], names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=8)
