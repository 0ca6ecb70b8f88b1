"""The cautions of a table: what a reader must know before its numbers are believed."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.engine.inference.constant import MARK, a
from analysis.engine.tables.cells import Cell, Table
from analysis.engine.wording import EVERYTHING, number, rounded, unit, within

MOST_NAMES = 6  # cells that are named; of more, the number is told


def cautions(table: Table) -> tuple[str, ...]:
    """The sentences of caution, each on one weakness of the numbers; none of an incomplete cell."""
    complete = [cell for cell in table.cells if cell.scores]
    found = (_ties(table), _one_class(table, complete), _below_majority(table, complete), _few_seeds(table, complete))
    return tuple(filter(None, (*found, _beyond(table, complete))))


def told(table: Table, cells: Sequence[Cell]) -> str:
    """The cells by name, or by their number where they are many or all."""
    if len(cells) == len(table.cells) > 1:
        return f"all {len(cells)} cells"
    if len(cells) > MOST_NAMES:
        return f"{len(cells)} of {len(table.cells)} cells"
    return "; ".join(table.title(cell) for cell in cells)


def _ties(table: Table) -> str:
    """A tie for the best mean, as it is printed."""
    cells = [cell for cell in table.cells if cell.scores]
    if not table.complete or len(cells) < 2:
        return ""
    share = table.score.is_share
    printed = [rounded(cell.scores.clip.mean, share) for cell in cells if cell.scores]
    best = [cell for cell, value in zip(cells, printed, strict=True) if value == table.score.best(printed)]
    if len(best) < 2:
        return ""
    assert best[0].scores
    value = f"{number(best[0].scores.clip.mean, share)}{unit(share)}"
    if len(best) == len(cells):
        return f"No setting is better than another: {told(table, best)} have the same mean, {value}."
    return f"A tie for the best mean, {value}: {told(table, best)}."


def _one_class(table: Table, cells: Sequence[Cell]) -> str:
    found = [cell for cell in cells if cell.scores and cell.scores.constant.num_seeds]
    networks = sum(cell.scores.constant.num_seeds for cell in found if cell.scores)
    if not found:
        return ""
    verb = "networks name" if networks > 1 else "network names"
    return f"{networks} {verb} one class for every test clip, and have learnt nothing ({MARK}): {told(table, found)}."


def _below_majority(table: Table, cells: Sequence[Cell]) -> str:
    better, share = table.score.best, table.score.is_share
    found = []
    for cell in cells:
        assert cell.scores
        mean, level = cell.scores.clip.mean, cell.scores.constant.of_majority
        if level == level and mean != level and better((mean, level)) == level:
            found.append(cell)
    if not found:
        return ""
    assert found[0].scores
    constant = found[0].scores.constant
    one = {cell.scores.constant.majority for cell in found if cell.scores} == {constant.majority}
    least = f" ({constant.majority}: {number(constant.of_majority, share)}{unit(share)})" if one else ""
    return f"Worse than naming the most frequent training class for every clip{least}: {told(table, found)}."


def _few_seeds(table: Table, cells: Sequence[Cell]) -> str:
    found = [cell for cell in cells if cell.scores and cell.scores.clip.n == 1]
    if not found:
        return ""
    return f"One seed only (n = 1), so that chance in training cannot be told from effect: {told(table, found)}."


def _beyond(table: Table, cells: Sequence[Cell]) -> str:
    """The cells whose interval over seeds is wider than all values that their score can have."""
    if not table.score.is_share:
        return ""
    found = [
        cell for cell in cells if cell.scores and within(cell.scores.clip.interval, table.score.is_share) == EVERYTHING
    ]
    if not found:
        return ""
    seeds = sorted({cell.scores.clip.n for cell in found if cell.scores})
    n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"With n = {n} seeds that differ so much, {a(table.score.title)} is unknown within 0 to 100 %: "
        f"{told(table, found)}."
    )
