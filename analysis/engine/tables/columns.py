"""What a ranking tells of its rows beside their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.engine.tables.ranking import Ranked


@dataclass(frozen=True)
class Column:
    """A fact of each row, which the CSV file has whatever the tables show."""

    name: str  # in the CSV file
    head: str  # over the column
    value: Callable[[Ranked], object]
    words: Callable[[Ranked], str] | None = None  # in the tables; None for the value as it is
    origin: bool = False  # stands in the last table, beside what the publication says of the row, and not in the first
    groups: bool = False  # rows of one value share a colour, and the best of each has its matrix
    axis: str = ""  # what it is called at the right of the figure; empty if it is not there
    tells: str = ""  # the field of `TrialConfig` that it says all of
    caption: str = ""  # below the first table

    def text(self, row: Ranked) -> str:
        """What the tables print."""
        return self.words(row) if self.words else str(self.value(row))
