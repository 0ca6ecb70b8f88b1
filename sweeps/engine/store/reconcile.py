"""Brings the store into step with what trials have committed, whatever was killed and whenever.

    python -m sweeps.engine.store.reconcile [--storage DIR] [--store URI]

A trial's record is its result; the store shows it. So: a record without a finished run gets one,
with its whole curves; a run that is finished beside the record's is set aside; a run whose driver is dead is ended. A
run that somebody has deleted takes its record with it: that is how to have a trial run again. Every file that a record
vouches for is read and compared with its SHA-256; what is damaged is named, and all else is repaired.
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
    """One thing that is out of step, and what is done about it."""

    kind: str  # "forget" a record, "show" it in the store, "supersede" a run, "end" one
    key: str
    folder: Path | None = None  # of the record
    run: Run | None = None  # that is changed, or that the record takes over; a new one if None

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
    """What is out of step between the committed trials of a storage and the runs of a store.

    Args:
        records: by the trial's folder.
        runs: every active run of a trial or a sweep, oldest first.
        deleted: the records' SHA-256 that deleted runs name.
        storage_id: runs of other storages may have a driver that lives, and are left alone; where two storages have
            committed one trial, the run that began first counts, so that neither undoes what the other does.
    """
    gone, by_key = set(deleted), defaultdict(list)
    for run in runs:
        by_key[run.tags.get("key", "")].append(run)
    taken: set[str] = set()
    for folder, found in records.items():
        same = [r for r in by_key[found.key] if all(r.tags.get(n) == found.tags.get(n) for n in INPUTS)]
        finished = [r for r in same if r.status == "FINISHED"]
        shown = [r for r in finished if r.tags.get("record") == found.sha256]
        if found.sha256 in gone and not shown:
            yield Repair("forget", found.key, folder)
            continue
        counts = [r for r in finished if r in shown or not _owned(r, storage_id)][:1]
        if not counts:
            mine = [r for r in same if r.status != "FINISHED" and _owned(r, storage_id)]
            taken |= {r.run_id for r in mine[-1:]}
            yield Repair("show", found.key, folder, mine[-1] if mine else None)
        extra = [r for r in finished if r not in counts and _owned(r, storage_id)]
        yield from (Repair("supersede", found.key, folder, r) for r in extra)
    for run in runs:
        if run.status == "RUNNING" and _owned(run, storage_id) and run.run_id not in taken:
            yield Repair("end", run.tags.get("key", ""), run=run)


def _owned(run: Run, storage_id: str) -> bool:
    """Whether a run is of this storage, whose driver is this process or dead."""
    return run.tags.get("storage") == storage_id


def apply(
    repair: Repair,
    store: Store,
    records: Mapping[Path, Record],
    storage: Remote | None = None,
    say: artefacts.Say = print,
) -> None:
    """Does what a repair says.

    Args:
        storage: the object store in which the records are marked, if they are in one.
        say: told of what is only for looking at and could not be made or kept.

    Raises:
        RemoteError: if that cannot be written.
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
            record.check_files(folder, records[folder], names=("predictions.npz",))  # all that the store is given
            checkpoint.tidy(folder, keep=set())  # what the trial needed to resume, if a kill has kept it
            kept = artefacts.write(folder, TrialConfig.of(records[folder].config), say)
            store.show(records[folder], kept, earlier, say)
        case Repair(kind="supersede", run=Run(run_id=run_id)):
            store.end(run_id, "KILLED", "superseded: another attempt at this trial was committed first")
        case Repair(kind="end", run=Run(run_id=run_id)):
            store.end(run_id, "KILLED", "its driver was lost")


def apply_all(
    found: Iterable[Repair], store: Store, records: Mapping[Path, Record], storage: Remote | None = None
) -> None:
    """Does what the repairs say; one trial's damage keeps none of the others from being repaired.

    Raises:
        StoreError: if the store cannot be written.
        DamagedRecord: if committed trials' files are gone or changed; all are named at once.
    """
    problems, say = [], artefacts.once(print)
    for repair in found:
        try:
            apply(repair, store, records, storage, say)
        except DamagedRecord as error:
            problems.append(str(error))
    if problems:
        raise DamagedRecord("\n".join(problems))


def damaged(
    records: Mapping[Path, Record],
    found: Iterable[Repair],
    damage: Callable[[Path, Record], str] = record.damage,
) -> dict[Path, str]:
    """What is wrong with the files of committed trials, by folder.

    Args:
        found: the repairs that are needed; a trial that is to run again may lack what it left.
        damage: what is wrong with one of them; by default as far as presence and size tell, which costs no reading.
    """
    again = _forgotten(found)
    wrong = {folder: damage(folder, its) for folder, its in records.items() if folder not in again}
    return {folder: lines for folder, lines in wrong.items() if lines}


def _forgotten(found: Iterable[Repair]) -> set[Path | None]:
    return {repair.folder for repair in found if repair.kind == "forget"}


def committed(folders: Iterable[Path]) -> dict[Path, Record]:
    """The records of trials, by folder.

    Raises:
        DamagedRecord: if one is damaged; all are named at once.
    """
    found, problems = verify.readable(folders)
    if problems:
        raise DamagedRecord("\n".join(problems))
    return found


def out_of_step(records: Mapping[Path, Record], store_uri: str, storage_id: str) -> list[Repair]:
    """What a store must be told, or tells, of what was committed; changes nothing.

    Raises:
        StoreError: if the store cannot be read.
    """
    return list(repairs(records, read_all(store_uri), deleted_records(store_uri), storage_id))


def reconcile(
    store: Store, records: Mapping[Path, Record], storage_id: str, storage: Remote | None = None
) -> list[Repair]:
    """Repairs everything between `records` and the store; what was repaired.

    Raises:
        StoreError: if the store cannot be read or written.
        DamagedRecord: if a committed trial's files are gone or changed.
    """
    found = out_of_step(records, store.uri, storage_id)
    apply_all(found, store, records, storage)
    return found


def storage_id(storage: Path) -> str:
    """What tells this storage's runs from those of others in one store; made when the storage is new."""
    path = storage / ".storage-id"
    if not path.exists():
        storage.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".storage-id.{uuid.uuid4().hex}")
        part.write_text(uuid.uuid4().hex, encoding="ascii")
        with suppress(FileExistsError):  # two at once agree on one
            path.hardlink_to(part)
        part.unlink()
    return path.read_text(encoding="ascii")


def main(argv: Sequence[str] | None = None) -> int:
    """Reconciles a whole storage with its store.

    Returns:
        Exit code: 0 if they are in step now, 2 if something must be fixed first, 5 while a driver works there.
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
            check(options.store_uri)  # before MLflow adds to a file whatever it lacks
            return _reconcile_all(Store(options.store_uri), options.storage, storage)
    except Refusal as error:
        print(error, file=sys.stderr)
        return 2


def _reconcile_all(store: Store, folder: Path, storage: Remote | None) -> int:
    """Repairs what is whole, names what is damaged, and says what was done; the exit code."""
    records, problems = verify.readable(verify.trial_folders(folder))
    found = out_of_step(records, store.uri, storage_id(folder))
    kept = {place: its for place, its in records.items() if place not in _forgotten(found)}
    damaged = verify.damaged(kept, partly=storage is not None)
    done = [repair for repair in found if repair.folder not in damaged]
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
