"""The record that commits a trial's result: there is one or none, it is whole, and it is never written again.

A trial writes its weights and predictions into a folder of its attempt, then links its record into place. A link is
exclusive where a rename is not (racing attempts with kills: 0 of 375 trials committed twice by links, 34 of 225 by
renames), so of two attempts at one trial the first counts, whatever the second does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainable import faults
from trainable.place import NO_ROOM

FILE = "record.json"
ATTEMPT = "attempt-"  # with which the names of attempts' folders begin


class DamagedRecord(ValueError):
    """A record, or a file that it vouches for, whose bytes are not those that were committed."""


@dataclass(frozen=True)
class Record:
    """A committed result: everything that a store shows, and which files belong to it."""

    key: str
    config: dict[str, Any]
    tags: dict[str, str]  # the sweep, the hashes of data, split and weights, the corpus, the code
    scores: dict[str, float]
    history: list[dict[str, float]]  # one row an epoch
    provenance: dict[str, str]
    attempt: str  # the folder that the files were written into
    files: dict[str, str]  # name -> SHA-256

    @property
    def sha256(self) -> str:
        """Of its content. No two attempts share it: each has a folder, and times, of its own."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def commit(folder: Path, record: Record) -> Record:
    """Makes `record` the trial's result, on the disk when this returns, unless there is one already.

    Returns:
        The record that counts.
    """
    part = folder / record.attempt / FILE
    with part.open("wb") as file:
        file.write(_encoded(record))
        file.flush()
        os.fsync(file.fileno())
    faults.reach("record is written aside")
    try:
        os.link(part, folder / FILE)
    except FileExistsError:
        found = read(folder)
        assert found is not None
        return found
    _sync(folder)
    faults.reach("record is committed")
    return record


def read(folder: Path) -> Record | None:
    """The trial's record; None if it has none.

    Raises:
        DamagedRecord: if its bytes are not those that were committed.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    with suppress(ValueError, TypeError, KeyError, RecursionError):  # all that damaged bytes can do to the next line
        record = Record(**json.loads(data)["record"])
        if _encoded(record) == data:  # bytes, because 1e-05 and 1E-05 are one number
            return record
    raise DamagedRecord(f"{path}: is damaged; put back a copy, or remove {folder} and delete its run in MLflow")


def put_in_place(folder: Path, record: Record) -> None:
    """Moves the record's files to where they are looked for, and removes what other attempts left, lost or killed."""
    for name in record.files:
        with suppress(FileNotFoundError):  # it is in place, or another process has just put it there
            (folder / record.attempt / name).replace(folder / name)
    _sync(folder)
    for attempt in folder.glob(f"{ATTEMPT}*"):
        shutil.rmtree(attempt, ignore_errors=True)
    faults.reach("results are in place")


def forget(folder: Path) -> None:
    """Sets a record aside, so that the trial runs again; what was committed can still be read from it."""
    path = folder / FILE
    path.rename(folder / f"forgotten-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.json")
    (folder / NO_ROOM).unlink(missing_ok=True)
    _sync(folder)


def check_files(folder: Path, record: Record, names: Collection[str] = ()) -> None:
    """Refuses a result whose files are gone or changed.

    Args:
        names: only these; all if empty.

    Raises:
        DamagedRecord: naming the first.
    """
    for name, sha256 in record.files.items():
        if names and name not in names:
            continue
        try:
            with (folder / name).open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            actual = "no such file"
        if actual != sha256:
            raise DamagedRecord(
                f"{folder / name}: {actual} instead of sha256 {sha256}; put back a copy, or remove {folder} and delete "
                "its run in MLflow: then the trial runs again"
            )


def _encoded(record: Record) -> bytes:
    return json.dumps({"record": asdict(record), "sha256": record.sha256}, sort_keys=True, indent=1).encode()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
