"""Ends a worker that makes no step any more, once it has written where each of its threads stands."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_watch: tuple[float, TextIO] | None = None  # of this process: a worker has one trial at a time


@contextmanager
def watch(seconds: float, stacks: Path) -> Iterator[None]:
    """From now until the end of the block, the process must `beat` at least every so many seconds.

    If it does not, it writes the stacks of all its threads into the file and exits with 1, whatever it hangs in.
    """
    global _watch
    stacks.parent.mkdir(parents=True, exist_ok=True)
    with stacks.open("w", encoding="utf-8") as file:
        _watch = seconds, file
        beat()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            _watch = None
            stacks.unlink(missing_ok=True)


def beat() -> None:
    """Says that a step was made; does nothing where nobody watches."""
    if _watch:
        seconds, file = _watch
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
