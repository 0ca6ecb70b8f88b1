"""Optuna, and the only file of the sweeps that loads it: what a search evaluates next, and its study as others see it.

A search goes in rounds. What a round proposes depends on the search and on the results of the rounds before, and on
nothing else: not on which trial of a round ended first, nor on whether the sweep was killed in between. So a search
that is started again asks the same questions, finds the answers that were committed, and goes on; its Optuna study is
written from them, and never read.
"""

from __future__ import annotations

import dataclasses
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweeps import space as spaces
from sweeps.plan import Sweep
from sweeps.runs import StoreError, sqlite_path
from sweeps.space import Choice, Dimension, Value, Whole
from trainable.config import TrialConfig

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "gp", "cmaes", "random", "grid")
REMEDY = (
    "name another database with --optuna, or fix this one; a file that is damaged can be moved away, because the "
    "search writes its study again from what trials have committed"
)
PRUNERS = ("none", "asha", "median")
METRICS: dict[str, tuple[str, Literal["minimize", "maximize"]]] = {  # what of an epoch it is the best of
    "best_val_accuracy": ("val_accuracy", "maximize"),
    "best_val_loss": ("val_loss", "minimize"),
}


OWN = ("seed", "score_on")  # in which the trials that confirm the best differ from those that found it


@dataclass(frozen=True)
class Search:
    """A search: what is fixed, what is sought, and how.

    Raises:
        ValueError: if a name is none of those there are, a number is too small, or the space cannot be searched.
    """

    name: str
    base: TrialConfig  # the fields that are not searched; its `score_on` and seed are those of all evaluations
    space: Mapping[str, Dimension]
    num_trials: int
    at_once: int = 4  # of a round; results of a round are known before the next is proposed
    metric: str = "best_val_accuracy"
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0  # of the sampler
    confirm_seeds: tuple[int, ...] = (101, 102, 103)  # with which the best is trained again, and scored on test

    def __post_init__(self) -> None:
        spaces.check(self.space)
        for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("metric", tuple(METRICS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(known)}")
        for name in ("num_trials", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.sampler == "grid" and len(spaces.points(self.space)) != self.num_trials:
            found = len(spaces.points(self.space))
            raise ValueError(f"num_trials={self.num_trials}: a grid of choices without conditions has {found} points")
        if self.base.seed in self.confirm_seeds:
            raise ValueError(f"confirm_seeds={self.confirm_seeds}: the search itself uses seed {self.base.seed}")
        object.__setattr__(self, "base", dataclasses.replace(self.base, score_on="validation"))

    def __str__(self) -> str:
        how = f"{self.num_trials} evaluations in rounds of {self.at_once}, {self.sampler}, pruner {self.pruner}"
        lines = [
            f"search   {self.name}: {how}, by {self.metric}",
            f"         then the best on seeds {', '.join(map(str, self.confirm_seeds))}",
        ]
        return "\n".join([*lines, *(f"         {name} {_words(found)}" for name, found in self.space.items())])

    def varied(self, fields: Mapping[str, Value], seeds: tuple[int, ...], limit: int | None) -> Search:
        """The search with `fields` set, which are then not searched, with other seeds, and with fewer evaluations."""
        space = {name: dimension for name, dimension in self.space.items() if name not in fields}
        if limit and self.sampler == "grid":
            raise ValueError(f"--limit {limit}: a grid is searched whole; take fields out of it with --set FIELD=VALUE")
        num = len(spaces.points(space)) if self.sampler == "grid" else min(self.num_trials, limit or self.num_trials)
        return dataclasses.replace(
            self,
            base=dataclasses.replace(self.base, **fields),  # type: ignore[arg-type]
            space=space,
            num_trials=num,
            confirm_seeds=seeds or self.confirm_seeds,
        )

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Of the metric: "maximize" or "minimize"."""
        return METRICS[self.metric][1]

    def stand_ins(self) -> tuple[TrialConfig, ...]:
        """As many trials as the search has, of what is fixed in it: what it will propose is not known before."""
        evaluations = [dataclasses.replace(self.base, seed=seed) for seed in range(self.num_trials)]
        return (*evaluations, *self.confirmed(self.base))

    def sweep(self, trials: Iterable[TrialConfig]) -> Sweep:
        """Some of its trials, each once, as a sweep."""
        shared = {name: value for name, value in self.base.to_dict().items() if name not in {*self.space, *OWN}}
        return Sweep(self.name, tuple(dict.fromkeys(trials)), tuple(self.space), shared, self.metric)

    def confirmed(self, best: TrialConfig) -> list[TrialConfig]:
        """The trials that train the best again, on seeds that had no part in choosing it, and score it on test."""
        return [dataclasses.replace(best, seed=seed, score_on="test") for seed in self.confirm_seeds]


@dataclass(frozen=True)
class Evaluation:
    """What came of one proposal."""

    number: int
    config: TrialConfig
    scores: Mapping[str, float]
    curve: tuple[float, ...]  # the metric after every epoch
    span_s: tuple[float, float] | None = field(default=None, compare=False)  # first epoch's start, last one's end: Unix

    @property
    def state(self) -> str:
        """Of an Optuna trial: COMPLETE, PRUNED, or FAIL where it diverged."""
        return "FAIL" if self.scores.get("diverged") else "PRUNED" if self.scores.get("gave_up") else "COMPLETE"


def evaluation(
    search: Search,
    number: int,
    config: TrialConfig,
    scores: Mapping[str, float],
    history: Sequence[Mapping[str, float]],
) -> Evaluation:
    """The evaluation that a committed trial is."""
    name = METRICS[search.metric][0]
    timed = [row for row in history if "ended_unix_s" in row]  # records of earlier versions are not
    span_s = (timed[0]["ended_unix_s"] - timed[0]["epoch_s"], timed[-1]["ended_unix_s"]) if timed else None
    return Evaluation(number, config, scores, tuple(row[name] for row in history), span_s)


def best(search: Search, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The best of those that were trained to their end; the first of equals. None if there is none."""
    ended = [e for e in evaluations if e.state == "COMPLETE"]
    sign = -1 if search.direction == "maximize" else 1
    return min(ended, key=lambda e: (sign * e.scores[search.metric], e.number), default=None)


class Proposals:
    """Asks and is told, in rounds; the same answers give the same questions, in this process or another."""

    def __init__(self, search: Search) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search, self.evaluations = search, list[Evaluation]()
        self._study = optuna.create_study(sampler=_sampler(search), direction=search.direction)
        self._open: list[optuna.Trial] = []
        for point in spaces.points(search.space) if search.sampler == "grid" else []:
            self._study.enqueue_trial(point)

    def ask(self) -> list[TrialConfig]:
        """The next round; empty when there is none."""
        left = self.search.num_trials - len(self.evaluations)
        self._open = [self._study.ask() for _ in range(min(self.search.at_once, left))]
        return [self._suggest(trial) for trial in self._open]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """What came of the round, in its order."""
        import optuna

        for trial, found in zip(self._open, evaluations, strict=True):
            for epoch, then in enumerate(found.curve, 1):
                trial.report(then, epoch)
            state = optuna.trial.TrialState[found.state]
            value = found.scores[self.search.metric] if found.state == "COMPLETE" else None
            self._study.tell(trial, value, state)
            self.evaluations.append(found)

    def _suggest(self, trial: optuna.Trial) -> TrialConfig:
        fields: dict[str, Any] = {}
        for name, dimension in self.search.space.items():
            if all(fields.get(n) == value for n, value in (dimension.when or {}).items()):
                fields[name] = _suggested(trial, name, dimension)
        return dataclasses.replace(self.search.base, **fields)


def check_storage(uri: str, store_uri: str) -> None:
    """Refuses, before anything is trained, a database that takes no studies of Optuna, or that is MLflow's.

    Args:
        uri: the database for the studies, as Optuna names it.
        store_uri: the MLflow store, whose tables must not be mixed with Optuna's.

    Raises:
        StoreError: naming the database, the reason and the remedy.
    """
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _named(uri):
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() == "sqlite":
            _check_file(uri, url.database, store_uri)
        _check_tables(uri)
        trial = f"written and removed, to try it {uuid.uuid4().hex}"
        optuna.create_study(study_name=trial, storage=uri)
        optuna.delete_study(study_name=trial, storage=uri)


def _check_tables(uri: str) -> None:
    """Refuses a database that holds tables of other software, to which Optuna would add its own."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if "experiments" in tables or (tables and "studies" not in tables):
        listed = ", ".join(sorted(tables)[:3])
        raise StoreError(f"--optuna {uri}: holds tables of other software ({listed}, ...); name another database")


def _check_file(uri: str, database: str | None, store_uri: str) -> None:
    """Refuses a SQLite database that is lost with the process, or that is the file of the MLflow store."""
    path = Path((database or ":memory:").removeprefix("file:"))
    if path.name.startswith(":memory:") or "mode=memory" in uri:
        raise StoreError(f"--optuna {uri}: is lost when the search ends; name a file, sqlite:////absolute/path.db")
    if store_uri.startswith("sqlite:///"):
        store = sqlite_path(store_uri)
        if path.resolve() == store or (path.exists() and store.exists() and path.samefile(store)):
            raise StoreError(f"--optuna {uri}: is the file of --store, which is MLflow's; name another file")


@contextmanager
def _named(uri: str) -> Iterator[None]:
    """Turns whatever Optuna, SQLAlchemy or a database's driver raise into one error that names it and the remedy."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"--optuna {uri}: cannot be used ({reason}); {REMEDY}") from error


class Study:
    """A search's study in a database, as `optuna-dashboard` and Optuna's own tools see it.

    It is written from what trials say and have committed, and nothing is read back from it. An evaluation has one trial
    in it, with its number: a trial that a killed driver has left unfinished goes on.

    Args:
        storage: the database, as Optuna names it.
    """

    def __init__(self, search: Search, title: str, storage: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _check_tables(storage)
        self._search, self._states = search, optuna.trial.TrialState
        self._storage = optuna.storages.get_storage(storage)
        self._study = optuna.create_study(
            study_name=title, storage=self._storage, direction=search.direction, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names([search.metric])

    def propose(self, first: int, configs: Sequence[TrialConfig]) -> None:
        """Evaluations of a round, from this number on, which wait for their turn."""
        trials = self._study.get_trials(deepcopy=False)
        for number, config in enumerate(configs, first):
            if number >= len(trials):
                self._study.add_trial(_trial(self._search, config, self._states.WAITING))
            elif self._goes_on(number, config):  # nothing runs it: this is the only driver
                self._storage.set_trial_state_values(self._id(number), self._states.WAITING)

    def started(self, number: int) -> None:
        """An evaluation runs from now on."""
        if self._is_open(number):
            self._storage.set_trial_state_values(self._id(number), self._states.RUNNING)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """An evaluation has an epoch behind it."""
        if self._is_open(number):
            value = row[METRICS[self._search.metric][0]]
            self._storage.set_trial_intermediate_value(self._id(number), int(row["epoch"]), value)

    def ended(self, evaluations: Sequence[Evaluation]) -> None:
        """What came of evaluations; one that the study has the end of stays as it is."""
        num_known = len(self._study.get_trials(deepcopy=False))
        for found in evaluations:
            whole = frozen(self._search, found)
            if found.number >= num_known:
                self._study.add_trial(whole)
            elif self._goes_on(found.number, found.config):
                self.started(found.number)  # unless it was told so
                for step, value in whole.intermediate_values.items():
                    self._storage.set_trial_intermediate_value(self._id(found.number), step, value)
                self._storage.set_trial_state_values(self._id(found.number), whole.state, whole.values)

    def rest(self) -> None:
        """Nothing runs any more; what did waits for the next start."""
        for trial in self._study.get_trials(deepcopy=False, states=[self._states.RUNNING]):
            self._storage.set_trial_state_values(self._id(trial.number), self._states.WAITING)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _is_open(self, number: int) -> bool:
        return not self._storage.get_trial(self._id(number)).state.is_finished()

    def _goes_on(self, number: int, config: TrialConfig) -> bool:
        """Whether a trial that is there is open for what comes of `config`; one of another config is given up."""
        if self._is_open(number) and self._storage.get_trial(self._id(number)).user_attrs.get("key") != config.key:
            self._storage.set_trial_state_values(self._id(number), self._states.FAIL)
        return self._is_open(number)


def write_study(search: Search, title: str, evaluations: Sequence[Evaluation], storage: str) -> None:
    """Writes the evaluations that an Optuna study in `storage` (a database's URL) does not have yet.

    Raises:
        StoreError: if it cannot be written.
    """
    with _named(storage):
        Study(search, title, storage).ended(evaluations)


def frozen(search: Search, found: Evaluation) -> optuna.trial.FrozenTrial:
    """An evaluation as Optuna has it, with the times at which it was trained where they are known."""
    import optuna

    value = found.scores[search.metric] if found.state == "COMPLETE" else None
    trial = _trial(search, found.config, optuna.trial.TrialState[found.state], value, found.curve)
    if found.span_s:
        trial.datetime_start, trial.datetime_complete = map(datetime.fromtimestamp, found.span_s)
    return trial


def _trial(
    search: Search,
    config: TrialConfig,
    state: optuna.trial.TrialState,
    value: float | None = None,
    curve: Sequence[float] = (),
) -> optuna.trial.FrozenTrial:
    import optuna

    searched = {n: d for n, d in search.space.items() if _applies(d, config)}
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: getattr(config, name) for name in searched},
        distributions={name: _distribution(dimension) for name, dimension in searched.items()},
        intermediate_values=dict(enumerate(curve, 1)),
        user_attrs={"key": config.key},
    )


def _applies(dimension: Dimension, config: TrialConfig) -> bool:
    return all(getattr(config, name) == value for name, value in (dimension.when or {}).items())


def _suggested(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name, dimension.values)
    if isinstance(dimension, Whole):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=isinstance(dimension, spaces.LogUniform))


def _words(dimension: Dimension) -> str:
    """A dimension for the reader of a plan."""
    if isinstance(dimension, Choice):
        said = "one of " + ", ".join(map(str, dimension.values))
    else:
        said = f"{dimension.low:g} to {dimension.high:g}"
        by_log = isinstance(dimension, spaces.LogUniform) or (isinstance(dimension, Whole) and dimension.log)
        said += ", by its logarithm" if by_log else ""
    return said + "".join(f", where {name}={value}" for name, value in (dimension.when or {}).items())


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(dimension, Choice):
        return distributions.CategoricalDistribution(dimension.values)
    if isinstance(dimension, Whole):
        return distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, spaces.LogUniform))


def _sampler(search: Search) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)  # samplers that Optuna calls experimental
        made = {
            "tpe": samplers.TPESampler,
            "gp": samplers.GPSampler,
            "cmaes": samplers.CmaEsSampler,
            "random": samplers.RandomSampler,
            "grid": samplers.RandomSampler,  # which is not asked: all points stand in the queue
        }
        return made[search.sampler](seed=search.seed)
