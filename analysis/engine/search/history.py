"""The evaluations of a search: which Optuna study holds them, and which runs of the store trained them."""

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

# What a state means in an evaluation's scores.
STATES: dict[str, dict[str, float]] = {"COMPLETE": {}, "PRUNED": {"gave_up": 1.0}, "FAIL": {"diverged": 1.0}}


@dataclass(frozen=True)
class Found:
    """One study of a search, in the order in which it was proposed."""

    title: str
    evaluations: tuple[Evaluation, ...]
    runs: Mapping[TrialConfig, Sequence[Run]]  # of the evaluations that the store has


def find(search: Search, variant: str, uri: str, runs: Sequence[Run], data: str = "", digits: str = "") -> Found:
    """The study of a search as it is planned.

    Args:
        search: as its file and the flags have it; a study whose space or fixed fields differ is not its.
        variant: the settings that differ from the study's file, in words, for messages.
        uri: the database of studies, as Optuna names it.
        runs: what the store holds.
        data: first digits of the data or split hash that the runs must have; empty for any.
        digits: with which the study's title ends, to choose among several; empty for any.

    Raises:
        ValueError: if there is no such study, or more than one; names those there are, with the remedy.
    """
    of_key, title = _finished(runs, data), f"{search.name} {variant}".strip()
    studies = _studies(uri, search.name)
    read = {name: _evaluations(search, trials) for name, trials in studies.items()}
    fitting = {name: found for name, found in read.items() if name.endswith(digits) and _trained(search, found, of_key)}
    whole: dict[str, tuple[Evaluation, ...]] = {}
    for name in sorted(fitting, key=lambda n: -len(fitting[n])):  # one that goes on from another stands for both
        if not any(longer[: len(fitting[name])] == fitting[name] for longer in whole.values()):
            whole[name] = fitting[name]
    if len(whole) != 1:
        raise ValueError(_refusal(title, list(studies), {name: len(found) for name, found in whole.items()}))
    ((name, found),) = whole.items()
    its_runs = _its_runs(search, found, of_key)
    return Found(name, tuple(_with_scores(e, its_runs.get(e.config, [])) for e in found), its_runs)


def _finished(runs: Sequence[Run], data: str) -> dict[str, list[Run]]:
    found = defaultdict(list)
    for run in runs:
        if run.status == "FINISHED" and any(sha.startswith(data) for sha in _inputs(run)):
            found[run.key].append(run)
    return found


def _studies(uri: str, name: str) -> dict[str, list[optuna.trial.FrozenTrial]]:
    """The trials of every study of a search, whatever its settings, by title."""
    if uri.startswith("sqlite:///") and not sqlite_path(uri).is_file():
        raise ValueError(
            f"{sqlite_path(uri)} does not exist, which a search writes after its first round; name the --storage that "
            "it ran with"
        )
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pattern = re.compile(rf"{re.escape(name)}( .*)? [0-9a-f]{{8}}")
    try:
        titles = filter(pattern.fullmatch, optuna.get_all_study_names(uri))
        found = {t: optuna.load_study(study_name=t, storage=uri).get_trials(deepcopy=False) for t in titles}
    except Exception as error:  # whatever Optuna, SQLAlchemy or the network raise, the user fixes the same thing
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"--optuna {uri}: cannot be read ({reason}); {REMEDY}") from error
    # Of a search that goes on, or was stopped, those before the first that has not ended.
    return {t: list(itertools.takewhile(lambda trial: trial.state.is_finished(), its)) for t, its in found.items()}


def _evaluations(search: Search, trials: Sequence[optuna.trial.FrozenTrial]) -> tuple[Evaluation, ...]:
    """What the trials of a study are for this search; none if one of them is not in its space."""
    found = []
    for trial in trials:
        try:
            config = search.base.but(**trial.params)
        except (TypeError, ValueError):  # a field that there is no more, or a value that it may no longer have
            return ()
        scores = {**STATES[trial.state.name], **({search.metric: trial.value} if trial.value is not None else {})}
        curve = tuple(value for _, value in sorted(trial.intermediate_values.items()))
        one = Evaluation(trial.number, config, scores, curve)
        again = frozen(search, one)
        if again.user_attrs != trial.user_attrs or again.distributions != trial.distributions:
            return ()
        found.append(one)
    return tuple(found) if len(found) <= search.num_trials else ()


def _trained(search: Search, found: Sequence[Evaluation], of_key: Mapping[str, Sequence[Run]]) -> bool:
    """Whether the runs of the store are those of a study: of the keys that it has, each reached the study's value."""
    known = [e for e in found if e.config.key in of_key]
    return bool(known) and all(any(_reached(search, e, run) for run in of_key[e.config.key]) for e in known)


def _reached(search: Search, found: Evaluation, run: Run) -> bool:
    value = found.scores.get(search.metric)
    return value is None or math.isclose(value, run.metrics.get(search.metric, math.nan), rel_tol=1e-9)


def _its_runs(
    search: Search, found: Sequence[Evaluation], of_key: Mapping[str, Sequence[Run]]
) -> dict[TrialConfig, list[Run]]:
    """The runs of each evaluation that has any, on the data of those that went to their end and so have a value."""
    reached = {e.config: [run for run in of_key.get(e.config.key, []) if _reached(search, e, run)] for e in found}
    ended = [run for e in found if e.state == "COMPLETE" for run in reached[e.config]]
    inputs = {_inputs(run) for run in ended} or {_inputs(run) for its in reached.values() for run in its}
    kept = {trial: [run for run in its if _inputs(run) in inputs] for trial, its in reached.items()}
    return {trial: its for trial, its in kept.items() if its}


def _inputs(run: Run) -> tuple[str, ...]:
    return tuple(run.tags.get(name, "") for name in ("data_sha256", "split_sha256"))


def _with_scores(found: Evaluation, its: Sequence[Run]) -> Evaluation:
    """An evaluation with all that its run measured."""
    return dataclasses.replace(found, scores={**its[-1].metrics, **found.scores}) if its else found


def _refusal(title: str, titles: Sequence[str], fitting: Mapping[str, int]) -> str:
    if fitting:
        lines = [f"  --study {name[-8:]} has {count} evaluations" for name, count in fitting.items()]
        return f"{len(fitting)} studies are of {title}, of other data or settings; name one:\n" + "\n".join(lines)
    others = "".join(f"\n  {name}" for name in titles) or " none"
    return (
        f"no study is of {title}, with the space of its file and runs that this store has; the studies are{others}\n"
        "write its settings as --set FIELD=VALUE, name its store with --store, or run the search"
    )
