"""Writes events to the store in a separate thread, so that a store that is slow or down does not stop trials.

A write that fails because of the store is tried again until it succeeds, and later writes wait. A write that fails for
another reason (its run was deleted, or a bug) is skipped, and later writes proceed. Whatever has not arrived when the
sweep ends is written by `reconcile`, from the trials' own records.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from sweeps.engine.store.runs import Refused, StoreError

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
PATIENCE_S = 15.0  # the wait for each of the last writes, when the sweep has ended


class Mirror:
    """A queue of writes, in order.

    Args:
        say: called once with a message when the store fails, and once when it is back.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._writes: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = threading.Event()  # the last writes are queued
        self._given_up = threading.Event()  # nothing is tried any more
        self._lost = False
        self._arrived_s = 0.0  # the time of the latest write
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def tell(self, write: Callable[[], None]) -> None:
        """Queues a write; returns at once."""
        self._writes.put(write)

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Waits for the last writes, and gives up when none has arrived for `patience_s`; returns whether all arrived.

        A store on a busy machine is slow, but not lost.
        """
        self._writes.put(None)
        self._closing.set()
        self._arrived_s = time.monotonic()
        while self._thread.is_alive() and (rest_s := self._arrived_s + patience_s - time.monotonic()) > 0:
            self._thread.join(rest_s)
        self._given_up.set()
        return not self._thread.is_alive() and not self._lost

    def _work(self) -> None:
        while (write := self._writes.get()) is not None:
            try:
                self._until_done(write)
            except Exception:
                first, self._lost = not self._lost, True
                if first:  # later writes may fail only because this one did
                    self._note(
                        f"something was not written to the store, and is made up for later:\n{traceback.format_exc()}"
                    )

    def _until_done(self, write: Callable[[], None]) -> None:
        wait_s, failed = FIRST_WAIT_S, False
        while not self._given_up.is_set():
            try:
                write()
            except Refused:
                raise
            except StoreError as error:
                if not failed:
                    self._note(f"{error}; trials continue, and their results are written when it is back")
                failed = True
                self._wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self._arrived_s = time.monotonic()
                if failed:
                    self._note("the store is back")
                return
        self._lost = True

    def _wait(self, seconds: float) -> None:
        """Waits until the next attempt; at the end only briefly, because patience is shorter than the longest wait."""
        if self._closing.is_set():
            self._given_up.wait(FIRST_WAIT_S)
        else:
            self._closing.wait(seconds)

    def _note(self, line: str) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone
            self._say(line)
