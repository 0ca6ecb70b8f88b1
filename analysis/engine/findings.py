"""The sentences that a report opens with: how far two values of an axis lie apart, where each column is best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analysis.engine.inference.sides import side
from analysis.engine.tables import labels
from analysis.engine.tables.cells import Material
from analysis.engine.tables.pivot import PivotTable, ordered
from analysis.engine.tables.ranking import RankingTable
from analysis.engine.wording import number, rounded, signed, unit
from datasets.engine.words.suggest import listed

if TYPE_CHECKING:
    pass

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def of_pivot(table: PivotTable, made_of: Material) -> tuple[str, ...]:
    """A sentence for each axis of two values, the second against the first, and one on where each column is best.

    Which of two values is the first is a choice of the plan and not of the scores, so that the interval holds as it
    stands. The best of several is a choice of the scores, and is told without an interval. There are no sentences
    before all cells are complete.
    """
    if not table.complete:
        return ()
    share = table.score.is_share
    means = {number(cell.scores.clip.mean, share) for cell in table.cells if cell.scores}
    if len(means) == 1 < len(table.cells):
        return (
            f"No setting is better than another: all have a test {table.score.title} of {means.pop()}{unit(share)}.",
        )
    values = {axis: ordered(cell.value(axis) for cell in table.cells) for axis in table.axes}
    sentences = [_matching(table), _best_rows(table)] if len(values[table.down]) > 2 else []
    sentences += [_contrast(table, made_of, axis, both) for axis, both in values.items() if len(both) == 2]
    return tuple(filter(None, sentences))


def _matching(table: PivotTable) -> str:
    """The sentence on a pivot of two rates: for how many columns the row of the same rate is the best one."""
    unit_of = [axis.rpartition("_")[2] for axis in table.axes]
    shared = [across for across in table.across_values if across in table.down_values]
    if len(unit_of) < 2 or unit_of[0] != unit_of[1] or len(shared) < 2:
        return ""
    matched = 0
    for across in shared:
        cells = {down: cell for down in table.down_values if (cell := table.cell(down, across))}
        means = {down: cell.scores.clip.mean for down, cell in cells.items() if cell.scores}
        rows = [down for down, mean in means.items() if mean == table.score.best(means.values())]
        matched += rows == [across]
    words = [NUMBERS[n] if n < len(NUMBERS) else str(n) for n in (matched, len(shared))]
    which = {0: "none", len(shared): "each"}.get(matched, words[0])
    across, down = labels.title(table.across), labels.title(table.down)
    same = f"The {down} that equals the {across} has the best test {table.score.title}"
    return f"{same} for {which} of the {words[1]} {labels.plural(table.across)}."


def _best_rows(table: PivotTable) -> str:
    """The row with the best score of each column, and how far its worst is from it."""
    share, parts = table.score.is_share, []
    for across in table.across_values:
        cells = [cell for down in table.down_values if (cell := table.cell(down, across)) and cell.scores]
        scores = [cell.scores.clip.mean for cell in cells if cell.scores]
        if len(scores) < 2:
            continue
        best, worst = table.score.best(scores), min(scores) if table.score.higher_is_better else max(scores)
        row = table.named(table.down, cells[scores.index(best)].value(table.down))
        if rounded(best, share) == rounded(worst, share):
            row = "all alike"
        column = f" for {table.named(table.across, across)}" if table.across else ""
        span = number(abs(best - worst), share)
        parts.append(f"{row}{column} ({number(best, share)}{unit(share)}; {span}{' points' * share} from its worst)")
    field = labels.title(table.down)
    return f"The {field} with the best test {table.score.title}: {', '.join(parts)}." if parts else ""


def of_ranking(table: RankingTable) -> tuple[str, ...]:
    """The best value, and how many pairs of values are told apart on recordings to come."""
    if not table.complete or len(table.ranked) < 2:
        return ()
    best = table.ranked[0]
    assert best.scores
    share = table.score.is_share
    printed = number(best.scores.clip.mean, share)
    score = f"{printed}{unit(share)}"
    apart = sum(pair.told_apart for pair in table.pairs)
    if len(table.pairs) > 1:
        test = f"{apart} of {len(table.pairs)} pairs are told apart on recordings to come (corrected for their number)"
    else:
        test = f"the pair is {'' if apart else 'not '}told apart on recordings to come"
    tied = [table.title(row) for row in table.ranked if row.scores and number(row.scores.clip.mean, share) == printed]
    first = (
        f"{table.title(best)} comes first" if len(tied) == 1 else f"{len(tied)} share the first place ({listed(tied)})"
    )
    return (f"{first}, with a test {table.score.title} of {score}; {test}.",)


def _contrast(table: PivotTable, made_of: Material, axis: str, ends: tuple[Any, Any]) -> str:
    """The sentence on one axis; empty where the trials of its ends do not pair up."""
    share, rows = table.score.is_share, made_of.rows
    first, last = (side(rows[rows[axis] == end], made_of.predictions, table.score) for end in ends)
    if first is None or last is None or set(first.scores) != set(last.scores) or not first.shares(last):
        return ""
    contrast = last.less(first)
    difference, interval95 = contrast.here.value, contrast.interval95
    low, high = interval95.low, interval95.high
    if math.isnan(low):
        interval, verdict = "the interval is unknown", ""
    else:
        interval = f"95 % interval on recordings to come {signed(low, share)} to {signed(high, share)}"
        verdict = "; this may be chance" if low <= 0 <= high else ""
    others = [other for other in table.axes if other != axis and len({cell.value(other) for cell in table.cells}) > 1]
    names = [table.named(axis, value) for value in ends]
    means = [f"{number(its.mean, share)}{unit(share)}" for its in (first, last)]
    return (
        f"From {names[0]} to {names[1]}, test {table.score.title} goes from {means[0]} to {means[1]}"
        f"{''.join(f', averaged over {_counted(table, other)}' for other in others)}: "
        f"{signed(difference, share)}{' points' * share} ({interval}){verdict}."
    )


def _counted(table: PivotTable, axis: str) -> str:
    number_of = len({cell.value(axis) for cell in table.cells})
    word = NUMBERS[number_of] if number_of < len(NUMBERS) else str(number_of)
    return f"the {word} {labels.plural(axis)}"
