"""Searches, and the next evaluations that Optuna proposes.

A search runs in rounds. The proposals of a round depend only on the search and on the results of earlier rounds: not on
which trial of a round ended first, nor on whether the sweep was killed in between. A search that is started again
therefore asks the same questions, finds the committed answers, and continues. Its Optuna study
(`sweeps/engine/store/optuna_study.py`) is written from these answers and never read.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from datasets.engine.words.suggest import did_you_mean
from sweeps.engine.plan import Sweep
from sweeps.engine.search import space as spaces
from sweeps.engine.search.space import Choice, Dimension, Value, Whole
from trainable.config import TrialConfig

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "gp", "cmaes", "random", "grid")
PRUNERS = ("none", "asha", "median")
BEST = "best_"  # the prefix for the best of the epochs, before an epoch's own name, such as `val_loss`
OWN = ("seed", "score_on")  # the fields in which trials that confirm the best differ from those of the search


@dataclass(frozen=True)
class Search:
    """A search: the fixed fields, the searched space, and the method.

    >>> from sweeps.engine.search.space import Choice, LogUniform
    >>> from sweeps.recipes.mohammadi import RATES
    >>> space = {"lr": LogUniform(1e-6, 1e-2), "augment": Choice(("none", "mixup"))}
    >>> print(Search("toy_search", RATES, space, num_trials=20, metric="best_val_loss"))
    search   toy_search: 20 evaluations in rounds of 4, tpe, pruner none, by best_val_loss
             then the best on seeds 101, 102, 103
             lr 1e-06 to 0.01, by its logarithm
             augment one of none, mixup

    Raises:
        ValueError: if a name does not exist, a number is too small, or the space cannot be searched.
    """

    name: str
    base: TrialConfig  # the fields that are not searched; its `score_on` and seed are those of all evaluations
    space: Mapping[str, Dimension]
    num_trials: int
    at_once: int = 4  # the size of a round; all results of a round are known before the next is proposed
    metric: str = ""  # such as `best_val_loss`; empty for that of the base's main score
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0  # of the sampler
    confirm_seeds: tuple[int, ...] = (101, 102, 103)  # seeds with which the best is trained again and scored on test
    study: str = ""  # the file that plans it, in sweeps/ and in analysis/; empty for the file of its name

    def __post_init__(self) -> None:
        if not self.study:
            object.__setattr__(self, "study", self.name)
        spaces.check(self.space)
        if not self.metric:
            object.__setattr__(self, "metric", f"{BEST}val_{self.base.main_score.name}")
        metrics = tuple(f"{BEST}val_{score.name}" for score in self.base.scores if score.each_epoch)
        for name, choices in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("metric", metrics)):
            if getattr(self, name) not in choices:
                near = did_you_mean(choices, getattr(self, name))
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(choices)}{near}")
        for name in ("num_trials", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.sampler == "grid" and len(spaces.points(self.space)) != self.num_trials:
            num_points = len(spaces.points(self.space))
            raise ValueError(
                f"num_trials={self.num_trials}: a grid of choices without conditions has {num_points} points"
            )
        if self.base.seed in self.confirm_seeds:
            raise ValueError(f"confirm_seeds={self.confirm_seeds}: the search itself uses seed {self.base.seed}")
        object.__setattr__(self, "base", dataclasses.replace(self.base, score_on="validation"))

    def __str__(self) -> str:
        how = f"{self.num_trials} evaluations in rounds of {self.at_once}, {self.sampler}, pruner {self.pruner}"
        lines = [
            f"search   {self.name}: {how}, by {self.metric}",
            f"         then the best on seeds {', '.join(map(str, self.confirm_seeds))}",
        ]
        return "\n".join([*lines, *(f"         {name} {_words(dimension)}" for name, dimension in self.space.items())])

    def varied(self, fields: Mapping[str, Value], seeds: tuple[int, ...], limit: int | None) -> Search:
        """The search with some fields set, which are then not searched, with other seeds, or with fewer evaluations."""
        space = {name: dimension for name, dimension in self.space.items() if name not in fields}
        if limit and self.sampler == "grid":
            raise ValueError(
                f"--limit {limit}: a grid is searched completely; fix fields with --set FIELD=VALUE instead"
            )
        num = len(spaces.points(space)) if self.sampler == "grid" else min(self.num_trials, limit or self.num_trials)
        return dataclasses.replace(
            self,
            base=self.base.but(**fields),
            space=space,
            num_trials=num,
            confirm_seeds=seeds or self.confirm_seeds,
        )

    @property
    def of_epoch(self) -> str:
        """The number of each epoch of which the metric is the best."""
        return self.metric.removeprefix(BEST)

    @property
    def score(self) -> Any:
        """The score to optimise: a part of `trainable/scores/`."""
        return self.base.score(self.of_epoch.removeprefix("val_"))

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """The direction of the metric: "maximize" or "minimize"."""
        return "maximize" if self.score.higher_is_better else "minimize"

    def stand_ins(self) -> tuple[TrialConfig, ...]:
        """As many trials as the search has, with its fixed fields, in place of proposals that are not yet known."""
        evaluations = [dataclasses.replace(self.base, seed=seed) for seed in range(self.num_trials)]
        return (*evaluations, *self.confirmed(self.base))

    def sweep(self, trials: Iterable[TrialConfig]) -> Sweep:
        """Some of the search's trials, without repetition, as a sweep."""
        shared = {name: value for name, value in self.base.to_dict().items() if name not in {*self.space, *OWN}}
        return Sweep(self.name, tuple(dict.fromkeys(trials)), tuple(self.space), shared, self.metric, self.study)

    def confirmed(self, best: TrialConfig) -> list[TrialConfig]:
        """The trials that train the best again, with seeds that played no part in choosing it, and score it on test."""
        return [dataclasses.replace(best, seed=seed, score_on="test") for seed in self.confirm_seeds]


