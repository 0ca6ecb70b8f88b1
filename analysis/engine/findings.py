"""The sentences that a report opens with: how far two values of an axis lie apart, where each column is best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.engine.inference import estimates, influences
from analysis.engine.inference.influences import Influence
from analysis.engine.tables import labels
from analysis.engine.tables.cells import Material, same_clips
from analysis.engine.tables.pivot import PivotTable, ordered
from analysis.engine.tables.ranking import RankingTable
from analysis.engine.wording import number, rounded, signed, unit
from datasets.engine.words.suggest import listed

if TYPE_CHECKING:
    from jaxtyping import Float

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
        best = [down for down, mean in means.items() if mean == table.score.best(means.values())]
        matched += best == [across]
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
    first, last = (_by_seed(table, made_of, axis, end) for end in ends)
    if first is None or last is None or first[0].shape != last[0].shape:
        return ""
    share, difference = table.score.is_share, last[0] - first[0]
    interval95 = estimates.estimate(difference, last[1] - first[1]).interval()
    low, high = interval95.low, interval95.high
    if math.isnan(low) or len(difference) < 2:
        interval, verdict = "the interval is unknown", ""
    else:
        interval = f"95 % interval on recordings to come {signed(low, share)} to {signed(high, share)}"
        verdict = "; this may be chance" if low <= 0 <= high else ""
    others = [other for other in table.axes if other != axis and len({cell.value(other) for cell in table.cells}) > 1]
    names = [table.named(axis, value) for value in ends]
    means = [f"{number(float(values.mean()), share)}{unit(share)}" for values in (first[0], last[0])]
    return (
        f"From {names[0]} to {names[1]}, test {table.score.title} goes from {means[0]} to {means[1]}"
        f"{''.join(f', averaged over {_counted(table, other)}' for other in others)}: "
        f"{signed(float(difference.mean()), share)}{' points' * share} ({interval}){verdict}."
    )


def _counted(table: PivotTable, axis: str) -> str:
    number_of = len({cell.value(axis) for cell in table.cells})
    word = NUMBERS[number_of] if number_of < len(NUMBERS) else str(number_of)
    return f"the {word} {labels.plural(axis)}"


def _by_seed(
    table: PivotTable, made_of: Material, axis: str, value: Any
) -> tuple[Float[np.ndarray, " seeds"], Influence] | None:
    """The score averaged over the cells with one value, by seed; and how far each group of recordings moves it.

    None if the cells were scored on different clips, or do not have the same number of seeds.
    """
    rows, predictions, score = made_of.rows[made_of.rows[axis] == value], made_of.predictions, table.score
    reference = next(iter(predictions.values()))
    seeds = []
    for _, group in rows.groupby("seed", sort=True):
        trials = [predictions[key] for key in group["key"]]
        if not all(same_clips(reference, trial) for trial in trials):
            return None
        seeds.append([score.of(trial.logits, trial.labels, trial.recording) for trial in trials])
    if len({len(cells) for cells in seeds}) != 1:
        return None
    of_cells = [cell.scores.influence for cell in table.cells if cell.value(axis) == value and cell.scores]
    return np.mean(np.array(seeds), axis=1), influences.mean(of_cells)
