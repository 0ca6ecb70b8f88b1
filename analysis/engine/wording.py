"""The wording of numbers, rates and gaps, the same in every table, figure and page. Only here are shares in percent.

A number that is not a share, such as a loss, is worded with `share=False`: unscaled, with three decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.engine.stats import Interval
from trainable.weights.heard import NOT_KNOWN

if TYPE_CHECKING:
    from analysis.engine.tables.cells import Cell, Table

UNHEARD = "nothing"  # the starting weights of a run have heard no recording of its test
EVERYTHING = "unknown"  # of an interval that covers all values that a share can have


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal, as papers print it; an en dash where it is unknown."""
    return "–" if math.isnan(fraction) else f"{100 * fraction:z.1f}".replace("-", "−")


def scale(share: bool) -> float:
    """The factor by which a number is multiplied to be printed or drawn."""
    return 100.0 if share else 1.0


def rounded(value: float, share: bool) -> float:
    """The value that `number` prints."""
    return round(scale(share) * value, 1 if share else 3)


def number(value: float, share: bool = True) -> str:
    """A share in percent, any other number unscaled; an en dash where it is unknown."""
    if share:
        return percent(value)
    return "–" if math.isnan(value) else f"{value:z.3f}".replace("-", "−")


def signed(value: float, share: bool = True) -> str:
    """A difference with its sign, in points for shares; without a sign if it prints as 0."""
    words = number(value, share)
    return words if words.startswith(("−", "–")) or words == number(0.0, share) else f"+{words}"


def mean_std(mean: float, std: float, share: bool = True) -> str:
    """Mean ± standard deviation; the mean alone where the deviation is unknown."""
    return number(mean, share) if math.isnan(std) else f"{number(mean, share)} ± {number(std, share)}"


def between(interval: Interval, share: bool = True) -> str:
    """An interval; an en dash where it is unknown."""
    low, high = interval.low, interval.high
    return "–" if math.isnan(low) else f"[{number(low, share)}, {number(high, share)}]"


def within(interval: Interval, share: bool = True) -> str:
    """The interval of a score; in words where it covers all values that a share can have."""
    everything = share and rounded(interval.low, share) <= 0 and rounded(interval.high, share) >= scale(share)
    return EVERYTHING if everything else between(interval, share)


def hover_words(table: Table, cell: Cell) -> str:
    """The words for a mark of a figure: the cell, its mean and deviation, and both intervals."""
    if cell.scores is None:
        return f"{table.title(cell)}: {cell.gap}"
    clip, share = cell.scores.clip, table.score.is_share
    words = f"{table.title(cell)}: {mean_std(clip.mean, clip.std, share)}{unit(share)} (n = {clip.n})"
    over = {"here": clip.interval, "to come": cell.scores.to_come}
    return words + "".join(f"; 95 % {name} {within(interval, share)}" for name, interval in over.items())


def unit(share: bool) -> str:
    """The unit after a number in a sentence."""
    return " %" if share else ""


def khz(rate_hz: int) -> str:
    """A rate in kilohertz."""
    return f"{rate_hz / 1000:g} kHz"


def main_captions(table: Table) -> tuple[str, ...]:
    """Captions of the compact table: n and ddof of our numbers and of the published ones."""
    seeds = sorted({cell.num_seeds for cell in table.cells})
    n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    spread = f"mean ± sample standard deviation (ddof 1) over n = {n} seed{'s' * (seeds[-1] > 1)}"
    best, tied = "highest" if table.score.higher_is_better else "lowest", sum(map(table.is_best, table.cells))
    bold = f"Bold: the {best} mean{f', which {tied} cells share' if tied > 1 else ''}."
    if not table.complete:
        bold = "No mean is bold until all cells are complete."
    elif not tied:
        bold = f"No mean is bold: all {len(table.cells)} are alike."
    ours = (
        f"{table.score.heading} on the test {table.score.unit}s{' in percent' * table.score.is_share}: {spread}. {bold}"
    )
    folds = sorted({cell.num_folds for cell in table.cells if cell.num_folds})
    number_of = " or ".join(map(str, folds))
    one_run = f"{number_of} folds joined: a seed's score is over the test clips of all folds, each recording once."
    past = [*filter(None, [table.left_out]), *table.history]
    joined = [*[one_run] * bool(folds), *_heard(table), *past]
    if table.published is None:
        return ours, *joined
    published = table.published
    counts = f"ddof {published.ddof}, n = {published.n}"
    return ours, *joined, f"Published: {published.source}, {published.metric}, as printed ({counts})."


