"""The outcome of a search: its best, the confirmation on fresh seeds, the cost, and where the space was too small."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats as scipy_stats

from analysis.engine import stats
from analysis.engine.mixed import mixed
from analysis.engine.rows import TAGS, finished_runs, read_predictions, table_rows
from analysis.engine.search.history import SearchStudy
from analysis.engine.stats import UNKNOWN, Interval, SeedSummary
from analysis.engine.tables import cells
from analysis.engine.tables.cells import Cell, Material, Table
from analysis.engine.tables.scores import chosen
from sweeps.engine.plan import Sweep
from sweeps.engine.search.search import Evaluation, Search, best
from sweeps.engine.search.space import Choice, Dimension, LogUniform, Whole
from sweeps.engine.store.runs import Run
from trainable.config import TrialConfig

EDGE = 0.05  # a share of a range (of its logarithm, if searched so): nearer to an end, the best may lie beyond it


@dataclass(frozen=True)
class SearchTable(Table):
    """A search and its confirmation; its only cell holds the test score."""

    search: Search
    study: str
    evaluations: tuple[Evaluation, ...]
    confirmed: SeedSummary | None  # the metric on validation clips; None until every seed has finished
    confirmed_epochs: int

    @property
    def complete(self) -> bool:
        """Whether every evaluation is made and the best is confirmed."""
        return len(self.evaluations) == self.search.num_trials and self.confirmation.complete

    @property
    def confirmation(self) -> Cell:
        """The best on fresh seeds."""
        (cell,) = self.cells
        return cell

    @property
    def best(self) -> Evaluation | None:
        """The best completed evaluation."""
        return best(self.search, self.evaluations)

    @property
    def ranked(self) -> list[Evaluation]:
        """The completed evaluations, best first; then those that gave up, by last value; then those that diverged."""
        order = ("COMPLETE", "PRUNED", "FAIL")
        return sorted(self.evaluations, key=lambda e: (order.index(e.state), self._worse(e.scores), e.number))

    @property
    def drop(self) -> tuple[float, Interval]:
        """The excess of the searched value over the confirmed mean (positive if better), with its 95 % interval.

        The searched value is of one seed, so that the interval is that in which another seed's would lie.
        """
        if self.best is None or self.confirmed is None:
            return math.nan, UNKNOWN
        sign = 1 if self.search.direction == "maximize" else -1
        searched, confirmed = self.best.scores[self.search.metric], self.confirmed
        drop, n = sign * (searched - confirmed.mean), confirmed.n
        if n < 2:
            return drop, UNKNOWN
        half = float(scipy_stats.t.ppf(0.975, n - 1)) * confirmed.std * math.sqrt(1 + 1 / n)
        return drop, Interval(drop - half, drop + half)

    @property
    def near(self) -> int:
        """The number of evaluations within the margin of the best, including the best."""
        if self.best is None:
            return 0
        ended = [self._worse(e.scores) for e in self.evaluations if e.state == "COMPLETE"]
        return sum(value - min(ended) <= self.margin for value in ended)

    def count(self, state: str) -> int:
        """The number of evaluations in one of Optuna's states."""
        return sum(e.state == state for e in self.evaluations)

    def title(self, cell: Cell) -> str:
        """The title of its only cell."""
        return "confirmation of the best"

    def _worse(self, scores: Mapping[str, float]) -> float:
        sign = -1 if self.search.direction == "maximize" else 1
        return sign * scores.get(self.search.metric, -sign * math.inf)


