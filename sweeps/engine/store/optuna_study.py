"""A search's study in a database of Optuna's, as `optuna-dashboard` shows it; written, and never read for a search."""

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
    "name another database with --optuna, or fix this one; a file that is damaged can be moved away, because the "
    "search writes its study again from what trials have committed"
)


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
            value = row[self._search.of_epoch]
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
