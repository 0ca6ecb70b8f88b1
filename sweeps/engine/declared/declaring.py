"""Entries in a sweep's lock as it runs: new trials before they start, and scores when trials have finished."""

from __future__ import annotations

import functools
import hashlib
import shlex
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from datasets.engine.remote import RemoteError
from sweeps.engine.adaptive.contrasts import contrasts
from sweeps.engine.code import ROOT, code_state
from sweeps.engine.command.options import Options
from sweeps.engine.declared import lockfile
from sweeps.engine.declared.lockfile import BadLock, lock_path
from sweeps.engine.modules import codes
from sweeps.engine.plan import Sweep
from sweeps.engine.situation import Situation
from trainable.config import TrialConfig

PLANNED = "planned"  # by the study's file and the flags, and not by a look


def declare(situation: Situation, options: Options, why: str = PLANNED) -> None:
    """Adds the trials of a plan that its lock does not have on these inputs, before they run.

    Args:
        situation: the plan, with its data and its finished trials.
        options: the flags.
        why: what asks for the trials; empty for those that no lock declares, such as the evaluations of a search.

    Raises:
        BadLock: if the lock cannot be read or written.
    """
    sweep, inputs = situation.sweep, situation.inputs
    lock = lockfile.read(lock_path(options.storage, sweep.name))
    new = [trial for trial in sweep.trials if why and not lock.has(trial.key, inputs[trial.key].tags)]
    if not new:
        return
    code, keys = codes(new), {trial.key for trial in new}
    earlier = {key for entry in lock.declared for key in entry.trials} - keys
    hashed = [(trial, {**inputs[trial.key].tags, "code_sha256": code[trial.key].sha256}) for trial in new]
    finished = situation.done | {run.key for run in situation.runs if run.status == "FINISHED"}
    counts = (len(earlier & finished), len(keys & situation.done))
    _add(options, sweep, lockfile.declared_entry(hashed, why, _about(sweep, options), counts))


def note_finished(situation: Situation, options: Options) -> None:
    """Adds the scores of trials that have finished, of those that the lock declares and has no scores of.

    Raises:
        BadLock: if the lock cannot be read or written.
    """
    lock = lockfile.read(lock_path(options.storage, situation.sweep.name))
    for made_on, by_key in (_scores(situation) if lock.declared else {}).items():
        if new := {key: its for key, its in by_key.items() if key not in lock.scores and lock.entry_of(key)}:
            try:
                _add(options, situation.sweep, lockfile.finished_entry(new, made_on))
            except RemoteError as error:  # the results are committed, and the next start brings the lock there
                print(f"lock     {error}", flush=True)


def _scores(situation: Situation) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of the plan's finished trials: where they were made -> key -> name -> score."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    runs = {run.key: run for run in situation.runs if run.status == "FINISHED"}
    for trial in situation.sweep.trials:
        if record := situation.records.get(trial.key):
            found[_made_on(record.provenance)][trial.key] = scores_of(trial, record.scores)
        elif trial.key in situation.done:
            run = runs[trial.key]
            found[_made_on(run.tags)][trial.key] = scores_of(trial, run.metrics)
    return found


def scores_of(trial: TrialConfig, metrics: Mapping[str, float]) -> dict[str, float]:
    """The scores of a trial that a lock keeps: all that the trial has, and its kept epoch."""
    return {name: metrics[name] for name in trial.metrics if name in metrics}


@functools.cache
def requirements_sha256() -> str:
    """The hash of requirements.txt, which pins every package."""
    return hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()


def _made_on(tags: Mapping[str, str]) -> str:
    return "; ".join(tags.get(name, "unknown") for name in ("device", "versions"))


def _about(sweep: Sweep, options: Options) -> dict[str, Any]:
    """The facts of an entry about the sweep, its comparisons and the code."""
    compared: list[str] = []
    with suppress(ValueError):  # one setting alone is compared with nothing
        compared = [contrast.name for contrast in contrasts(sweep, options.until_decided or "")]
    rule = options.rule(sweep)
    return {
        "study": sweep.study,
        "sweep": sweep.name,
        "variant": options.variant,
        "command": f"python -m sweeps.{sweep.study} {shlex.join(options.plan_flags)}".rstrip(),
        "score": sweep.by,
        "comparisons": compared,
        **({"rule": str(rule)} if rule else {}),
        **code_state(),
        "requirements_sha256": requirements_sha256(),
    }


def _add(options: Options, sweep: Sweep, entry: str) -> None:
    path = lock_path(options.storage, sweep.name)
    try:
        lockfile.append(path, entry)
    except OSError as error:
        raise BadLock(f"{path}: cannot be written ({error.strerror}); make room, or allow it") from None
    if remote := options.object_store:
        remote.put(f"{lockfile.FOLDER}/{path.name}")
