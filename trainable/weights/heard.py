"""The recordings that a run's checkpoint was trained on: a trial that starts from it must not be tested on them.

The run's record names its data and its split, whose manifests lie in the storage. A run heard the recordings of its
training and of its validation, on which its epoch was chosen; and those that its own start had heard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.engine import manifest, splits
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Prepared
from datasets.engine.refusal import Refusal
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import DamagedRecord, Record

MOST = 10  # recordings in a message
NOT_KNOWN = "unknown"  # the stamp of a trial whose start may have heard anything

Fetch = Callable[[str], None]  # brings a file of the storage here, by its name, if it is kept elsewhere too


class HeardBefore(Refusal, ValueError):
    """A trial that would be tested on recordings that its starting weights were trained on."""


@dataclass(frozen=True)
class Heard:
    """The test recordings of a trial that its starting weights were trained on."""

    both: tuple[str, ...] = ()  # ids of test recordings
    num_test: int = 0
    known: bool = True

    @property
    def stamp(self) -> str:
        """The words for the run's tag: `12 of 40 test recordings`, `unknown`, or nothing."""
        if not self.known:
            return NOT_KNOWN
        return f"{len(self.both)} of {self.num_test} test recordings" if self.both else ""


def heard_of_test(trial: TrialConfig, data: Prepared, trials_dir: Path, fetch: Fetch = lambda name: None) -> Heard:
    """The test recordings of a trial that the run which it starts from has heard, by the SHA-256 of their files.

    Args:
        data: the data of the trial.
        trials_dir: the folder in which trials leave KEY-INPUTS/record.json.
        fetch: called with the names of manifests that are not here.

    Returns:
        Nothing for weights of no run; unknown if the run, its data or its split is not in this storage.
    """
    kind, _, key = trial.weights.partition(":")
    if kind != "run":
        return Heard()
    test = [name for name, role in data.split.roles.items() if role == "test"]
    hashes = files_heard(key, trials_dir, fetch)
    if hashes is None:
        return Heard(num_test=len(test), known=False)
    both = sorted(name for name in test if data.scan.facts[name].sha256 in hashes)
    return Heard(tuple(both), len(test))


def files_heard(key: str, trials_dir: Path, fetch: Fetch = lambda name: None) -> set[str] | None:
    """The SHA-256 of the files that a run, and the runs before it, were trained on or chose their epoch on.

    Returns:
        None if a run, its data or its split is not in this storage.
    """
    hashes: set[str] = set()
    kind = "run"
    while kind == "run":
        if (committed := _record(key, trials_dir)) is None:
            return None
        own = _own(committed, trials_dir.parent, fetch)
        if own is None:
            return None
        hashes |= own
        kind, _, key = str(committed.config.get("weights", "")).partition(":")  # no circle: a key is a hash of this
    return hashes


def _record(key: str, trials_dir: Path) -> Record | None:
    """The record of a run, if this storage has exactly one."""
    folders = sorted(path.parent for path in trials_dir.glob(f"{key}-*/{record.FILE}"))
    try:
        return record.read(folders[0]) if len(folders) == 1 else None
    except DamagedRecord:
        return None


def _own(committed: Record, storage: Path, fetch: Fetch) -> set[str] | None:
    """The hashes of the files of a run's own training and validation; None if its manifests are not here."""
    names = [f"splits/{committed.tags.get('split_sha256', '')[:16]}.csv"]
    names.append(f"scans/{committed.tags.get('data_sha256', '')[:16]}.json")
    for name in names:
        if not (storage / name).is_file():
            fetch(name)
    try:
        split, scan = splits.read(storage / names[0]), manifest.read(storage / names[1])
    except CorpusError:
        return None
    return {scan.facts[i].sha256 for i, role in split.roles.items() if role in ("train", "validation")}


def refusal(trial: TrialConfig, its: Heard) -> str:
    """The words against a trial that would be tested on what its start has heard, with the remedy."""
    first = ", ".join(its.both[:MOST]) + (f" and {len(its.both) - MOST} more" if len(its.both) > MOST else "")
    return (
        f"weights={trial.weights}: {len(its.both)} of the {its.num_test} test recordings of split={trial.split} were "
        f"in the training or validation of that run, so that the score would be of recordings it has heard: {first}; "
        "pre-train on other recordings or with this same split, or allow it by --allow-heard, which every report states"
    )