def _heard(table: Table) -> Iterator[str]:
    """A caption on runs whose starting weights have heard recordings of the test."""
    counts = {stamp: number for stamp, number in table.provenance.get("heard before", {}).items() if stamp != UNHEARD}
    if unknown := counts.pop(NOT_KNOWN, 0):
        yield f"{unknown} runs start from another run's weights, of which it is not known whether they heard the test."
    if counts:
        stamps = ", ".join(counts)
        yield (
            f"{sum(counts.values())} runs start from weights that were trained on recordings of this test ({stamps}), "
            "as --allow-heard asked: their scores are not those of new recordings."
        )


def detail_captions(table: Table) -> tuple[str, ...]:
    """Captions of the detailed table: what each interval covers."""
    seeds = "95 % here: t-interval of the mean over seeds; it covers variation with the seed on these recordings."
    alone = any(cell.scores and cell.scores.clip.n == 1 for cell in table.cells)
    if any(
        within(cell.scores.clip.interval, table.score.is_share) == EVERYTHING for cell in table.cells if cell.scores
    ):
        seeds += " Unknown: it covers all values that a share can have."
    recordings = (
        "95 % to come: interval of the mean on recordings to come; it covers variation with the seed and the choice of "
        f"{_groups(table)} in the test set{' (with one seed: that choice alone)' * alone}."
    )
    votes = [f"Recording {table.score.title}: {table.score.recordings_by}."] * (table.score.unit == "clip")
    votes += filter(None, [table.left_out])
    differences = [] if table.published is None or folds_away(table) else [difference_caption(table)]
    return seeds, recordings, *votes, *differences


def difference_caption(table: Table) -> str:
    """The caption of the differences from published numbers: their interval, and the words of the verdicts."""
    return (
        "Difference: ours minus published, with its 95 % Welch interval over seeds; the published deviation is first "
        f"converted to ddof 1. Equivalent: a difference of ±{100 * table.margin:g} points or more is rejected at 5 %. "
        "Different: one of 0 is. Cannot tell: neither. Both are corrected for the number of differences (Holm)."
    )


def folds_away(table: Table) -> bool:
    """Whether published numbers stand beside cells, but none of these must be compared with them."""
    beside = [cell for cell in table.cells if cell.published and cell.complete]
    return bool(beside) and all(cell.reasons for cell in beside)


def _groups(table: Table) -> str:
    """The groups that the test set is a sample of: vessels, or recordings where nothing coarser is known."""
    names = dict.fromkeys(cell.scores.sampled_by for cell in table.cells if cell.scores)
    return " or ".join(f"{name}s" for name in names) or "recordings"


def notes(table: Table) -> tuple[str, ...]:
    """Reasons why cells must not be compared with the published numbers, lettered as in the verdicts."""
    return tuple(f"({letter(table, reason)}) {reason}" for reason in table.reasons)


def gaps(table: Table) -> tuple[str, ...]:
    """The incomplete cells and their missing seeds."""
    return tuple(f"{table.title(cell)}: {cell.gap}" for cell in table.cells if not cell.complete)


def letter(table: Table, reason: str) -> str:
    """The letter of a reason of a table: a, b, c, ..."""
    return chr(ord("a") + table.reasons.index(reason))
