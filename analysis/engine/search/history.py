"""The evaluations of a search: the Optuna study that holds them, and the runs of the store that trained them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweeps.engine.search.search import Evaluation, Search
from sweeps.engine.store.optuna_study import REMEDY, frozen
from sweeps.engine.store.runs import Run, sqlite_path
from trainable.config import TrialConfig

if TYPE_CHECKING:
    import optuna

# The scores that mark an evaluation's state.
STATES: dict[str, dict[str, float]] = {"COMPLETE": {}, "PRUNED": {"gave_up": 1.0}, "FAIL": {"diverged": 1.0}}


@dataclass(frozen=True)
class SearchStudy:
    """One study of a search, with its evaluations in the order in which they were proposed."""

    title: str
    evaluations: tuple[Evaluation, ...]
    runs: Mapping[TrialConfig, Sequence[Run]]  # the runs of each evaluation that has any in the store


def find(search: Search, variant: str, uri: str, runs: Sequence[Run], data: str = "", digits: str = "") -> SearchStudy:
    """Finds the study that belongs to a planned search.

    Args:
        search: the search as its file and the flags plan it; a study with another space or fixed fields does not fit.
        variant: the settings that differ from the study's file, in words, for messages.
        uri: the database of studies, as Optuna names it.
        runs: the runs of the store.
        data: first digits of the data or split hash that the runs must have; empty for any.
        digits: last digits of the study's title, to choose among several; empty for any.

    Raises:
        ValueError: if there is no such study, or more than one; names the studies that exist, with the remedy.
    """
    runs_by_key, title = _finished(runs, data), f"{search.name} {variant}".strip()
    studies = _studies(uri, search.name)
    proposals = {name: _evaluations(search, trials) for name, trials in studies.items()}
    fitting = {
        name: evaluations
        for name, evaluations in proposals.items()
        if name.endswith(digits) and _trained(search, evaluations, runs_by_key)
    }
    longest: dict[str, tuple[Evaluation, ...]] = {}
    for name in sorted(fitting, key=lambda n: -len(fitting[n])):  # a study that continues another stands for both
        if not any(longer[: len(fitting[name])] == fitting[name] for longer in longest.values()):
            longest[name] = fitting[name]
    if len(longest) != 1:
        raise ValueError(
            _refusal(title, list(studies), {name: len(evaluations) for name, evaluations in longest.items()})
        )
    ((name, evaluations),) = longest.items()
    runs_by_trial = _its_runs(search, evaluations, runs_by_key)
    return SearchStudy(
        name, tuple(_with_scores(e, runs_by_trial.get(e.config, [])) for e in evaluations), runs_by_trial
    )


def _finished(runs: Sequence[Run], data: str) -> dict[str, list[Run]]:
    by_key = defaultdict(list)
    for run in runs:
        if run.status == "FINISHED" and any(sha.startswith(data) for sha in _inputs(run)):
            by_key[run.key].append(run)
    return by_key


def _studies(uri: str, name: str) -> dict[str, list[optuna.trial.FrozenTrial]]:
    """The trials of every study of a search, by title, whatever the study's settings."""
    if uri.startswith("sqlite:///") and not sqlite_path(uri).is_file():
        raise ValueError(
            f"{sqlite_path(uri)} does not exist; a search writes it after its first round: name the --storage that the "
            "search ran with"
        )
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pattern = re.compile(rf"{re.escape(name)}( .*)? [0-9a-f]{{8}}")
    try:
        titles = filter(pattern.fullmatch, optuna.get_all_study_names(uri))
        trials_of = {t: optuna.load_study(study_name=t, storage=uri).get_trials(deepcopy=False) for t in titles}
    except Exception as error:  # whatever Optuna, SQLAlchemy or the network raise, the remedy is the same
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"--optuna {uri}: cannot be read ({reason}); {REMEDY}") from error
    # In a search that is running or was stopped, only the trials before the first unfinished one count.
    return {
        t: list(itertools.takewhile(lambda trial: trial.state.is_finished(), trials)) for t, trials in trials_of.items()
    }


def _evaluations(search: Search, trials: Sequence[optuna.trial.FrozenTrial]) -> tuple[Evaluation, ...]:
    """The trials of a study as evaluations of this search; empty if one of them is outside its space."""
    evaluations = []
    for trial in trials:
        try:
            config = search.base.but(**trial.params)
        except (TypeError, ValueError):  # a field that no longer exists, or a value that is no longer allowed
            return ()
        scores = {**STATES[trial.state.name], **({search.metric: trial.value} if trial.value is not None else {})}
        curve = tuple(value for _, value in sorted(trial.intermediate_values.items()))
        evaluation = Evaluation(trial.number, config, scores, curve)
        expected = frozen(search, evaluation)
        if expected.user_attrs != trial.user_attrs or expected.distributions != trial.distributions:
            return ()
        evaluations.append(evaluation)
    return tuple(evaluations) if len(evaluations) <= search.num_trials else ()


def _trained(search: Search, evaluations: Sequence[Evaluation], runs_by_key: Mapping[str, Sequence[Run]]) -> bool:
    """Whether the store's runs are those of a study: every stored key has a run with the study's value."""
    stored = [e for e in evaluations if e.config.key in runs_by_key]
    return bool(stored) and all(any(_reached(search, e, run) for run in runs_by_key[e.config.key]) for e in stored)


def _reached(search: Search, evaluation: Evaluation, run: Run) -> bool:
    value = evaluation.scores.get(search.metric)
    return value is None or math.isclose(value, run.metrics.get(search.metric, math.nan), rel_tol=1e-9)


def _its_runs(
    search: Search, evaluations: Sequence[Evaluation], runs_by_key: Mapping[str, Sequence[Run]]
) -> dict[TrialConfig, list[Run]]:
    """The runs of each evaluation that has any, on the data of the completed evaluations, which have a value."""
    reached = {
        e.config: [run for run in runs_by_key.get(e.config.key, []) if _reached(search, e, run)] for e in evaluations
    }
    ended = [run for e in evaluations if e.state == "COMPLETE" for run in reached[e.config]]
    inputs = {_inputs(run) for run in ended} or {_inputs(run) for runs in reached.values() for run in runs}
    usable = {trial: [run for run in runs if _inputs(run) in inputs] for trial, runs in reached.items()}
    return {trial: runs for trial, runs in usable.items() if runs}


def _inputs(run: Run) -> tuple[str, ...]:
    return tuple(run.tags.get(name, "") for name in ("data_sha256", "split_sha256"))


def _with_scores(evaluation: Evaluation, runs: Sequence[Run]) -> Evaluation:
    """An evaluation with all the metrics of its run."""
    return dataclasses.replace(evaluation, scores={**runs[-1].metrics, **evaluation.scores}) if runs else evaluation


def _refusal(title: str, titles: Sequence[str], fitting: Mapping[str, int]) -> str:
    if fitting:
        lines = [f"  --study {name[-8:]} has {count} evaluations" for name, count in fitting.items()]
        return f"{len(fitting)} studies fit {title}, with different data or settings; name one:\n" + "\n".join(lines)
    others = "".join(f"\n  {name}" for name in titles) or " none"
    return (
        f"no study fits {title}, with the space of its file and with runs in this store; the studies are{others}\n"
        "give its settings as --set FIELD=VALUE, name its store with --store, or run the search"
    )
