"""The wording of numbers, rates and gaps, the same in every table, figure and page. Only here are shares in percent.

A number that is not a share, such as a loss, is worded with `share=False`: unscaled, with three decimals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.engine.stats import Interval

if TYPE_CHECKING:
    from analysis.engine.tables.cells import Table


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
    best = "highest" if table.score.higher_is_better else "lowest"
    bold = f"Bold: the {best} mean." if table.complete else "No mean is bold until all cells are complete."
    ours = (
        f"{table.score.heading} on the test {table.score.unit}s{' in percent' * table.score.is_share}: {spread}. {bold}"
    )
    folds = sorted({cell.num_folds for cell in table.cells if cell.num_folds})
    number_of = " or ".join(map(str, folds))
    one_run = f"{number_of} folds joined: a seed's score is over the test clips of all folds, each recording once."
    past = [*filter(None, [table.left_out]), *table.history]
    joined = [*[one_run] * bool(folds), *past]
    if table.published is None:
        return ours, *joined
    published = table.published
    counts = f"ddof {published.ddof}, n = {published.n}"
    return ours, *joined, f"Published: {published.source}, {published.metric}, as printed ({counts})."


def detail_captions(table: Table) -> tuple[str, ...]:
    """Captions of the detailed table: what each interval covers."""
    seeds = "95 % seeds: t-interval of the mean over seeds; it covers variation with the seed on this one test set."
    draws = f"BCa, {table.score.num_draws:,} draws of whole recordings, networks held fixed"
    recordings = (
        f"95 % recordings: bootstrap of the {table.score.title} over test recordings ({draws}); it covers the choice "
        "of recordings in the test set."
    )
    votes = [f"Recording {table.score.title}: {table.score.recordings_by}."] * (table.score.unit == "clip")
    votes += filter(None, [table.left_out])
    if table.published is None:
        return seeds, recordings, *votes
    difference = (
        "Difference: ours minus published, with its 95 % Welch interval over seeds; the published deviation is first "
        f"converted to ddof 1. Equivalent: the 90 % interval lies inside ±{100 * table.margin:g} points. Different: "
        "the 95 % interval excludes 0. Cannot tell: neither."
    )
    return seeds, recordings, *votes, difference


def notes(table: Table) -> tuple[str, ...]:
    """Reasons why cells must not be compared with the published numbers, lettered as in the verdicts."""
    return tuple(f"({letter(table, reason)}) {reason}" for reason in table.reasons)


def gaps(table: Table) -> tuple[str, ...]:
    """The incomplete cells and their missing seeds."""
    return tuple(f"{table.title(cell)}: {cell.gap}" for cell in table.cells if not cell.complete)


def letter(table: Table, reason: str) -> str:
    """The letter of a reason of a table: a, b, c, ..."""
    return chr(ord("a") + table.reasons.index(reason))
