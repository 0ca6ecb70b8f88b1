"""The sentences that a report opens with: how far the ends of its axes lie apart, or which value comes first."""

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
    """A sentence for each axis that has two ends: its last value against its first, over all values of the other.

    The ends are chosen by the plan and not by the scores, so that the interval holds as it stands. An axis of three or
    more words has no ends. There is no sentence before all cells are complete, nor for trials of different clips.
    """
    if not table.complete:
        return ()
    sentences = []
    for axis in table.axes:
        values = ordered(cell.value(axis) for cell in table.cells)
        if len(values) == 2 or (len(values) > 2 and not isinstance(values[0], str)):
            sentences.append(_contrast(table, made_of, axis, (values[0], values[-1])))
    return tuple(filter(None, sentences))


def of_ranking(table: RankingTable) -> tuple[str, ...]:
    """The best value, and how many pairs of values the seeds tell apart."""
    if not table.complete or len(table.ranked) < 2:
        return ()
    best = table.ranked[0]
    assert best.scores
    score = f"{number(best.scores.clip.mean, table.score.is_share)}{unit(table.score.is_share)}"
    apart = sum(pair.told_apart for pair in table.pairs)
    pairs = f"{apart} of {len(table.pairs)} pairs" if len(table.pairs) > 1 else "the pair" if apart else "not the pair"
    test = f"a t-test over seeds{', corrected for their number (Holm),' * (len(table.pairs) > 1)} tells {pairs} apart"
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
    """What each seed scored on each clip, averaged over the cells with one value; None if their clips differ."""
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
