"""How a search is put in words: what it found and how that was confirmed, and what its numbers cover."""

from __future__ import annotations

import math

from analysis.engine.search.outcome import SearchTable, edge
from analysis.engine.stats import Interval
from analysis.engine.wording import between, detail_captions, mean_std, number, unit
from sweeps.engine.search.search import Evaluation
from sweeps.engine.search.space import Choice, Dimension, LogUniform, Value, Whole

ENDS = {"low": "lower", "high": "upper"}


def findings(table: SearchTable) -> list[str]:
    """What the search found, a sentence or two each, the most important first."""
    best, count = table.best, len(table.evaluations)
    if best is None:
        return [f"None of {count} evaluations went to its end: widen the space, or lower lr."]
    many = f"{count} of {table.search.num_trials}, so far" if count < table.search.num_trials else f"{count}"
    settings = ", ".join(f"{name}={short(best.config.get(name))}" for name in table.search.space)
    found = f"Best of {many}: {settings}, with a {metric_name(table)} of {value(table, best)}{unit(in_percent(table))}"
    lines = [f"{found} (evaluation {best.number})."]
    if table.confirmed:
        lines.append(_luck(table))
    if scores := table.confirmation.scores:
        share = table.score.is_share
        reached = (
            f"On test clips, which had no part in the search, it reaches {number(scores.clip.mean, share)}{unit(share)}"
        )
        seeds, recordings = between(scores.clip.interval, share), between(scores.over_recordings, share)
        lines.append(f"{reached} (95 % over seeds {seeds}, over recordings {recordings}).")
    others = table.near - 1
    if in_percent(table) and others:
        near = f"{others} other evaluation{'s are' if others > 1 else ' is'} within {100 * table.margin:g} points of it"
        lines.append(f"{near}: one seed each does not tell these settings apart.")
    return [*lines, *edges(table)]


def edges(table: SearchTable) -> list[str]:
    """Where the best lies at an end of what was searched."""
    found = []
    for name, dimension in table.search.space.items():
        if table.best and (side := edge(table.search, name, table.best.config)):
            lies = f"{name}={short(table.best.config.get(name))} lies at the {ENDS[side]} end of what was searched"
            found.append(f"{lies} ({searched(dimension)}): a better one may lie beyond; widen it.")
    return found


def gaps(table: SearchTable) -> list[str]:
    """What lacks before the search is complete."""
    made, planned = len(table.evaluations), table.search.num_trials
    first = [f"evaluations: {made} of {planned} are made"] if made < planned else []
    return first + [f"{table.title(cell)}: {cell.gap}" for cell in table.cells if cell.gap]


def captions(table: SearchTable) -> list[str]:
    """What the numbers are of, and what each interval covers."""
    seeds = ", ".join(map(str, table.search.confirm_seeds))
    searched_values = (
        f"All searched values are of validation clips and of one seed ({table.search.base.seed}); no test clip was "
        f"loaded before the best was chosen. The {metric_name(table)} is that of the kept epoch, which is chosen on "
        "the same clips."
    )
    spread = (
        f"± and 95 % seeds: sample standard deviation (ddof 1) and t-interval of the mean over the seeds {seeds}; they "
        "cover what a seed draws, not that another search might have chosen other settings."
    )
    luck = "Luck of the search: the searched value less the confirmed mean, better being above 0; its interval is that "
    return [searched_values, spread, f"{luck}of the mean.", *detail_captions(table)[1:]]


def figure_captions(table: SearchTable) -> dict[str, str]:
    """What each of Optuna's plots shows."""
    count = table.count("COMPLETE")
    ended = f"the {count} evaluations that went to their end"
    tenth = f"the best tenth of {ended}, which are {math.ceil(count / 10)}"
    return {
        "history": f"The {metric_name(table)} of {ended}, as they were made.",
        "curves": "Every evaluation that did not diverge, epoch by epoch.",
        "slices": f"The {metric_name(table)} over each searched field, of {ended}; later ones are darker.",
        "parallel": f"Each of {ended} as a line through its settings; better ones are darker.",
        "importances": f"How much each field sets apart {tenth} (PED-ANOVA, Optuna's default): a hint.",
    }


def came_to(found: Evaluation) -> str:
    """How an evaluation ended."""
    return {"COMPLETE": "its end", "PRUNED": f"gave up after epoch {len(found.curve)}", "FAIL": "diverged"}[found.state]


def searched(dimension: Dimension) -> str:
    """What a field could be."""
    if isinstance(dimension, Choice):
        return ", ".join(map(short, dimension.values))
    logarithmic = isinstance(dimension, LogUniform) or (isinstance(dimension, Whole) and dimension.log)
    return f"{short(dimension.low)} to {short(dimension.high)}" + ", logarithmic" * logarithmic


def short(value: Value) -> str:
    """A setting with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """In the unit that suits."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 7200 else _hours(seconds)


def in_percent(table: SearchTable) -> bool:
    """Whether the metric is printed so."""
    is_share: bool = table.search.score.is_share
    return is_share


def metric_name(table: SearchTable) -> str:
    """What is searched for, in words."""
    return f"validation {table.search.score.title}"


def value(table: SearchTable, found: Evaluation) -> str:
    """What an evaluation reached."""
    return spread(table, found.scores.get(table.search.metric, math.nan), math.nan)


def spread(table: SearchTable, mean: float, std: float) -> str:
    """Mean ± standard deviation of the metric."""
    return mean_std(mean, std, in_percent(table))


def ends(table: SearchTable, interval: Interval) -> str:
    """An interval of the metric."""
    return between(interval, in_percent(table))


def difference(table: SearchTable, by: float) -> str:
    """A difference of the metric, in points where it is a share."""
    return number(by, in_percent(table)) + " points" * in_percent(table)


def _luck(table: SearchTable) -> str:
    """How the searched value and its confirmation differ, and what is to be made of it."""
    again, (drop, interval) = table.confirmed, table.drop
    assert again is not None
    seeds, n = ", ".join(map(str, table.search.confirm_seeds)), again.n
    reached = f"{spread(table, again.mean, again.std)}{unit(in_percent(table))}"
    how = f"Trained again on seed{'s' * (n > 1)} {seeds}, it reaches {reached}, "
    much = f"{difference(table, abs(drop))} {'worse' if drop > 0 else 'better'} than searched"
    if interval.low > 0:
        curse = f"the best of {table.count('COMPLETE')} is the luckiest too (the winner's curse)"
        return f"{how}{much} (95 % {ends(table, interval)}): that much of the searched value was luck, for {curse}."
    if interval.high < 0:
        return f"{how}{much}: the seed of the search was an unlucky one."
    why = f"95 % {ends(table, interval)}" if n > 1 else "of one seed"
    return f"{how}{much}: whether luck chose it cannot be told from {n} seed{'s' * (n > 1)} ({why})."


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"
