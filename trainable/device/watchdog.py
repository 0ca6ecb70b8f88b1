"""Ends a worker that makes no more steps, after it has written the stacks of its threads."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, TypeVar

GRACE_S = 10.0  # time for a process to write its stacks, before it counts as one that does not run at all
# A separate process, because one that is stopped cannot end itself. It ends when its standard input closes.
GUARD = """
import os, select, signal, sys
while select.select([0], [], [], float(sys.argv[2]))[0]:
    if not os.read(0, 4096):
        sys.exit()
with open(sys.argv[3], "a") as file:
    file.write("the process did not run at all: it was stopped, or waits for a disk\\n")
os.kill(int(sys.argv[1]), signal.SIGKILL)
"""

Item = TypeVar("Item")

_watch: tuple[float, TextIO, int] | None = None  # one for the process, because a worker has one trial at a time


@contextmanager
def watch(seconds: float, stacks: Path) -> Iterator[None]:
    """Requires the process to `beat` at least every `seconds` seconds until the end of the block.

    If it does not, it writes the stacks of all its threads to the file and exits with code 1, wherever it hangs. If it
    cannot even do that, it is killed some seconds later.
    """
    global _watch
    stacks.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), str(seconds + GRACE_S), str(stacks)]
    with stacks.open("w", encoding="utf-8") as file, subprocess.Popen(command, stdin=subprocess.PIPE) as guard:  # noqa: S603
        assert guard.stdin
        os.set_blocking(guard.stdin.fileno(), False)
        _watch = seconds, file, guard.stdin.fileno()
        beat()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            _watch = None
            stacks.unlink(missing_ok=True)


def beat() -> None:
    """Tells the watchdog that a step was made; does nothing without a watchdog."""
    if _watch:
        seconds, file, guard = _watch
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        with suppress(BlockingIOError, BrokenPipeError):  # the pipe to the guard is full, or the guard has ended
            os.write(guard, b".")


def each_beats(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yields the items, with a `beat` for each."""
    for item in items:
        beat()
        yield item
