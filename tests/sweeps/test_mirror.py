"""Writes arrive in order and once, however the store fails; callers never wait, and closing is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from sweeps.engine.store import mirror
from sweeps.engine.store.mirror import Mirror
from sweeps.engine.store.runs import StoreError

Said = list[str]


class Toy:
    """A store of numbers that fails on request."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.failures = 0
        self.up = threading.Event()
        self.up.set()

    def write(self, number: int) -> Callable[[], None]:
        def write() -> None:
            if not self.up.is_set():
                self.failures += 1
                raise StoreError("--store toy: is down")
            self.taken.append(number)

        return write


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(mirror, "LONGEST_WAIT_S", 0.02)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def mirror_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "store"]


def test_writes_arrive_in_order() -> None:
    """A thousand of them arrive, each once; then no thread is left, and nothing was printed."""
    toy, messages = Toy(), Said()
    mirror = Mirror(messages.append)
    for number in range(1000):
        mirror.tell(toy.write(number))
    assert mirror.close()
    assert toy.taken == list(range(1000))
    assert not messages
    assert not mirror_threads()


def test_a_slow_store_is_waited_for_as_long_as_writes_arrive() -> None:
    """Forty writes take twice as long as the patience with any one of them."""
    toy, messages = Toy(), Said()
    mirror = Mirror(messages.append)

    def slowly(number: int) -> Callable[[], None]:
        def write() -> None:
            time.sleep(0.05)
            toy.write(number)()

        return write

    for number in range(40):
        mirror.tell(slowly(number))
    assert mirror.close(patience_s=1.0)
    assert (toy.taken, messages) == (list(range(40)), [])


def test_a_store_that_is_back_gets_everything_in_order() -> None:
    """The failed write is tried again while later ones wait; an outage and its end are reported once each."""
    toy, messages = Toy(), Said()
    mirror = Mirror(messages.append)
    mirror.tell(toy.write(0))
    for outage in (1, 2):
        until(lambda outage=outage: len(toy.taken) == 10 * outage - 9)  # type: ignore[misc]
        toy.up.clear()
        before = toy.failures
        for number in range(10 * outage - 9, 10 * outage + 1):
            mirror.tell(toy.write(number))
        until(lambda before=before: toy.failures > before + 2)  # type: ignore[misc]
        toy.up.set()
    assert mirror.close()
    assert toy.taken == list(range(21))
    down, back = (
        "--store toy: is down; trials continue, and their results are written when it is back",
        "the store is back",
    )
    assert messages == [down, back] * 2


def test_telling_never_waits() -> None:
    """It does not wait while a write hangs, while the store is down, or after the end."""
    gate, mirror = threading.Event(), Mirror(Said().append)
    mirror.tell(lambda: assert_true(gate.wait(10)))
    began = time.monotonic()
    for _ in range(10_000):
        mirror.tell(gate.set)
    assert time.monotonic() - began < 1
    gate.set()
    assert mirror.close()
    mirror.tell(gate.set)


def assert_true(value: bool) -> None:
    assert value


def test_a_store_that_stays_down_is_given_up() -> None:
    """Closing lasts as long as its patience, and says that not all arrived; the thread ends and tries no more."""
    toy, messages = Toy(), Said()
    toy.up.clear()
    mirror = Mirror(messages.append)
    mirror.tell(toy.write(0))
    mirror.tell(toy.write(1))
    until(lambda: toy.failures > 0)
    began = time.monotonic()
    assert not mirror.close(0.2)
    assert 0.2 <= time.monotonic() - began < 1
    until(lambda: not mirror_threads())
    toy.up.set()
    assert toy.taken == []
    assert len(messages) == 1


def test_a_write_that_hangs_is_the_last() -> None:
    """It cannot be stopped, but nothing is written after it, and its thread ends, as `reconcile` may have begun."""
    gate, toy = threading.Event(), Toy()
    mirror = Mirror(Said().append)
    mirror.tell(lambda: assert_true(gate.wait(10)))
    mirror.tell(toy.write(1))
    began = time.monotonic()
    assert not mirror.close(0.1)
    assert time.monotonic() - began < 1
    gate.set()
    until(lambda: not mirror_threads())
    assert toy.taken == []


def test_the_end_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long outage the waits exceed the patience at the end; a store that is back by then is written."""
    monkeypatch.setattr(mirror, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(mirror, "LONGEST_WAIT_S", 60.0)
    toy = Toy()
    toy.up.clear()
    writer = Mirror(Said().append)
    writer.tell(toy.write(0))
    until(lambda: toy.failures == 4)  # the next try is 0.4 s away
    toy.up.set()
    began = time.monotonic()
    assert writer.close(5)
    assert time.monotonic() - began < 0.3
    assert toy.taken == [0]


def test_a_store_that_comes_back_at_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """While closing has patience, the store is tried at short intervals, however long the waits were before."""
    monkeypatch.setattr(mirror, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(mirror, "LONGEST_WAIT_S", 60.0)
    toy = Toy()
    toy.up.clear()
    writer = Mirror(Said().append)
    writer.tell(toy.write(0))
    until(lambda: toy.failures == 5)
    threading.Timer(0.5, toy.up.set).start()
    began = time.monotonic()
    assert writer.close(10)
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("a bug"), AssertionError()])
def test_an_error_that_is_not_the_stores_loses_one_write(error: Exception) -> None:
    """It is not tried again and later writes arrive; its traceback is printed once, and closing reports the loss."""
    toy, messages, tries = Toy(), Said(), count()

    def broken() -> None:
        next(tries)
        raise error

    mirror = Mirror(messages.append)
    mirror.tell(toy.write(0))
    mirror.tell(broken)
    mirror.tell(toy.write(1))
    mirror.tell(broken)
    mirror.tell(toy.write(2))
    assert not mirror.close()
    assert toy.taken == [0, 1, 2]
    assert next(tries) == 2
    (line,) = messages
    assert line.startswith("something was not written to the store")
    assert "in broken" in line
    assert not mirror_threads()


@pytest.mark.parametrize("gone", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_terminal_that_is_gone_loses_no_write(gone: Exception) -> None:
    """The store is written even if nothing can be printed any more."""
    toy = Toy()
    toy.up.clear()

    def say(line: str) -> None:
        raise gone

    mirror = Mirror(say)
    mirror.tell(toy.write(0))
    until(lambda: toy.failures > 0)
    toy.up.set()
    mirror.tell(toy.write(1))
    assert mirror.close()
    assert toy.taken == [0, 1]
