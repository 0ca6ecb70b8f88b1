"""The sentences that a report opens with: how far two values of an axis lie apart, where each column is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.engine import stats
from analysis.engine.tables import labels
from analysis.engine.tables.cells import Material, same_clips
from analysis.engine.tables.pivot import PivotTable, ordered
from analysis.engine.tables.ranking import RankingTable
from analysis.engine.wording import number, signed, unit

if TYPE_CHECKING:
    from jaxtyping import Float

    from analysis.engine.rows import Predictions
    from trainable.learning.score import ClipScore

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def of_pivot(table: PivotTable, made_of: Material) -> tuple[str, ...]:
    """A sentence for each axis of two values, the second against the first, and one on where each column is best.

    Which of two values is the first is a choice of the plan and not of the scores, so that the interval holds as it
    stands. The best of several is a choice of the scores, and is told without an interval. There are no sentences
    before all cells are complete.
    """
    if not table.complete:
        return ()
    values = {axis: ordered(cell.value(axis) for cell in table.cells) for axis in table.axes}
    sentences = [_best_rows(table)] if len(values[table.down]) > 2 else []
    sentences += [_contrast(table, made_of, axis, both) for axis, both in values.items() if len(both) == 2]
    return tuple(filter(None, sentences))


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
        column = f" for {table.named(table.across, across)}" if table.across else ""
        span = number(abs(best - worst), share)
        parts.append(f"{row}{column} ({number(best, share)}{unit(share)}; {span}{' points' * share} from its worst)")
    field = labels.title(table.down)
    return f"The {field} with the best test {table.score.title}: {', '.join(parts)}." if parts else ""


def of_ranking(table: RankingTable) -> tuple[str, ...]:
    """The best value, and how many pairs of values the seeds tell apart."""
    if not table.complete or len(table.ranked) < 2:
        return ()
    best = table.ranked[0]
    assert best.scores
    score = f"{number(best.scores.clip.mean, table.score.is_share)}{unit(table.score.is_share)}"
    apart = sum(pair.told_apart for pair in table.pairs)
    if len(table.pairs) > 1:
        test = (
            f"a t-test over seeds, corrected for their number (Holm), tells {apart} of {len(table.pairs)} pairs apart"
        )
    else:
        test = f"a t-test over seeds {'tells' if apart else 'does not tell'} the pair apart"
    return (f"{table.title(best)} comes first, with a test {table.score.title} of {score}; {test}.",)


def _contrast(table: PivotTable, made_of: Material, axis: str, ends: tuple[Any, Any]) -> str:
    """The sentence on one axis; empty where the trials of its ends do not pair up."""
    first, last = (_by_clip(table.score, made_of, axis, end) for end in ends)
    if first is None or last is None or first.shape != last.shape:
        return ""
    share = table.score.is_share
    interval95 = stats.two_way(last - first, next(iter(made_of.predictions.values())).recording)
    low, high = interval95.low, interval95.high
    if math.isnan(low):
        interval, verdict = "the interval is unknown", ""
    else:
        interval = f"95 % interval over seeds and recordings {signed(low, share)} to {signed(high, share)}"
        verdict = "; this may be chance" if low <= 0 <= high else ""
    others = [other for other in table.axes if other != axis and len({cell.value(other) for cell in table.cells}) > 1]
    names = [table.named(axis, value) for value in ends]
    means = [f"{number(float(values.mean()), share)}{unit(share)}" for values in (first, last)]
    return (
        f"From {names[0]} to {names[1]}, test {table.score.title} goes from {means[0]} to {means[1]}"
        f"{''.join(f', averaged over {_counted(table, other)}' for other in others)}: "
        f"{signed(float((last - first).mean()), share)}{' points' * share} ({interval}){verdict}."
    )


def _counted(table: PivotTable, axis: str) -> str:
    number_of = len({cell.value(axis) for cell in table.cells})
    word = NUMBERS[number_of] if number_of < len(NUMBERS) else str(number_of)
    return f"the {word} {labels.plural(axis)}"


def _by_clip(score: ClipScore, made_of: Material, axis: str, value: Any) -> Float[np.ndarray, "seeds clips"] | None:
    """Each seed's score on each clip, averaged over the cells with one value; None if their clips differ."""
    rows = made_of.rows[made_of.rows[axis] == value]
    predictions: Mapping[str, Predictions] = made_of.predictions
    reference = next(iter(predictions.values()))
    seeds: list[Sequence[Float[np.ndarray, " clips"]]] = []
    for _, group in rows.groupby("seed", sort=True):
        trials = [predictions[key] for key in group["key"]]
        if not all(same_clips(reference, trial) for trial in trials):
            return None
        seeds.append([score.of_clips(trial.logits, trial.labels) for trial in trials])
    if len({len(cells) for cells in seeds}) != 1:
        return None
    return np.mean(np.array(seeds, np.float64), axis=1)
