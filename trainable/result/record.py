"""The record that commits a trial's result: there is one or none, it is complete, and it is never overwritten.

A trial writes its weights and predictions to the folder of its attempt, then links its record into place. Unlike a
rename, a link fails if the record exists (in races of killed attempts, links committed 0 of 375 trials twice, renames
34 of 225). So if there are two attempts at one trial, the first one counts, whatever the second does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from datasets.engine.refusal import Refusal
from trainable.device import faults
from trainable.device.place import NO_ROOM

FILE = "record.json"
ATTEMPT = "attempt-"  # the prefix of the names of attempts' folders


class DamagedRecord(Refusal, ValueError):
    """A record, or a file listed in it, whose bytes are not those that were committed."""


@dataclass(frozen=True)
class Record:
    """A committed result: everything that a store shows, and the files that belong to it."""

    key: str
    config: dict[str, Any]
    tags: dict[str, str]  # the sweep, the hashes of data, split and weights, the corpus, the code
    scores: dict[str, float]
    history: list[dict[str, float]]  # one row per epoch
    provenance: dict[str, str]
    attempt: str  # the folder to which the files were written
    files: dict[str, str]  # name -> SHA-256
    sizes: dict[str, int] = field(default_factory=dict)  # name -> bytes, which can be compared without reading files

    def __post_init__(self) -> None:
        if self.files.keys() != self.sizes.keys():
            raise ValueError(f"a record needs hash and size of every file: {[*self.files]}, {[*self.sizes]}")

    @property
    def sha256(self) -> str:
        """The hash of its content. It differs between attempts, because each has its own folder and times."""
        return _digest(asdict(self))


FIELDS = {f.name for f in fields(Record)}


def commit(folder: Path, record: Record) -> Record:
    """Makes `record` the trial's result, unless there is one already; it is on the disk when this returns.

    Returns:
        The committed record.
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
        committed = read(folder)
        assert committed is not None
        return committed
    _sync(folder)
    faults.reach("record is committed")
    return record


def read(folder: Path) -> Record | None:
    """The trial's record; None if there is none.

    Raises:
        DamagedRecord: if its bytes are not those that were committed, or if another version of this code wrote it.
    """
    path, fault = folder / FILE, "is damaged; put back a copy"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedRecord(f"{path}: cannot be read ({error.strerror}); {_remedy(folder)}") from None
    with suppress(
        ValueError, TypeError, KeyError, AttributeError, RecursionError
    ):  # any error that damaged bytes cause
        stored = json.loads(data)["record"]
        if stored.keys() != FIELDS and _document(stored) == data:
            fault = "is complete, but another version of this code wrote it; use that version"
        record = Record(**stored)
        if _encoded(record) == data:  # bytes are compared, because 1e-05 and 1E-05 are the same number
            return record
    raise DamagedRecord(f"{path}: {fault}, or remove {folder} and delete its run in MLflow: then the trial runs again")


def put_in_place(folder: Path, record: Record) -> None:
    """Moves the files of the record to their final place, and removes the folders of all other attempts."""
    for name in record.files:
        with suppress(FileNotFoundError):  # it is already in place, perhaps moved by another process
            (folder / record.attempt / name).replace(folder / name)
    _sync(folder)
    for attempt in folder.glob(f"{ATTEMPT}*"):
        shutil.rmtree(attempt, ignore_errors=True)
    faults.reach("results are in place")


def forget(folder: Path) -> None:
    """Renames a record, so that the trial runs again; the renamed file still tells what was committed."""
    path = folder / FILE
    path.rename(folder / f"forgotten-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.json")
    (folder / NO_ROOM).unlink(missing_ok=True)
    _sync(folder)


def damage(folder: Path, record: Record, names: Collection[str] = (), read: bool = False) -> str:
    """The faults of a result's files, with a line for each file that is missing or changed; empty if there are none.

    Files that a killed process has left in the folder of their attempt are fine; `put_in_place` moves them.

    Args:
        names: the files to check, if the record has them; empty for all files.
        read: whether to read and compare their contents, and not only their sizes.
    """
    faults_found = []
    for name in (name for name in record.files if not names or name in names):  # a search's trial has no files
        places = (f"{folder}/{name}", f"{folder}/{record.attempt}/{name}")
        path = next(filter(os.path.isfile, places), "")
        if fault := _difference(path, record.sizes[name], record.files[name] if read else ""):
            faults_found.append(f"{folder / name}: {fault}; {_remedy(folder)}")
    return "\n".join(faults_found)


def check_files(folder: Path, record: Record, names: Collection[str] = ()) -> None:
    """Refuses a result whose files are missing or changed.

    Args:
        names: the files to check; empty for all files.

    Raises:
        DamagedRecord: naming all such files.
    """
    if lines := damage(folder, record, names, read=True):
        raise DamagedRecord(lines)


def _difference(path: str, num_bytes: int, sha256: str) -> str:
    if not path:
        return "is missing"
    try:
        if (size := Path(path).stat().st_size) != num_bytes:
            return f"has {size:,} bytes instead of {num_bytes:,}"
        if not sha256:
            return ""
        with Path(path).open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if actual == sha256 else f"has sha256 {actual} instead of {sha256}"


def _remedy(folder: Path) -> str:
    return f"put back a copy, or remove {folder} and delete its run in MLflow: then the trial runs again"


def _encoded(record: Record) -> bytes:
    return _document(asdict(record))


def _document(content: dict[str, Any]) -> bytes:
    return json.dumps({"record": content, "sha256": _digest(content)}, sort_keys=True, indent=1).encode()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
