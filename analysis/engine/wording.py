"""How numbers, rates and gaps are worded, the same in every table, figure and page. Percent stands only here.

What is not a share, such as a loss, is worded with `share=False`: as it is, with three decimals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.engine import stats
from analysis.engine.stats import Interval

if TYPE_CHECKING:
    from analysis.engine.tables.cells import Table


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal, as the papers print it; an en dash where it is unknown."""
    return "–" if math.isnan(fraction) else f"{100 * fraction:z.1f}".replace("-", "−")


def scale(share: bool) -> float:
    """What a number is multiplied by where it is printed or drawn."""
    return 100.0 if share else 1.0


def rounded(value: float, share: bool) -> float:
    """The number that `number` prints."""
    return round(scale(share) * value, 1 if share else 3)


def number(value: float, share: bool = True) -> str:
    """A share in percent, another number as it is; an en dash where it is unknown."""
    if share:
        return percent(value)
    return "–" if math.isnan(value) else f"{value:z.3f}".replace("-", "−")


def signed(value: float, share: bool = True) -> str:
    """A difference, of shares in points, with its sign; none for what prints as 0."""
    words = number(value, share)
    return words if words.startswith(("−", "–")) or words == number(0.0, share) else f"+{words}"


def mean_std(mean: float, std: float, share: bool = True) -> str:
    """Mean ± standard deviation; without the latter where it is unknown."""
    return number(mean, share) if math.isnan(std) else f"{number(mean, share)} ± {number(std, share)}"


def between(interval: Interval, share: bool = True) -> str:
    """An interval; an en dash where it is unknown."""
    low, high = interval.low, interval.high
    return "–" if math.isnan(low) else f"[{number(low, share)}, {number(high, share)}]"


def unit(share: bool) -> str:
    """What stands behind a number in a sentence."""
    return " %" if share else ""


def khz(rate_hz: int) -> str:
    """A rate in kilohertz."""
    return f"{rate_hz / 1000:g} kHz"


def main_captions(table: Table) -> tuple[str, ...]:
    """What the compact table prints: n and ddof of ours and of the published numbers."""
    seeds = sorted({cell.num_seeds for cell in table.cells})
    n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    spread = f"mean ± sample standard deviation (ddof 1) over n = {n} seed{'s' * (seeds[-1] > 1)}"
    best = "highest" if table.score.higher_is_better else "lowest"
    bold = f"Bold: the {best} mean." if table.complete else "Nothing is bold before all cells are complete."
    ours = f"{table.score.heading} on the test clips{' in percent' * table.score.is_share}: {spread}. {bold}"
    if table.published is None:
        return (ours,)
    published = table.published
    counts = f"ddof {published.ddof}, n = {published.n}"
    return ours, f"Published: {published.source}, {published.metric}, as printed ({counts})."


def detail_captions(table: Table) -> tuple[str, ...]:
    """What each interval of the detailed table covers."""
    seeds = "95 % seeds: t-interval of the mean over seeds; covers what a seed draws, on this one test set."
    draws = f"BCa, {stats.NUM_RESAMPLES:,} draws of whole recordings, networks held fixed"
    recordings = (
        f"95 % recordings: bootstrap of the mean over test recordings ({draws}); covers which recordings the test set "
        "happens to hold."
    )
    votes = f"Recording {table.score.title}: {table.score.recordings_by}."
    if table.published is None:
        return seeds, recordings, votes
    difference = (
        "Difference: ours less published, with its 95 % Welch interval over seeds, the published deviation turned into "
        f"a sample one. Equivalent: the 90 % interval lies inside ±{100 * table.margin:g} points. Different: the 95 % "
        "interval excludes 0. Cannot tell: neither."
    )
    return seeds, recordings, votes, difference


def notes(table: Table) -> tuple[str, ...]:
    """Why cells may not be compared with the published numbers, lettered as in the verdicts."""
    return tuple(f"({letter(table, reason)}) {reason}" for reason in table.reasons)


def gaps(table: Table) -> tuple[str, ...]:
    """The incomplete cells, and what they lack."""
    return tuple(f"{table.title(cell)}: {cell.gap}" for cell in table.cells if not cell.complete)


def letter(table: Table, reason: str) -> str:
    """a, b, c, ... for the reasons of a table."""
    return chr(ord("a") + table.reasons.index(reason))
