"""The file `locks/NAME.lock` of a storage: what a sweep declared before its trials ran, and all that came later.

It is TOML, to be read by people, and lies beside the results, so that a copy of the folder has it. Entries are only
added, each with its date:

    [[declared]]    trials that are planned, with the hashes of their inputs and code, before they run
    [[finished]]    the scores of trials that have finished
    [[reported]]    a report that was written, with its margin: a look at the results
"""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.engine.refusal import Refusal
from datasets.engine.remote import Gone, Remote
from trainable.config import FIELDS, TrialConfig

FOLDER = "locks"
HEAD = "# What this sweep declared before its trials ran, and what came later. Entries are only added.\n"
HASHES = ("data_sha256", "split_sha256", "weights_sha256")  # of the inputs of a trial
DEFAULTS = {name: field.default for name, field in FIELDS.items()}
OF_A_TRIAL = ("key", *HASHES, "code_sha256")  # what an entry says of a trial, besides its fields


class BadLock(Refusal, ValueError):
    """A lock that cannot be read; the message names the file, the reason and the remedy."""


@dataclass(frozen=True)
class Declared:
    """Trials that were declared together."""

    date: datetime
    why: str  # what asked for them
    about: Mapping[str, Any]  # the sweep, the command, the comparisons, the code
    finished_before: int  # trials declared earlier that had finished, when these were declared
    already: int  # of these trials themselves
    trials: Mapping[str, Mapping[str, Any]]  # fields and hashes, by key

    def config(self, key: str) -> TrialConfig:
        """The trial with this key.

        Raises:
            BadLock: if its fields do not give the key, as in another version of this code.
        """
        fields = {name: value for name, value in self.trials[key].items() if name not in OF_A_TRIAL}
        with suppress(ValueError, TypeError):
            if (trial := TrialConfig.of(fields)).key == key:
                return trial
        commit = self.about.get("git_commit", "unknown")
        raise BadLock(f"trial {key} of the lock is not what its fields give here; check out its commit {commit}")


@dataclass(frozen=True)
class Lock:
    """All entries of a lock, the oldest first."""

    declared: tuple[Declared, ...] = ()
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of finished trials, by key
    made_on: Mapping[str, str] = field(default_factory=dict)  # the device and versions of finished trials, by key
    reported: tuple[Mapping[str, Any], ...] = ()

    def entry_of(self, key: str) -> Declared | None:
        """The entry that declared a trial first."""
        return next((entry for entry in self.declared if key in entry.trials), None)

    def has(self, key: str, hashes: Mapping[str, str]) -> bool:
        """Whether a trial is declared with these hashes of its inputs."""
        return any(hashes.items() <= entry.trials.get(key, {}).items() for entry in self.declared)


def lock_path(storage: Path, name: str) -> Path:
    """The lock of a sweep in a storage."""
    return storage / FOLDER / f"{name}.lock"


def read(path: Path) -> Lock:
    """The entries of a lock; none if there is no file.

    Raises:
        BadLock: if it is damaged, or is no lock.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        finished = tables.get("finished", [])
        return Lock(
            tuple(map(_declared, tables.get("declared", []))),
            {key: scores for entry in finished for key, scores in entry["scores"].items()},
            {key: entry["made_on"] for entry in finished for key in entry["scores"]},
            tuple(tables.get("reported", [])),
        )
    except FileNotFoundError:
        return Lock()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadLock(
            f"{path}: cannot be read ({error}); put back a copy, or move it away: reports then say that nothing is "
            "known of what was declared"
        ) from None


def declared_entry(
    trials: Sequence[tuple[TrialConfig, Mapping[str, str]]], why: str, about: Mapping[str, Any], counts: tuple[int, int]
) -> str:
    """The text of an entry that declares trials.

    Args:
        trials: each with its hashes.
        why: what asked for them.
        about: the sweep, the command, the comparisons and the code.
        counts: of earlier trials, and of these themselves, that had finished.
    """
    flat = [{"key": trial.key, **_stated(trial), **hashes} for trial, hashes in trials]
    own_names = {"key", *(name for one in flat for name in one if one[name] != flat[0].get(name))}
    shared = {n: value for n, value in flat[0].items() if n not in own_names and all(n in one for one in flat)}
    own = [{name: value for name, value in one.items() if name not in shared} for one in flat]
    seeds = sorted({trial.seed for trial, _ in trials})
    counted = {"finished_before": counts[0], "already_finished": counts[1], "seeds": seeds}
    head = {"date": now(), "why": why, **about, **counted}
    lines = [f"{name} = {_toml(value)}" for name, value in head.items()]
    listed = "".join(f"    {_toml(one)},\n" for one in own)
    common = "".join(f"{_name(name)} = {_toml(value)}\n" for name, value in shared.items())
    return "\n[[declared]]\n" + "\n".join(lines) + f"\ntrials = [\n{listed}]\n[declared.common]\n{common}"


def finished_entry(scores: Mapping[str, Mapping[str, float]], made_on: str) -> str:
    """The text of an entry on trials that have finished.

    Args:
        scores: by key.
        made_on: the device and the versions of packages.
    """
    lines = "".join(f"{key} = {_toml(its)}\n" for key, its in scores.items())
    return f"\n[[finished]]\ndate = {_toml(now())}\nmade_on = {_toml(made_on)}\n[finished.scores]\n{lines}"


def reported_entry(about: Mapping[str, Any]) -> str:
    """The text of an entry on a report."""
    lines = "".join(f"{_name(name)} = {_toml(value)}\n" for name, value in {"date": now(), **about}.items())
    return f"\n[[reported]]\n{lines}"


def append(path: Path, entry: str) -> None:
    """Adds an entry; a reader finds the file with it or without it, and two writers lose nothing.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(".writing").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        text = path.read_text(encoding="utf-8") if path.exists() else HEAD
        part = path.with_name(f".{path.name}.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(text + entry)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def fetch(remote: Remote, name: str) -> None:
    """Brings the lock of a sweep into step with an object store; a copy that has all of the other's and more counts.

    Raises:
        RemoteError: if the store cannot be read or written.
    """
    path = lock_path(remote.local, name)
    try:
        theirs = remote.read(f"{FOLDER}/{path.name}")
    except Gone:
        theirs = b""
    mine = path.read_bytes() if path.exists() else b""
    if mine == theirs:
        return
    if mine.startswith(theirs):
        remote.put(f"{FOLDER}/{path.name}")
    else:
        remote.get(f"{FOLDER}/{path.name}")


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _declared(table: Mapping[str, Any]) -> Declared:
    own = ("date", "why", "finished_before", "already_finished", "seeds", "trials", "common")
    return Declared(
        table["date"],
        table["why"],
        {name: value for name, value in table.items() if name not in own},
        table["finished_before"],
        table["already_finished"],
        {one["key"]: {**table["common"], **one} for one in table["trials"]},
    )


def _stated(trial: TrialConfig) -> dict[str, Any]:
    """The fields that are not the default, from which a trial and its key follow."""
    return {n: value for n, value in trial.to_dict().items() if n not in DEFAULTS or value != DEFAULTS[n]}


def _toml(value: Any) -> str:
    """A value as TOML writes it; its strings are those of JSON, but for one character."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(name)} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # also inf and nan, which JSON would write in capitals
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isascii() and name.replace("_", "").isalnum() else _toml(name)
