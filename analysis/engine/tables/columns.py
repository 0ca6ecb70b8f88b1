"""Facts that a ranking shows about its rows, beside their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.engine.tables.ranking import Ranked


@dataclass(frozen=True)
class Column:
    """A fact about each row. It is always in the CSV file, whatever the tables show."""

    name: str  # its name in the CSV file
    head: str  # its heading in the tables
    value: Callable[[Ranked], object]
    words: Callable[[Ranked], str] | None = None  # its text in the tables; None for the plain value
    origin: bool = False  # whether it is in the last table, beside the published facts, instead of in the first
    groups: bool = False  # whether rows with the same value share a colour, and the best of each has a matrix
    axis: str = ""  # its label at the right of the figure; empty if it is not there
    tells: str = ""  # the field of `TrialConfig` that it makes plain
    caption: str = ""  # its caption below the first table

    def text(self, row: Ranked) -> str:
        """The text in the tables."""
        return self.words(row) if self.words else str(self.value(row))
