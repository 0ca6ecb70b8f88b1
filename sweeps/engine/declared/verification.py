"""Compares a sweep's lock with the results in a storage: every trial there, on the same bytes, with the same scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sweeps.engine.declared.declaring import requirements_sha256, scores_of
from sweeps.engine.declared.lockfile import HASHES, Declared, Lock
from sweeps.engine.modules import codes
from sweeps.engine.plan import Sweep
from sweeps.engine.report import listed
from sweeps.engine.store import reconcile
from sweeps.engine.store.runs import Run
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import Record

NAMES = dict(zip((*HASHES, "code_sha256"), ("data", "split", "weights", "code"), strict=True))
DIGITS = 12  # of a hash, in words
MOST = 20  # lines on one kind of difference


def sweep_of(lock: Lock) -> Sweep:
    """The sweep of all trials that a lock declares.

    Raises:
        BadLock: if its trials cannot be made from their fields here.
    """
    trials = {key: entry.config(key) for entry in lock.declared for key in entry.trials}
    about = lock.declared[0].about
    return Sweep(about["sweep"], tuple(trials.values()), by=about["score"], study=about["study"])


def differences(lock: Lock, sweep: Sweep, storage: Path, runs: Iterable[Run], within: float = 0.0) -> list[str]:
    """Sentences on what differs between a lock and the results of its trials; none if all agree.

    Args:
        lock: the lock.
        sweep: its sweep.
        storage: the folder of the results.
        runs: what the store holds, for trials that have no result in the folder.
        within: the largest difference of a main score that counts as equal, as a fraction.

    Raises:
        DamagedRecord: if a record is damaged.
    """
    results = {**_in_store(runs), **_committed(storage, sweep.trials)}
    missing, wrong = list[TrialConfig](), list[str]()
    for trial in sweep.trials:
        entries = [entry for entry in lock.declared if trial.key in entry.trials]
        if not (records := results.get(trial.key)):
            missing.append(trial)
            continue
        told = min((_unlike(entry, trial, its) for entry in entries for its in records.values()), key=len)
        told += _scores(lock, trial, records, within)
        told += filter(None, (record.damage(folder, its, read=True) for folder, its in records.items()))
        wrong += [f"{sweep.title(trial)} (key {trial.key}): {line}" for line in told]
    return [*_missing(sweep, missing), *wrong[:MOST], *[f"and {len(wrong) - MOST} more"] * (len(wrong) > MOST)]


def surroundings(lock: Lock, sweep: Sweep) -> list[str]:
    """Sentences on code and packages here that are not those of the lock; results may then differ in their digits."""
    said, here = list[str](), codes(sweep.trials)
    theirs = {key: its["code_sha256"] for entry in reversed(lock.declared) for key, its in entry.trials.items()}
    changed = [trial for trial in sweep.trials if theirs[trial.key] != here[trial.key].sha256]
    if changed:
        commits = ", ".join(dict.fromkeys(entry.about["git_commit"][:DIGITS] for entry in lock.declared))
        said.append(
            f"the code of {len(changed)} of {len(sweep.trials)} trials has changed; theirs is that of {commits}"
        )
    if any(entry.about["requirements_sha256"] != requirements_sha256() for entry in lock.declared):
        said.append("requirements.txt has changed, and with it versions of packages")
    return said


def _committed(storage: Path, trials: Iterable[TrialConfig]) -> dict[str, dict[Path, Record]]:
    """The committed records of the trials, by key and folder."""
    keys, found = {trial.key for trial in trials}, defaultdict[str, dict[Path, Record]](dict)
    folders = [path.parent for path in sorted((storage / "trials").glob(f"*/{record.FILE}"))]
    for folder, its in reconcile.committed(f for f in folders if f.name.partition("-")[0] in keys).items():
        found[its.key][folder] = its
    return found


def _in_store(runs: Iterable[Run]) -> dict[str, dict[Path, Record]]:
    """The finished runs of a store as records without files, by key."""
    found = defaultdict[str, dict[Path, Record]](dict)
    for run in runs:
        if run.status == "FINISHED":
            its = Record(run.key, {}, run.tags, run.metrics, [], run.tags, run.run_id, {})
            found[run.key][Path(run.run_id)] = its
    return found


def _unlike(entry: Declared, trial: TrialConfig, its: Record) -> list[str]:
    """Sentences on hashes of a result that are not those declared."""
    declared = entry.trials[trial.key]
    return [
        f"{name} {declared[tag][:DIGITS]} was declared, and {its.tags.get(tag, 'unknown')[:DIGITS]} ran"
        for tag, name in NAMES.items()
        if its.tags.get(tag) != declared[tag]
    ]


def _scores(lock: Lock, trial: TrialConfig, records: Mapping[Path, Record], within: float) -> list[str]:
    """Sentences on scores that are not those of the lock, if it has any; the nearest result counts."""
    if not (theirs := lock.scores.get(trial.key)):
        return []
    name = trial.listed_by
    its = min(records.values(), key=lambda one: abs(one.scores[name] - theirs[name]))
    ours = scores_of(trial, its.scores)
    if ours == theirs or (within and abs(ours[name] - theirs[name]) <= within):
        return []
    here = "; ".join(its.provenance.get(part, "unknown") for part in ("device", "versions"))
    where = "" if here == lock.made_on[trial.key] else f"; there on {lock.made_on[trial.key]}, here on {here}"
    parts = [f"{n} {theirs[n]:.6g} there, {ours[n]:.6g} here" for n in theirs if ours[n] != theirs[n]]
    return [f"{', '.join(parts)}{where}"]


def _missing(sweep: Sweep, trials: Sequence[TrialConfig]) -> list[str]:
    """Sentences on trials without a result, a line for each cell."""
    cells = defaultdict[str, list[int]](list)
    for trial in trials:
        cells[sweep.cell(trial)].append(trial.seed)
    lines = [f"{cell}: no result of seed {listed(seeds)} is there" for cell, seeds in cells.items()]
    return [*lines[:MOST], *[f"and {len(lines) - MOST} settings more"] * (len(lines) > MOST)]
