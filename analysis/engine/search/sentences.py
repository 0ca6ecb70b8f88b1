"""The wording of a search: its findings, their confirmation, and what the numbers cover."""

from __future__ import annotations

import math

from analysis.engine.search.outcome import SearchTable, edge
from analysis.engine.stats import Interval
from analysis.engine.wording import between, detail_captions, mean_std, number, unit, within
from sweeps.engine.search.search import Evaluation
from sweeps.engine.search.space import Choice, Dimension, LogUniform, Value, Whole

ENDS = {"low": "lower", "high": "upper"}


def findings(table: SearchTable) -> list[str]:
    """The findings of the search in a sentence or two each, the most important first."""
    best, count = table.best, len(table.evaluations)
    if best is None:
        return [f"None of {count} evaluations completed: widen the space, or lower lr."]
    many = f"{count} of {table.search.num_trials}, so far" if count < table.search.num_trials else f"{count}"
    settings = ", ".join(f"{name}={short(best.config.get(name))}" for name in table.search.space)
    first_line = (
        f"Best of {many}: {settings}, with a {metric_name(table)} of {value(table, best)}{unit(in_percent(table))}"
    )
    lines = [f"{first_line} (evaluation {best.number})."]
    if table.confirmed:
        lines.append(_luck(table))
    if scores := table.confirmation.scores:
        share = table.score.is_share
        reached = (
            f"On test clips, which played no part in the search, it reaches {number(scores.clip.mean, share)}"
            f"{unit(share)}"
        )
        here, to_come = within(scores.clip.interval, share), within(scores.to_come, share)
        lines.append(f"{reached} (95 % intervals: {here} on these recordings, {to_come} on recordings to come).")
    others = table.near - 1
    if in_percent(table) and others:
        near = f"{others} other evaluation{'s are' if others > 1 else ' is'} within {100 * table.margin:g} points of it"
        lines.append(f"{near}: with one seed each, these settings cannot be told apart.")
    return [*lines, *edges(table)]


def edges(table: SearchTable) -> list[str]:
    """Sentences on the fields in which the best lies at an end of the searched range."""
    sentences = []
    for name, dimension in table.search.space.items():
        if table.best and (side := edge(table.search, name, table.best.config)):
            lies = f"{name}={short(table.best.config.get(name))} lies at the {ENDS[side]} end of the searched range"
            sentences.append(f"{lies} ({searched(dimension)}): a better value may lie beyond; widen it.")
    return sentences


def gaps(table: SearchTable) -> list[str]:
    """Sentences on what is missing before the search is complete."""
    num_made, planned = len(table.evaluations), table.search.num_trials
    missing = [f"evaluations: {num_made} of {planned} are made"] if num_made < planned else []
    return missing + [f"{table.title(cell)}: {cell.gap}" for cell in table.cells if cell.gap]


def captions(table: SearchTable) -> list[str]:
    """Captions: where the numbers come from, and what each interval covers."""
    seeds = ", ".join(map(str, table.search.confirm_seeds))
    searched_values = (
        f"All values of the search are from validation clips and one seed ({table.search.base.seed}); no test clip was "
        f"loaded before the best was chosen. The {metric_name(table)} is that of the kept epoch, which is chosen on "
        "the same clips."
    )
    spread = (
        f"± and 95 % seeds: sample standard deviation (ddof 1) and t-interval of the mean over the seeds {seeds}; they "
        "cover variation with the seed, not that another search might have chosen other settings."
    )
    luck = (
        "Luck of the search: by how much the searched value is better than the confirmed mean; its interval also "
        "covers that the searched value is of one seed, s √(1 + 1/n)."
    )
    return [searched_values, spread, luck, *detail_captions(table)[1:]]


def figure_captions(table: SearchTable) -> dict[str, str]:
    """The captions of Optuna's plots, by name."""
    count = table.count("COMPLETE")
    ended = f"the {count} completed evaluations"
    tenth = f"the best tenth of {ended} ({math.ceil(count / 10)} of them) from the rest"
    return {
        "history": f"The {metric_name(table)} of {ended}, in the order in which they were made.",
        "curves": "Every evaluation that did not diverge, epoch by epoch.",
        "slices": f"The {metric_name(table)} of {ended} over each searched field; later evaluations are darker.",
        "parallel": f"Each of {ended} as a line through its settings; better ones are darker.",
        "importances": f"How strongly each field separates {tenth} (PED-ANOVA, Optuna's default); a hint only.",
    }


def came_to(evaluation: Evaluation) -> str:
    """The outcome of an evaluation, in words."""
    return {"COMPLETE": "completed", "PRUNED": f"gave up after epoch {len(evaluation.curve)}", "FAIL": "diverged"}[
        evaluation.state
    ]


def searched(dimension: Dimension) -> str:
    """The values that a field could take."""
    if isinstance(dimension, Choice):
        return ", ".join(map(short, dimension.values))
    logarithmic = isinstance(dimension, LogUniform) or (isinstance(dimension, Whole) and dimension.log)
    return f"{short(dimension.low)} to {short(dimension.high)}" + ", logarithmic" * logarithmic


def short(value: Value) -> str:
    """A setting, to three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A duration, in a suitable unit."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 7200 else _hours(seconds)


def in_percent(table: SearchTable) -> bool:
    """Whether the metric is printed in percent."""
    is_share: bool = table.search.score.is_share
    return is_share


def metric_name(table: SearchTable) -> str:
    """The metric of the search, in words."""
    return f"validation {table.search.score.title}"


def value(table: SearchTable, evaluation: Evaluation) -> str:
    """The metric that an evaluation reached."""
    return spread(table, evaluation.scores.get(table.search.metric, math.nan), math.nan)


def spread(table: SearchTable, mean: float, std: float) -> str:
    """Mean ± standard deviation of the metric."""
    return mean_std(mean, std, in_percent(table))


def ends(table: SearchTable, interval: Interval) -> str:
    """An interval of the metric."""
    return between(interval, in_percent(table))


def difference(table: SearchTable, by: float) -> str:
    """A difference in the metric, in points if it is a share."""
    return number(by, in_percent(table)) + " points" * in_percent(table)


def _luck(table: SearchTable) -> str:
    """A sentence on how the searched value and its confirmation differ, and what to make of it."""
    confirmed, (drop, interval) = table.confirmed, table.drop
    assert confirmed is not None
    seeds, n = ", ".join(map(str, table.search.confirm_seeds)), confirmed.n
    reached = f"{spread(table, confirmed.mean, confirmed.std)}{unit(in_percent(table))}"
    reaches = f"Trained again with seed{'s' * (n > 1)} {seeds}, it reaches {reached}, "
    change = f"{difference(table, abs(drop))} {'worse' if drop > 0 else 'better'} than in the search"
    num_ended = table.count("COMPLETE")
    if num_ended < 2:
        return f"{reaches}{change}; a single evaluation was completed, so that luck had nothing to choose from."
    if interval.low > 0:
        curse = f"the best of {num_ended} is also the luckiest (the winner's curse)"
        return f"{reaches}{change} (95 % {ends(table, interval)}): more than one seed varies, because {curse}."
    if interval.high < 0:
        return f"{reaches}{change}: the seed of the search was an unlucky one."
    why = f"95 % {ends(table, interval)}" if n > 1 else "a single seed"
    return f"{reaches}{change}: {n} seed{'s' * (n > 1)} cannot tell whether luck chose it ({why})."


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"
