"""Brings the store into step with the committed trials, whatever was killed and whenever.

    python -m sweeps.engine.store.reconcile [--storage DIR] [--store URI]

A trial's record is its result, and the store shows it. A record without a finished run therefore gets one, with
complete curves; a second finished run besides the record's is superseded; a run whose driver is dead is ended. If a run
has been deleted, its record is set aside: that is the way to run a trial again. Every file that a record vouches for is
read and compared with its SHA-256; damaged files are named, and everything else is repaired.
"""

from __future__ import annotations

import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.engine.refusal import Refusal
from datasets.engine.remote import Remote
from datasets.engine.words.flags import Flags
from sweeps.engine.command.commandline import add_store_flags, options_of
from sweeps.engine.store import artefacts, lock, remote, verify
from sweeps.engine.store.runs import Run, check, deleted_records, read_all
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import DamagedRecord, Record
from trainable.weights import checkpoint

if TYPE_CHECKING:
    from sweeps.engine.store.store import Store


INPUTS = ("data_sha256", "split_sha256", "weights_sha256")


@dataclass(frozen=True)
class Repair:
    """One discrepancy between a storage and a store, and its repair."""

    kind: str  # "forget" a record, "show" it in the store, "supersede" a run, "end" a run
    key: str
    folder: Path | None = None  # the folder of the record
    run: Run | None = None  # the run that is changed, or that the record takes over; None for a new one

    def __str__(self) -> str:
        words = {
            "forget": "its run was deleted: the record is set aside, and the trial runs again",
            "show": "committed, but not finished in the store: its run is written",
            "supersede": "finished a second time: that run is ended as superseded",
            "end": "running without a driver: its run is ended",
        }
        return f"{f'trial {self.key}' if self.key else 'a sweep'}: {words[self.kind]}"


def repairs(
    records: Mapping[Path, Record], runs: Sequence[Run], deleted: Iterable[str], storage_id: str
) -> Iterator[Repair]:
    """Yields the discrepancies between the committed trials of a storage and the runs of a store.

    Args:
        records: the records, by the trial's folder.
        runs: every active run of a trial or a sweep, oldest first.
        deleted: the SHA-256 of the records of deleted runs.
        storage_id: the id of the storage. Runs of other storages may have a live driver, and are left alone; if two
            storages have committed the same trial, the run that began first counts, so that neither undoes the
            other's work.
    """
    gone, by_key = set(deleted), defaultdict(list)
    for run in runs:
        by_key[run.tags.get("key", "")].append(run)
    taken: set[str] = set()
    for folder, committed in records.items():
        same = [r for r in by_key[committed.key] if all(r.tags.get(n) == committed.tags.get(n) for n in INPUTS)]
        finished = [r for r in same if r.status == "FINISHED"]
        shown = [r for r in finished if r.tags.get("record") == committed.sha256]
        if committed.sha256 in gone and not shown:
            yield Repair("forget", committed.key, folder)
            continue
        counts = [r for r in finished if r in shown or not _owned(r, storage_id)][:1]
        if not counts:
            mine = [r for r in same if r.status != "FINISHED" and _owned(r, storage_id)]
            taken |= {r.run_id for r in mine[-1:]}
            yield Repair("show", committed.key, folder, mine[-1] if mine else None)
        extra = [r for r in finished if r not in counts and _owned(r, storage_id)]
        yield from (Repair("supersede", committed.key, folder, r) for r in extra)
    for run in runs:
        if run.status == "RUNNING" and _owned(run, storage_id) and run.run_id not in taken:
            yield Repair("end", run.tags.get("key", ""), run=run)


def _owned(run: Run, storage_id: str) -> bool:
    """Whether a run belongs to this storage, so that its driver is this process or dead."""
    return run.tags.get("storage") == storage_id


def apply(
    repair: Repair,
    store: Store,
    records: Mapping[Path, Record],
    storage: Remote | None = None,
    say: artefacts.Say = print,
) -> None:
    """Carries out a repair.

    Args:
        repair: the repair.
        store: the store.
        records: the records, by the trial's folder.
        storage: the object store in which the records are marked, if they are in one.
        say: called with a message about a display file that could not be made or kept.

    Raises:
        RemoteError: if the object store cannot be written.
        StoreError: if the store cannot be written.
        DamagedRecord: if a committed trial's files are gone or changed.
    """
    match repair:
        case Repair(kind="forget", folder=Path() as folder):
            if storage:
                remote.forget(storage, folder)
            record.forget(folder)
        case Repair(kind="show", folder=Path() as folder, run=earlier):
            record.put_in_place(folder, records[folder])
            record.check_files(
                folder, records[folder], names=("predictions.npz",)
            )  # the only file that goes to the store
            checkpoint.tidy(folder, keep=set())  # files that the trial needed to resume, if a kill has left them
            files = artefacts.write(folder, TrialConfig.of(records[folder].config), say)
            store.show(records[folder], files, earlier, say)
        case Repair(kind="supersede", run=Run(run_id=run_id)):
            store.end(run_id, "KILLED", "superseded: another attempt at this trial was committed first")
        case Repair(kind="end", run=Run(run_id=run_id)):
            store.end(run_id, "KILLED", "its driver was lost")