@dataclass(frozen=True)
class Evaluation:
    """The result of one proposal."""

    number: int
    config: TrialConfig
    scores: Mapping[str, float]
    curve: tuple[float, ...]  # the metric after every epoch
    span_s: tuple[float, float] | None = field(default=None, compare=False)  # start and end of training, in Unix time

    @property
    def state(self) -> str:
        """The state of an Optuna trial: COMPLETE, PRUNED, or FAIL if it diverged."""
        return "FAIL" if self.scores.get("diverged") else "PRUNED" if self.scores.get("gave_up") else "COMPLETE"


def evaluation(
    search: Search,
    number: int,
    config: TrialConfig,
    scores: Mapping[str, float],
    history: Sequence[Mapping[str, float]],
) -> Evaluation:
    """The evaluation for a committed trial."""
    name = search.of_epoch
    timed = [row for row in history if "ended_unix_s" in row]  # records of earlier versions have no times
    span_s = (timed[0]["ended_unix_s"] - timed[0]["epoch_s"], timed[-1]["ended_unix_s"]) if timed else None
    return Evaluation(number, config, scores, tuple(row[name] for row in history), span_s)


def best(search: Search, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The best completed evaluation, the first of equals; None if there is none."""
    ended = [e for e in evaluations if e.state == "COMPLETE"]
    sign = -1 if search.direction == "maximize" else 1
    return min(ended, key=lambda e: (sign * e.scores[search.metric], e.number), default=None)


class Proposals:
    """Proposes trials and takes their results, in rounds; the same results give the same proposals in any process."""

    def __init__(self, search: Search) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search, self.evaluations = search, list[Evaluation]()
        self._study = optuna.create_study(sampler=_sampler(search), direction=search.direction)
        self._open: list[optuna.Trial] = []
        for point in spaces.points(search.space) if search.sampler == "grid" else []:
            self._study.enqueue_trial(point)

    def ask(self) -> list[TrialConfig]:
        """The next round; empty if there is none."""
        left = self.search.num_trials - len(self.evaluations)
        self._open = [self._study.ask() for _ in range(min(self.search.at_once, left))]
        return [self._suggest(trial) for trial in self._open]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Takes the results of the round, in its order."""
        import optuna

        for trial, evaluation in zip(self._open, evaluations, strict=True):
            for epoch, point in enumerate(evaluation.curve, 1):
                trial.report(point, epoch)
            state = optuna.trial.TrialState[evaluation.state]
            value = evaluation.scores[self.search.metric] if evaluation.state == "COMPLETE" else None
            self._study.tell(trial, value, state)
            self.evaluations.append(evaluation)

    def _suggest(self, trial: optuna.Trial) -> TrialConfig:
        fields: dict[str, Any] = {}
        for name, dimension in self.search.space.items():
            if all(fields.get(n) == value for n, value in (dimension.when or {}).items()):
                fields[name] = _suggested(trial, name, dimension)
        return self.search.base.but(**fields)


def _suggested(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name, dimension.values)
    if isinstance(dimension, Whole):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=isinstance(dimension, spaces.LogUniform))


def _words(dimension: Dimension) -> str:
    """A dimension in words, for the plan."""
    if isinstance(dimension, Choice):
        words = "one of " + ", ".join(map(str, dimension.values))
    else:
        words = f"{dimension.low:g} to {dimension.high:g}"
        by_log = isinstance(dimension, spaces.LogUniform) or (isinstance(dimension, Whole) and dimension.log)
        words += ", by its logarithm" if by_log else ""
    return words + "".join(f", where {name}={value}" for name, value in (dimension.when or {}).items())


def _sampler(search: Search) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)  # from samplers that Optuna calls experimental
        samplers_by_name = {
            "tpe": samplers.TPESampler,
            "gp": samplers.GPSampler,
            "cmaes": samplers.CmaEsSampler,
            "random": samplers.RandomSampler,
            "grid": samplers.RandomSampler,  # never asked, because all points are in the queue
        }
        return samplers_by_name[search.sampler](seed=search.seed)
