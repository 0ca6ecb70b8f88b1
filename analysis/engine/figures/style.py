"""The style of every figure: colours that all readers can tell apart, and identical files for identical figures."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

from analysis.engine.tables.cells import Table
from sweeps.engine.store.drawing import Artist, Axes, Figure, Line2D, rc_context

# Okabe and Ito's palette, which colour-blind readers can tell apart; the markers distinguish groups in greyscale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {"svg.hashsalt": "soundings", "svg.fonttype": "path", "font.size": 9}
GREY = "0.35"
FAINT = "0.9"  # of a grid of lines
GAP = "#a33c00"
ON_LIGHT, ON_DARK = "#111418", "#fbfcfd"  # letters on a coloured field, which keep their colour on a dark page
BEYOND = 2.0  # percent, so that a mark at 0 or 100 is whole
HOVER = "hover:"  # begins the id of a mark that shows a value, as a group of the SVG
# The colours of a page, light or dark, that take the place of a figure's own: `analysis/templates/base.html` has both.
PAGE = {
    "#000000": "var(--ink)",
    "#ffffff": "var(--paper)",
    "#595959": "var(--soft)",
    "#e6e6e6": "var(--line)",
    "#a33c00": "var(--warn)",
    **{colour.lower(): f"var(--series-{i})" for i, colour in enumerate(COLOURS)},
}
LETTERS, HANDLE = 100, 7  # letters that fit in a row of a legend, and the width of a mark in letters
DPI, MAX_PIXELS = 200, 6_000  # dots per inch, reduced where a side would exceed so many pixels


def marks_of(i: int) -> dict[str, Any]:
    """The colour and marker of the i-th group; the first 36 are all different."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]}


def score_label(table: Table) -> str:
    """The label of an axis of scores."""
    return f"Test {table.score.title}, {table.score.unit}s{' [%]' * table.score.is_share}"


def cut(shown: int, number: int) -> str:
    """A note that not all rows are shown; empty if they are."""
    return f"the first {shown} of {number}; the tables have all" if shown < number else ""


def dress(axes: Axes, values: str) -> None:
    """Draws a light grid across the axis of the values ("x" or "y"), and removes the box."""
    axes.grid(axis=values, color=FAINT, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, groups: Sequence[tuple[Artist, str]], published: bool, upright: bool) -> None:
    """Adds a legend: groups in the first rows, the meaning of the marks in the last.

    Args:
        figure: the figure, above which the legend is placed.
        groups: a handle and a name for each group.
        published: whether there are published means.
        upright: whether values are on the vertical axis, along lines; otherwise horizontal, as single dots.
    """
    marks = _marks(published, upright)
    blank = (Line2D([], [], linestyle="none"), "")
    abreast = max(1, LETTERS // (HANDLE + max((len(name) for _, name in groups), default=0)))
    rows = [*(groups[i : i + abreast] for i in range(0, len(groups), abreast)), marks]
    columns = list(itertools.zip_longest(*rows, fillvalue=blank))  # a legend fills its columns first
    handles, labels = zip(*itertools.chain.from_iterable(columns), strict=True)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(columns), frameon=False)


def within_shares(axes: Axes, values: str) -> None:
    """Cuts the axis of percentages ("x" or "y") just beyond 0 and 100, where only whiskers can lie."""
    low, high = axes.get_xlim() if values == "x" else axes.get_ylim()
    cut_at = max(low, -BEYOND), min(high, 100 + BEYOND)
    (axes.set_xlim if values == "x" else axes.set_ylim)(cut_at)


def hover(axes: Axes, x: float, y: float, words: str) -> None:
    """Shows `words` where the pointer rests on a point: an invisible mark, which `svg` gives a title."""
    if math.isfinite(x) and math.isfinite(y):
        axes.plot(x, y, marker="o", markersize=13, linestyle="none", alpha=0, zorder=9, gid=f"{HOVER}{words}")


def in_page(svg: str) -> str:
    """A figure to embed in a page: in the page's colours, and without the XML prologue, which HTML does not allow."""
    svg = svg[svg.index("<svg") :]
    return re.sub(r"(?<=[:\s])#[0-9a-f]{6}\b", lambda colour: PAGE.get(colour[0], colour[0]), svg)


def png(figure: Figure) -> bytes:
    """The figure as a PNG at 200 dots per inch, or fewer where a side would exceed 6,000 pixels."""
    return _saved(figure, "png")


def svg(figure: Figure) -> str:
    """The figure as SVG, with a title on each mark of `hover`; identical figures give identical text."""
    return re.sub(
        f'<g id="{HOVER}([^"]*)">', r'<g pointer-events="all"><title>\1</title>', _saved(figure, "svg").decode()
    )


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with rc_context(STYLE):
        dpi = min(DPI, MAX_PIXELS / max(figure.get_size_inches()))
        figure.savefig(buffer, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _marks(published: bool, upright: bool) -> list[tuple[Line2D, str]]:
    whisker = "|" if upright else "_"
    deviation = Line2D([], [], color=GREY, marker=whisker, markersize=8, markeredgewidth=1.4, linestyle="none")
    band = Line2D([], [], color=GREY, linewidth=4, alpha=0.3)
    line = "--" if upright else "none"
    hollow = Line2D([], [], color=GREY, linewidth=0.8, linestyle=line, marker="o", markerfacecolor="white")  # type: ignore[arg-type]
    spreads = [(deviation, "± std over seeds"), (band, "95 % on recordings to come")]
    return [*spreads, (hollow, "published mean")] if published else spreads