def apply_all(
    needed: Iterable[Repair], store: Store, records: Mapping[Path, Record], storage: Remote | None = None
) -> None:
    """Carries out repairs; damage of one trial does not keep others from being repaired.

    Raises:
        StoreError: if the store cannot be written.
        DamagedRecord: if files of committed trials are gone or changed; all are named at once.
    """
    problems, say = [], artefacts.once(print)
    for repair in needed:
        try:
            apply(repair, store, records, storage, say)
        except DamagedRecord as error:
            problems.append(str(error))
    if problems:
        raise DamagedRecord("\n".join(problems))


def damaged(
    records: Mapping[Path, Record],
    needed: Iterable[Repair],
    damage: Callable[[Path, Record], str] = record.damage,
) -> dict[Path, str]:
    """The damage to the files of committed trials, by folder.

    Args:
        records: the records, by the trial's folder.
        needed: the repairs that are needed; a trial that is to run again may lack its files.
        damage: describes the damage to one trial; by default from presence and size, which needs no reading.
    """
    set_aside = _forgotten(needed)
    wrong = {folder: damage(folder, committed) for folder, committed in records.items() if folder not in set_aside}
    return {folder: lines for folder, lines in wrong.items() if lines}


def _forgotten(needed: Iterable[Repair]) -> set[Path | None]:
    return {repair.folder for repair in needed if repair.kind == "forget"}


def committed(folders: Iterable[Path]) -> dict[Path, Record]:
    """The records of trials, by folder.

    Raises:
        DamagedRecord: if one is damaged; all are named at once.
    """
    records, problems = verify.readable(folders)
    if problems:
        raise DamagedRecord("\n".join(problems))
    return records


def out_of_step(records: Mapping[Path, Record], store_uri: str, storage_id: str) -> list[Repair]:
    """The repairs that are needed between a store and the committed trials; changes nothing.

    Raises:
        StoreError: if the store cannot be read.
    """
    return list(repairs(records, read_all(store_uri), deleted_records(store_uri), storage_id))


def reconcile(
    store: Store, records: Mapping[Path, Record], storage_id: str, storage: Remote | None = None
) -> list[Repair]:
    """Carries out all repairs that are needed between `records` and the store, and returns them.

    Raises:
        StoreError: if the store cannot be read or written.
        DamagedRecord: if a committed trial's files are gone or changed.
    """
    needed = out_of_step(records, store.uri, storage_id)
    apply_all(needed, store, records, storage)
    return needed


def storage_id(storage: Path) -> str:
    """The id that marks this storage's runs in a store; made if the storage is new."""
    path = storage / ".storage-id"
    if not path.exists():
        storage.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".storage-id.{uuid.uuid4().hex}")
        part.write_text(uuid.uuid4().hex, encoding="ascii")
        with suppress(FileExistsError):  # two processes at once agree on one id
            path.hardlink_to(part)
        part.unlink()
    return path.read_text(encoding="ascii")


def main(argv: Sequence[str] | None = None) -> int:
    """Reconciles a whole storage with its store.

    Returns:
        The exit code: 0 if they are now in step, 2 if something must be fixed first, 5 while a driver works there.
    """
    parser = Flags("python -m sweeps.engine.store.reconcile", __doc__)
    add_store_flags(parser)
    options = options_of(parser.parse_args(argv))
    if not (storage := options.object_store) and not (options.storage / "trials").is_dir():
        print(f"--storage {options.storage}: no trial has been run there; name the folder of a sweep", file=sys.stderr)
        return 2
    try:
        with lock.only_driver(options.storage) as alone:
            if not alone:
                print(lock.refusal(options.storage), file=sys.stderr)
                return 5
            from sweeps.engine.store.store import Store

            if storage:
                remote.pull(storage, print)
            check(options.store_uri)  # before MLflow adds missing tables to a file
            return _reconcile_all(Store(options.store_uri), options.storage, storage)
    except Refusal as error:
        print(error, file=sys.stderr)
        return 2


def _reconcile_all(store: Store, folder: Path, storage: Remote | None) -> int:
    """Carries out the repairs of undamaged trials, and prints them and the damage; returns the exit code."""
    records, problems = verify.readable(verify.trial_folders(folder))
    needed = out_of_step(records, store.uri, storage_id(folder))
    to_check = {place: its for place, its in records.items() if place not in _forgotten(needed)}
    damaged = verify.damaged(to_check, partly=storage is not None)
    done = [repair for repair in needed if repair.folder not in damaged]
    apply_all(done, store, records, storage)
    for repair in done:
        print(repair)
    for problem in (problems := [*problems, *damaged.values()]):
        print(problem, file=sys.stderr)
    state = f"{len(problems)} are damaged" if problems else "storage and store are in step"
    print(f"{len(records)} committed trials, {len(done)} repairs; {state}")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
