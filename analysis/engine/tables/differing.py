"""Fields that differ between the cells of a table, so that more was varied than the table shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis.engine.protocol import words
from analysis.engine.tables.cells import Cell
from sweeps.engine.plan import stated

Values = Mapping[object, tuple[str, ...]]  # a field's value -> the titles of the cells with that value
Title = Callable[[Cell], str]


def differing(cells: Sequence[Cell], titles: Sequence[Title], shown: Iterable[str]) -> dict[str, Values]:
    """The fields and settings of parts that differ between cells, each with its values.

    Args:
        cells: the cells of a table.
        titles: ways to name a cell, such as by its column; for each field the first that implies one value is used.
        shown: fields that the table already shows.
    """
    differences: dict[str, Values] = {}
    for field in stated(cell.trial for cell in cells):
        if field in ("seed", *shown):
            continue
        title = next((t for t in titles if _one_value(cells, field, t)), titles[-1])
        values: dict[object, dict[str, None]] = {}
        for cell in cells:
            values.setdefault(cell.value(field), {})[title(cell)] = None
        if len(values) > 1:
            differences[field] = {value: tuple(names) for value, names in values.items()}
    return differences


def captions(
    differences: Mapping[str, Values], noun: str, those: Callable[[tuple[str, ...]], str] = ", ".join
) -> list[str]:
    """One line on the fields that differ; none if all are alike.

    Args:
        differences: the result of `differing`.
        noun: the plural noun for the cells.
        those: a function that joins several titles in words.
    """
    parts = []
    for field, values in differences.items():
        common = max(values, key=lambda value: len(values[value]))
        others = [f"{words([value])} for {those(names)}" for value, names in values.items() if value != common]
        parts.append(f"{field} ({words([common])}; {'; '.join(others)})")
    return [f"Not the same for all {noun}: {', '.join(parts)}."] if parts else []


def _one_value(cells: Sequence[Cell], field: str, title: Title) -> bool:
    return len({(title(cell), cell.value(field)) for cell in cells}) == len({title(cell) for cell in cells})
