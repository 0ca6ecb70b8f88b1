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
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from datasets.engine.refusal import Refusal
from trainable.device import faults
from trainable.device.place import NO_ROOM

FILE = "record.json"
ATTEMPT = "attempt-"  # with which the names of attempts' folders begin


class DamagedRecord(Refusal, ValueError):
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
    sizes: dict[str, int] = field(default_factory=dict)  # name -> bytes, which cost no reading to compare

    def __post_init__(self) -> None:
        if self.files.keys() != self.sizes.keys():
            raise ValueError(f"a record needs hash and size of every file: {[*self.files]}, {[*self.sizes]}")

    @property
    def sha256(self) -> str:
        """Of its content. No two attempts share it: each has a folder, and times, of its own."""
        return _digest(asdict(self))


FIELDS = {f.name for f in fields(Record)}


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
        DamagedRecord: if its bytes are not those that were committed, or if another version of this code wrote it.
    """
    path, what = folder / FILE, "is damaged; put back a copy"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedRecord(f"{path}: cannot be read ({error.strerror}); {_remedy(folder)}") from None
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):  # all that damaged bytes can do
        stored = json.loads(data)["record"]
        if stored.keys() != FIELDS and _document(stored) == data:
            what = "is whole, but another version of this code wrote it; use that version"
        record = Record(**stored)
        if _encoded(record) == data:  # bytes, because 1e-05 and 1E-05 are one number
            return record
    raise DamagedRecord(f"{path}: {what}, or remove {folder} and delete its run in MLflow: then the trial runs again")


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


def damage(folder: Path, record: Record, names: Collection[str] = (), read: bool = False) -> str:
    """What is wrong with a result's files, a line for each that is gone or changed; empty if nothing is.

    A kill may have left them in their attempt's folder, from where `put_in_place` takes them.

    Args:
        names: only these, of those that it has; all if empty.
        read: whether to compare what is in them, and not only their sizes, which takes no reading.
    """
    wrong = []
    for name in (name for name in record.files if not names or name in names):  # of a search's trial there are none
        places = (f"{folder}/{name}", f"{folder}/{record.attempt}/{name}")
        path = next(filter(os.path.isfile, places), "")
        if what := _difference(path, record.sizes[name], record.files[name] if read else ""):
            wrong.append(f"{folder / name}: {what}; {_remedy(folder)}")
    return "\n".join(wrong)


def check_files(folder: Path, record: Record, names: Collection[str] = ()) -> None:
    """Refuses a result whose files are gone or changed.

    Args:
        names: only these; all if empty.

    Raises:
        DamagedRecord: naming all.
    """
    if lines := damage(folder, record, names, read=True):
        raise DamagedRecord(lines)


def _difference(path: str, num_bytes: int, sha256: str) -> str:
    if not path:
        return "is missing"
    try:
        if (found := Path(path).stat().st_size) != num_bytes:
            return f"has {found:,} bytes instead of {num_bytes:,}"
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
