"""The study of a search in an Optuna database, for `optuna-dashboard`. A search writes it and never reads it."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.engine.search import space as spaces
from sweeps.engine.search.search import Evaluation, Search
from sweeps.engine.search.space import Choice, Dimension, Whole
from sweeps.engine.store.runs import StoreError, sqlite_path
from trainable.config import TrialConfig

if TYPE_CHECKING:
    import optuna

REMEDY = (
    "name another database with --optuna, or fix this one; a damaged file can be moved away, because the search writes "
    "its study again from the committed trials"
)


def check_storage(uri: str, store_uri: str) -> None:
    """Refuses, before anything is trained, a database that does not take Optuna's studies, or that is MLflow's.

    Args:
        uri: the database for the studies, as Optuna names it.
        store_uri: the MLflow store, whose tables must not be mixed with Optuna's.

    Raises:
        StoreError: names the database, the reason and the remedy.
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
    """Refuses a database with tables of other software, to which Optuna would add its own."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if "experiments" in tables or (tables and "studies" not in tables):
        names = ", ".join(sorted(tables)[:3])
        raise StoreError(f"--optuna {uri}: holds tables of other software ({names}, ...); name another database")


def _check_file(uri: str, database: str | None, store_uri: str) -> None:
    """Refuses a SQLite database in memory, or in the file of the MLflow store."""
    path = Path((database or ":memory:").removeprefix("file:"))
    if path.name.startswith(":memory:") or "mode=memory" in uri:
        raise StoreError(f"--optuna {uri}: is lost when the search ends; name a file, sqlite:////absolute/path.db")
    if store_uri.startswith("sqlite:///"):
        store = sqlite_path(store_uri)
        if path.resolve() == store or (path.exists() and store.exists() and path.samefile(store)):
            raise StoreError(f"--optuna {uri}: is the file of --store, which is MLflow's; name another file")


@contextmanager
def _named(uri: str) -> Iterator[None]:
    """Turns any error of Optuna, SQLAlchemy or a database driver into one that names the database and the remedy."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"--optuna {uri}: cannot be used ({reason}); {REMEDY}") from error


class Study:
    """The study of a search in a database, for `optuna-dashboard` and Optuna's own tools.

    It is written from the events and records of trials, and nothing is read back from it. Each evaluation has one trial
    in it, with the same number: a trial that a killed driver has left unfinished continues.

    Args:
        search: the search.
        title: the title of the study.
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
        """Adds the evaluations of a round, numbered from `first`, as waiting trials."""
        trials = self._study.get_trials(deepcopy=False)
        for number, config in enumerate(configs, first):
            if number >= len(trials):
                self._study.add_trial(_trial(self._search, config, self._states.WAITING))
            elif self._goes_on(number, config):  # nothing runs it, because this is the only driver
                self._storage.set_trial_state_values(self._id(number), self._states.WAITING)

    def started(self, number: int) -> None:
        """Marks an evaluation as running."""
        if self._is_open(number):
            self._storage.set_trial_state_values(self._id(number), self._states.RUNNING)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """Adds a completed epoch of an evaluation."""
        if self._is_open(number):
            value = row[self._search.of_epoch]
            self._storage.set_trial_intermediate_value(self._id(number), int(row["epoch"]), value)

    def ended(self, evaluations: Sequence[Evaluation]) -> None:
        """Adds the results of evaluations; one that has already ended in the study is left alone."""
        num_known = len(self._study.get_trials(deepcopy=False))
        for evaluation in evaluations:
            complete = frozen(self._search, evaluation)
            if evaluation.number >= num_known:
                self._study.add_trial(complete)
            elif self._goes_on(evaluation.number, evaluation.config):
                self.started(evaluation.number)  # in case it is not marked yet
                for step, value in complete.intermediate_values.items():
                    self._storage.set_trial_intermediate_value(self._id(evaluation.number), step, value)
                self._storage.set_trial_state_values(self._id(evaluation.number), complete.state, complete.values)

    def rest(self) -> None:
        """Marks running trials as waiting for the next start, because nothing runs any more."""
        for trial in self._study.get_trials(deepcopy=False, states=[self._states.RUNNING]):
            self._storage.set_trial_state_values(self._id(trial.number), self._states.WAITING)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _is_open(self, number: int) -> bool:
        return not self._storage.get_trial(self._id(number)).state.is_finished()

    def _goes_on(self, number: int, config: TrialConfig) -> bool:
        """Whether an existing trial is open for the results of `config`; one of another config is marked as failed."""
        if self._is_open(number) and self._storage.get_trial(self._id(number)).user_attrs.get("key") != config.key:
            self._storage.set_trial_state_values(self._id(number), self._states.FAIL)
        return self._is_open(number)


def write_study(search: Search, title: str, evaluations: Sequence[Evaluation], storage: str) -> None:
    """Writes the evaluations that an Optuna study in `storage` (the URL of a database) does not have yet.

    Raises:
        StoreError: if it cannot be written.
    """
    with _named(storage):
        Study(search, title, storage).ended(evaluations)


def frozen(search: Search, evaluation: Evaluation) -> optuna.trial.FrozenTrial:
    """An evaluation as a trial of Optuna's, with the times of its training if they are known."""
    import optuna

    value = evaluation.scores[search.metric] if evaluation.state == "COMPLETE" else None
    trial = _trial(search, evaluation.config, optuna.trial.TrialState[evaluation.state], value, evaluation.curve)
    if evaluation.span_s:
        trial.datetime_start, trial.datetime_complete = map(datetime.fromtimestamp, evaluation.span_s)
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
        params={name: config[name] for name in searched},
        distributions={name: _distribution(dimension) for name, dimension in searched.items()},
        intermediate_values=dict(enumerate(curve, 1)),
        user_attrs={"key": config.key},
    )


def _applies(dimension: Dimension, config: TrialConfig) -> bool:
    return all(config[name] == value for name, value in (dimension.when or {}).items())


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(dimension, Choice):
        return distributions.CategoricalDistribution(dimension.values)
    if isinstance(dimension, Whole):
        return distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, spaces.LogUniform))
