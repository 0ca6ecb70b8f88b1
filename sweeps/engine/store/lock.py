"""One driver per storage, by a lock that a dead driver does not keep; the lock's file says who holds it."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from datasets.engine.refusal import Refusal

FILE = ".driver.lock"


@contextmanager
def only_driver(storage: Path) -> Iterator[bool]:
    """Yields whether this process may drive: one driver per storage, by a lock that a dead driver does not keep."""
    try:
        storage.mkdir(parents=True, exist_ok=True)
        lock = (storage / FILE).open("a")  # not "w", which would remove what the holder has written
        link = storage / f".link.{os.getpid()}"
        link.hardlink_to(storage / FILE)  # trials are committed by hard links: better to fail now than after the first
        link.unlink()
    except OSError as error:
        raise Refusal(f"--storage {storage}: cannot be written ({error.strerror}); choose another") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            lock.truncate(0)
            lock.write(_this_process())
            lock.flush()
            try:
                yield True
            finally:
                lock.truncate(0)


def refusal(storage: Path) -> str:
    """The message to a second driver: who holds the storage, and what can be done."""
    try:
        holder = (storage / FILE).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        holder = ""
    return (
        f"another driver works in {storage}: {holder or 'it has not said who it is'}; wait for it, stop it, or run "
        "beside it with --storage and another folder"
    )


def _this_process() -> str:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    command = textwrap.shorten(shlex.join(sys.argv), 200, placeholder=" ...")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}, {command}\n"
