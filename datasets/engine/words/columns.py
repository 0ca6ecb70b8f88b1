"""Lays out rows of text in columns, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 80  # characters of a terminal's line


def aligned(rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """The rows as text with aligned columns, two blanks apart.

    Args:
        rows: rows with the same number of cells; the last cell is wrapped, and may have several lines.
        width: maximum length of a line [characters].
    """
    widths = [max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[:-1]]
    lines = []
    for *cells, last in rows:
        head = "".join(f"{cell:<{wide}}" for cell, wide in zip(cells, widths, strict=True))
        for number, line in enumerate(_wrapped(last, width - sum(widths))):
            lines.append(f"{head if number == 0 else ' ' * len(head)}{line}".rstrip())
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")]
    return [line for wrapped in lines for line in wrapped] or [""]
