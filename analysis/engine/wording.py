"""How numbers, rates and gaps are worded, the same in every table, figure and page. Percent stands only here."""

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


def signed(fraction: float) -> str:
    """A difference in points with its sign; none for what prints as 0."""
    words = percent(fraction)
    return words if words.startswith("−") or words == "0.0" else f"+{words}"


def mean_std(mean: float, std: float) -> str:
    """Mean ± standard deviation in percent; without the latter where it is unknown."""
    return percent(mean) if math.isnan(std) else f"{percent(mean)} ± {percent(std)}"


def between(interval: Interval) -> str:
    """An interval in percent; an en dash where it is unknown."""
    return "–" if math.isnan(interval.low) else f"[{percent(interval.low)}, {percent(interval.high)}]"


def khz(rate_hz: int) -> str:
    """A rate in kilohertz."""
    return f"{rate_hz / 1000:g} kHz"


def main_captions(table: Table) -> tuple[str, ...]:
    """What the compact table prints: n and ddof of ours and of the published numbers."""
    seeds = sorted({cell.num_seeds for cell in table.cells})
    n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    spread = f"mean ± sample standard deviation (ddof 1) over n = {n} seed{'s' * (seeds[-1] > 1)}"
    bold = "Bold: the highest mean." if table.complete else "Nothing is bold before all cells are complete."
    ours = f"{table.score.title} on the test clips in percent: {spread}. {bold}"
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
    votes = f"Recording {table.score.name}: {table.score.recordings_by}."
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
