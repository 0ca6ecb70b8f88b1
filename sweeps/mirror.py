"""Carries what happens to the store, in a thread of its own: a store that is slow or down stops no trial.

A write that fails is tried again until it succeeds, and those behind it wait. What has not arrived when the sweep ends
is written by `reconcile`, from the trials' own records.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from sweeps.runs import StoreError

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
PATIENCE_S = 15.0  # for the last writes, when the sweep has ended


class Mirror:
    """A queue of writes, in order.

    Args:
        say: told once when the store fails, and once when it is back.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._writes: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def tell(self, write: Callable[[], None]) -> None:
        """Queues a write; returns at once."""
        self._writes.put(write)

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Waits for the last writes, not for ever; whether all arrived."""
        self._writes.put(None)
        self._thread.join(patience_s)
        self._closing.set()
        return not self._thread.is_alive() and not self._lost

    def _work(self) -> None:
        while (write := self._writes.get()) is not None:
            self._until_done(write)

    def _until_done(self, write: Callable[[], None]) -> None:
        wait_s, failed = FIRST_WAIT_S, False
        while not self._closing.is_set():
            try:
                write()
            except StoreError as error:
                if not failed:
                    self._say(f"{error}; trials go on, and what they commit is written when it is back")
                failed = True
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                if failed:
                    self._say("the store is back")
                return
        self._lost = True
