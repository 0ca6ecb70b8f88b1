"""Accuracy over the data rate, one line per pre-training rate, with both spreads and the published values."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.rates import Cell, RateTable
from analysis.wording import khz, model

# Okabe and Ito's palette: told apart by colour-blind readers; the markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
DODGE = 2 ** (1 / 6)  # between neighbouring lines, so that no whisker hides another
STYLE: dict[Any, Any] = {"svg.hashsalt": "soundings", "svg.fonttype": "path", "font.size": 9}


def rate_figure(table: RateTable) -> Figure:
    """Test accuracy over data sampling rate; an incomplete cell leaves a gap in its line."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rates = table.pretrain_rates_hz
    for i, pretrain_hz in enumerate(rates):
        cells = [table.cell(pretrain_hz, data_hz) for data_hz in table.data_rates_hz]
        shift = DODGE ** (i - (len(rates) - 1) / 2)
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        _ours(axes, table.data_rates_hz, cells, shift, look, model(table, pretrain_hz))
        _published(axes, table.data_rates_hz, cells, shift * DODGE**0.3, look)
    _dress(axes, table)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG at 200 dots per inch."""
    return _saved(figure, "png")


def svg(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure."""
    return _saved(figure, "svg").decode()


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _ours(
    axes: Axes, rates_hz: tuple[int, ...], cells: list[Cell | None], shift: float, look: dict[str, Any], label: str
) -> None:
    x = [hz * shift for hz in rates_hz]
    scores = [cell.scores if cell else None for cell in cells]
    mean = [100 * s.clip.mean if s else math.nan for s in scores]
    std = [100 * s.clip.std if s else math.nan for s in scores]
    low = [100 * s.over_recordings.low if s else math.nan for s in scores]
    high = [100 * s.over_recordings.high if s else math.nan for s in scores]
    axes.vlines(x, low, high, color=look["color"], linewidth=4, alpha=0.22, zorder=1)
    axes.errorbar(x, mean, yerr=std, linewidth=1.4, markersize=5, capsize=2.5, label=label, zorder=3, **look)


def _published(
    axes: Axes, rates_hz: tuple[int, ...], cells: list[Cell | None], shift: float, look: dict[str, Any]
) -> None:
    beside = [cell.published if cell else None for cell in cells]
    if not any(beside):
        return
    x = [hz * shift for hz in rates_hz]
    mean = [100 * cell.mean if cell else math.nan for cell in beside]
    axes.plot(x, mean, linestyle="--", linewidth=0.8, markersize=5, markerfacecolor="white", zorder=2, **look)


def _dress(axes: Axes, table: RateTable) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(table.data_rates_hz, [khz(hz) for hz in table.data_rates_hz])
    axes.minorticks_off()
    axes.set_xlabel("Data sampling rate")
    axes.set_ylabel("Test accuracy, clips [%]")
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes, any(cell.published for cell in table.cells))


def _legend(axes: Axes, published: bool) -> None:
    """Models in the first row, what the marks mean in the second; a legend fills its columns first."""
    models, names = axes.get_legend_handles_labels()
    grey = "0.35"
    marks: list[tuple[object, str]] = [
        (
            Line2D([], [], color=grey, marker="|", markersize=8, markeredgewidth=1.4, linestyle="none"),
            "± std over seeds",
        ),
        (Line2D([], [], color=grey, linewidth=4, alpha=0.3), "95 % over recordings"),
    ]
    if published:
        hollow = Line2D([], [], color=grey, linewidth=0.8, linestyle="--", marker="o", markerfacecolor="white")
        marks.append((hollow, "published mean"))
    blank = (Line2D([], [], linestyle="none"), "")
    pairs = itertools.zip_longest(zip(models, names, strict=True), marks, fillvalue=blank)
    handles, labels = zip(*itertools.chain.from_iterable(pairs), strict=True)
    axes.figure.legend(handles, labels, loc="outside upper center", ncols=max(len(models), len(marks)), frameon=False)