def search_table(
    search: Search, study: SearchStudy, runs: Sequence[Run], data: str, margin: float, accept: Collection[str] = ()
) -> SearchTable:
    """Joins a study with the trials that confirm its best.

    Args:
        search: the search as planned.
        study: its study.
        runs: the runs of the store.
        data: first digits of the data or split hash that the runs must have; empty for those of the study.
        margin: the largest difference that does not matter, as a fraction.
        accept: the members of `analysis.engine.mixed.MADE_BY` that may differ between the trials.

    Raises:
        ValueError: if the runs must not share a report; names the runs, with the remedy.
    """
    winner = best(search, study.evaluations)
    plan = Sweep(search.name, tuple(search.confirmed(winner.config)) if winner else ())
    winner_runs = study.runs.get(winner.config, []) if winner else []
    data = data or next((run.tags.get("data_sha256", "") for run in winner_runs), "")
    finished = finished_runs(plan, runs, data)
    all_runs = {**study.runs, **{trial: [finished[trial.key]] for trial in plan.trials if trial.key in finished}}
    if problems := list(mixed(all_runs, accept)):
        raise ValueError("these runs cannot share a report:\n" + "\n".join(f"- {problem}" for problem in problems))
    rows, is_share = table_rows(plan, runs, data, accept), search.score.is_share
    confirmation = _confirmation(search, rows, finished, margin)
    return SearchTable(
        name=search.name,
        score=chosen("", search.base),
        cells=(confirmation,),
        published=None,
        reasons=(),
        margin=margin,
        provenance=_provenance(all_runs),
        search=search,
        study=study.title,
        evaluations=study.evaluations,
        confirmed=stats.seed_summary(list(rows[search.metric]), is_share) if confirmation.complete else None,
        confirmed_epochs=int(sum(run.metrics["epochs_run"] for run in finished.values())),
    )


def _confirmation(search: Search, rows: pd.DataFrame, finished: Mapping[str, Run], margin: float) -> Cell:
    """The best on fresh seeds; a search without a best has no rows."""
    if not rows.empty:
        predictions = {key: read_predictions(run) for key, run in finished.items()}
        return cells.cell(chosen("", search.base), rows, Material(search.name, rows, predictions, None, margin), {})
    gap = "no evaluation has completed"
    return Cell(
        search.base, len(search.confirm_seeds), gap, None, None, reasons=(), difference=None, verdict="", num_folds=0
    )


def _provenance(runs: Mapping[TrialConfig, Sequence[Run]]) -> dict[str, dict[str, int]]:
    """The provenance of the evaluations and of the trials that confirm the best."""
    last = [(trial, of_trial[-1]) for trial, of_trial in runs.items()]
    tags = [{name: run.tags.get(name, "") for name in TAGS} for _, run in last]
    return cells.provenance(pd.DataFrame(tags).assign(status="finished"), [trial.backbone for trial, _ in last])


@dataclass(frozen=True)
class Budget:
    """The cost of the evaluations; one that was proposed twice was trained once."""

    epochs: int
    seconds: float  # an estimate: epochs times the time of the last epoch
    saved: int  # the most epochs that the evaluations that gave up could still have trained
    unknown: int  # the number of evaluations without a run in the store


def budget(table: SearchTable) -> Budget:
    """Adds up the cost stated by the runs."""
    trained = {e.config.key: e for e in table.evaluations}.values()
    epochs = {e.config.key: int(e.scores.get("epochs_run", len(e.curve))) for e in trained}
    return Budget(
        epochs=sum(epochs.values()),
        seconds=sum(epochs[e.config.key] * e.scores.get("epoch_s", 0.0) for e in trained),
        saved=sum(e.config.epochs - epochs[e.config.key] for e in trained if e.state == "PRUNED"),
        unknown=sum("epochs_run" not in e.scores for e in trained),
    )


def edge(search: Search, name: str, config: TrialConfig) -> str:
    """The end of a searched field's range at which a config lies: "low", "high", or "" for neither.

    An end that the field cannot go beyond, such as a dropout of 0, does not count.
    """
    dimension, value = search.space[name], config.get(name)
    ends = _ends(dimension)
    if not ends or any(config.get(other) != needed for other, needed in (dimension.when or {}).items()):
        return ""
    logarithmic = isinstance(dimension, LogUniform) or (isinstance(dimension, Whole) and dimension.log)
    low, high, place = (math.log(number) if logarithmic else number for number in (*ends, value))
    away = {"low": place - low, "high": high - place}
    side = min(away, key=away.__getitem__)
    if away[side] > (0 if isinstance(dimension, Choice) else EDGE) * (high - low):
        return ""
    last = ends[0] if side == "low" else ends[1]
    step = 1 if isinstance(last, int) else 0.1 * abs(last) or 0.1
    beyond: dict[str, Any] = {name: last - step if side == "low" else last + step}
    try:
        config.but(**beyond)
    except ValueError:
        return ""
    return side


def _ends(dimension: Dimension) -> tuple[float, float] | None:
    """The least and the greatest value; None for words, and for two values, each of which would be an end."""
    if not isinstance(dimension, Choice):
        return dimension.low, dimension.high
    numbers = [v for v in dimension.values if not isinstance(v, str)]
    return (min(numbers), max(numbers)) if len(numbers) > 2 else None
