"""What every figure shares: colours that all readers tell apart, and files that are the same for the same figure."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

from analysis.engine.tables.cells import Table
from sweeps.engine.store.drawing import Artist, Axes, Figure, Line2D, rc_context

# Okabe and Ito's palette: told apart by colour-blind readers; the markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {"svg.hashsalt": "soundings", "svg.fonttype": "path", "font.size": 9}
GREY = "0.35"
LETTERS, HANDLE = 100, 7  # that a row of a legend has room for, and those that a mark takes the place of
DPI, MAX_PIXELS = 200, 6_000  # of a picture; with more networks or classes than are read, dots become fewer


def marks_of(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th group; the first 36 are all different."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]}


def score_label(table: Table) -> str:
    """What an axis of scores is called."""
    return f"Test {table.score.title}, clips{' [%]' * table.score.is_share}"


def cut(shown: int, number: int) -> str:
    """What is said where not all rows are shown; empty where they are."""
    return f"the first {shown} of {number}, the tables have all" if shown < number else ""


def dress(axes: Axes, values: str) -> None:
    """A light grid across the axis of the values ("x" or "y"), and no box."""
    axes.grid(axis=values, color="0.9", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, groups: Sequence[tuple[Artist, str]], published: bool, upright: bool) -> None:
    """Groups in the first rows, what the marks mean in the last.

    Args:
        figure: that it stands above.
        groups: a handle and a name for each.
        published: whether there are published means.
        upright: whether values go up, along lines; else to the right, as single dots.
    """
    marks = _marks(published, upright)
    blank = (Line2D([], [], linestyle="none"), "")
    abreast = max(1, LETTERS // (HANDLE + max((len(name) for _, name in groups), default=0)))
    rows = [*(groups[i : i + abreast] for i in range(0, len(groups), abreast)), marks]
    columns = list(itertools.zip_longest(*rows, fillvalue=blank))  # a legend fills its columns first
    handles, labels = zip(*itertools.chain.from_iterable(columns), strict=True)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(columns), frameon=False)


def png(figure: Figure) -> bytes:
    """The figure as PNG at 200 dots per inch, fewer where it would have more than 6,000 a side."""
    return _saved(figure, "png")


def svg(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure."""
    return _saved(figure, "svg").decode()


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
    found = [(deviation, "± std over seeds"), (band, "95 % over recordings")]
    return [*found, (hollow, "published mean")] if published else found
