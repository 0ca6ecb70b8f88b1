"""One driver a storage, by a lock that a dead one does not keep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.corpus import CorpusError


@contextmanager
def only_driver(storage: Path) -> Iterator[bool]:
    """Whether this process may drive: one driver a storage, by a lock that a dead one does not keep."""
    try:
        storage.mkdir(parents=True, exist_ok=True)
        lock = (storage / ".driver.lock").open("w")
        probe = storage / f".link.{os.getpid()}"
        probe.hardlink_to(storage / ".driver.lock")  # which commits trials: better to fail now than after the first
        probe.unlink()
    except OSError as error:
        raise CorpusError(f"--storage {storage}: cannot be written ({error.strerror}); choose another") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
