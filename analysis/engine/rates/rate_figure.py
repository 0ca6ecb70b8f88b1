"""Accuracy over the data rate, one line per pre-training rate, with both spreads and the published values."""

from __future__ import annotations

import math
from typing import Any

from analysis.engine import figures
from analysis.engine.cells import Cell
from analysis.engine.rates.rates import RateTable
from analysis.engine.wording import khz
from sweeps.engine.store.drawing import Axes, Figure

DODGE = 2 ** (1 / 6)  # between neighbouring lines, so that no whisker hides another


def rate_figure(table: RateTable) -> Figure:
    """Test accuracy over data sampling rate; an incomplete cell leaves a gap in its line."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rates = table.pretrain_rates_hz
    for i, pretrain_hz in enumerate(rates):
        cells = [table.cell(pretrain_hz, data_hz) for data_hz in table.data_rates_hz]
        shift = DODGE ** (i - (len(rates) - 1) / 2)
        look = figures.look(i)
        _ours(axes, table.data_rates_hz, cells, shift, look, table.model(pretrain_hz))
        _published(axes, table.data_rates_hz, cells, shift * DODGE**0.3, look)
    _dress(figure, axes, table)
    return figure


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


def _dress(figure: Figure, axes: Axes, table: RateTable) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(table.data_rates_hz, [khz(hz) for hz in table.data_rates_hz])
    axes.minorticks_off()
    axes.set_xlabel("Data sampling rate")
    axes.set_ylabel("Test accuracy, clips [%]")
    figures.dress(axes, "y")
    groups = list(zip(*axes.get_legend_handles_labels(), strict=True))
    published = any(cell.published for cell in table.cells)
    figures.legend(figure, groups, published, upright=True)
