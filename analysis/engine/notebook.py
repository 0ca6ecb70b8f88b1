"""A study's trials and predictions as tables of pandas, for notebooks: `analysis.rows` and `analysis.predictions`."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

import sweeps
from analysis.engine.rows import finished_runs, held, read_predictions, table_rows
from analysis.engine.runs.declared import with_added_seeds
from datasets.engine.words.flags import Flags
from datasets.engine.words.suggest import did_you_mean
from sweeps.engine.command.commandline import add_plan_flags, add_store_flags, options_of
from sweeps.engine.command.options import Options
from sweeps.engine.plan import Sweep, differing
from sweeps.engine.search.search import Search
from sweeps.engine.situation import Inputs, folder_name
from sweeps.engine.store.runs import Run, read_runs
from trainable.config import TrialConfig
from trainable.result.metrics import log_softmax


def rows(study: str | Sweep, *, data: str = "", accept_mixed: Collection[str] = (), **flags: object) -> pd.DataFrame:
    """The trials of a study, one row each, in the order of its plan.

    `analysis.rows("deepship_rates", split="day", seeds=[1, 2], set={"epochs": 3})`

    Args:
        study: its name, or the sweep itself.
        data: first digits of the data or split hash that the runs must have; empty for any.
        accept_mixed: "code" or "versions", which may then differ between the trials.
        flags: the flags of the study's commands that say which trials and which results: `storage`, `store`, `split`,
            `classes`, `seeds`, `limit`, and `set`, a dict. Numbers and lists are written as such.

    Returns:
        Columns: key; status (finished, running, failed, killed or missing); the fields in which the trials differ; the
        scores, shares as fractions; ended (UTC) and took_s [s]; folder, where the trial's files are on this machine,
        empty where they are not; then all other fields of `TrialConfig` and settings of parts, and the tags of the
        run. What a trial that is not finished has no value for is empty, NaN or NaT.

    Raises:
        ValueError: if there is no such study or flag, no run is of one of its trials, or runs must not share a table.
        StoreError: if the store cannot be read.
    """
    of_study = _runs_of(study, data, accept_mixed, flags)
    table, trials = of_study.table, of_study.sweep.trials
    runs = [of_study.finished.get(trial.key) for trial in trials]
    table["ended"] = pd.to_datetime([run.ended_unix_s if run else np.nan for run in runs], unit="s", utc=True)
    table["took_s"] = [run.took_s if run else np.nan for run in runs]
    table["folder"] = [_folder(trial, run, of_study.options) for trial, run in zip(trials, runs, strict=True)]
    scores = [name for name in table if name in trials[0].metrics]
    first = ["key", "status", *differing(trials), *scores, "ended", "took_s", "folder"]
    return table[[*first, *(name for name in table if name not in {*first, "config"})]]


def predictions(
    study: str | Sweep, *, data: str = "", accept_mixed: Collection[str] = (), **flags: object
) -> pd.DataFrame:
    """The predictions of a study's finished trials, one row per trial and test clip.

    `analysis.predictions("deepship_rates").groupby(["data_hz", "label"], observed=True)["right"].mean()`

    Args:
        study: its name, or the sweep itself.
        data: first digits of the data or split hash that the runs must have; empty for any.
        accept_mixed: "code" or "versions", which may then differ between the trials.
        flags: as of `rows`.

    Returns:
        Columns: key; the fields in which the trials differ; seed; recording; clip, its index in the recording; label,
        its class; predicted, the class of the largest logit; right, whether they are one; and for each class
        p_<class>, its share in the softmax of the logits, from which the scores are taken. Words are categories.

    Raises:
        ValueError: as of `rows`, or if no trial has finished, or predictions are damaged or not those of a run's score.
        StoreError: if the store cannot be read, or predictions are gone.
    """
    of_study = _runs_of(study, data, accept_mixed, flags)
    if not of_study.finished:
        raise ValueError(f"no trial of sweep {of_study.sweep.name} has finished yet")
    varying = list(dict.fromkeys([*differing(of_study.sweep.trials), "seed"]))
    its = [(trial, of_study.finished[trial.key]) for trial in of_study.sweep.trials if trial.key in of_study.finished]
    table = pd.concat([_said(trial, run, varying) for trial, run in its], ignore_index=True)
    words = [
        name for name in ("key", *varying, "recording", "label", "predicted") if table[name].dtype.kind not in "if"
    ]
    return table.astype(dict.fromkeys(words, "category"))


@dataclass(frozen=True)
class _StudyRuns:
    """A plan and its runs in a store."""

    sweep: Sweep
    options: Options
    table: pd.DataFrame
    finished: Mapping[str, Run]  # by key


def _runs_of(study: str | Sweep, data: str, accept_mixed: Collection[str], flags: Mapping[str, object]) -> _StudyRuns:
    planned, options = _study(study) if isinstance(study, str) else study, _options(flags)
    runs = read_runs(options.store_uri)
    sweep = with_added_seeds(options.planned(planned), options, runs, data)
    table = table_rows(sweep, runs, data, accept_mixed)
    if (table["status"] == "missing").all():
        raise ValueError(f"no run is of a trial that sweep {sweep.name} plans; {held(sweep, runs)}")
    return _StudyRuns(sweep, options, table, finished_runs(sweep, runs, data))


def _study(name: str) -> Sweep:
    known = sorted(path.stem for path in Path(sweeps.__path__[0]).glob("[!_]*.py"))
    if name not in known:
        near = did_you_mean(known, name)
        raise ValueError(f"{name!r}: sweeps/ has no study of that name; it has {', '.join(known)}{near}")
    study = importlib.import_module(f"sweeps.{name}").SWEEP
    if isinstance(study, Search):
        raise ValueError(
            f"{name} is a search, whose trials no plan names; python -m analysis.{name} writes them to table.csv"
        )
    return study


class _Words(Flags):
    """A command-line parser that raises an error where the command would exit."""

    def error(self, message: str) -> NoReturn:
        """Raises the error that argparse reports."""
        raise ValueError(message.replace("arguments: --", "arguments: "))


def _options(flags: Mapping[str, object]) -> Options:
    """Options from keywords, with the checks and defaults of the command line."""
    parser = _Words("analysis", allow_abbrev=False)
    add_plan_flags(parser)
    add_store_flags(parser)
    return options_of(parser.parse_args([word for name, value in flags.items() for word in _as_flag(name, value)]))


def _as_flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, Mapping):
        return [f"{flag}={field}={chosen}" for field, chosen in value.items()]
    listed = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    return [f"{flag}={','.join(map(str, listed)) if listed else value}"]


def _folder(trial: TrialConfig, run: Run | None, options: Options) -> str:
    if run is None or not all(field.name in run.tags for field in fields(Inputs)):
        return ""
    path = options.trials_dir / folder_name(
        trial, Inputs(**{field.name: run.tags[field.name] for field in fields(Inputs)})
    )
    return str(path) if path.is_dir() else ""


def _said(trial: TrialConfig, run: Run, varying: Sequence[str]) -> pd.DataFrame:
    """The predictions of one trial."""
    said = read_predictions(run)
    classes, best = np.array(said.classes), said.logits.argmax(axis=1)
    own = {name: trial.get(name) for name in varying}
    shares = np.exp(log_softmax(said.logits))
    return pd.DataFrame(
        {
            "key": trial.key,
            **own,
            "recording": said.recording,
            "clip": said.clip,
            "label": classes[said.labels],
            "predicted": classes[best],
            "right": best == said.labels,
            **{f"p_{name}": shares[:, number] for number, name in enumerate(said.classes)},
        }
    )
