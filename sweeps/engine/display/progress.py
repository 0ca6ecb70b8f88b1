"""The display of a running sweep: a table that is redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from sweeps.engine.display.standing import MOST_RECENT, Failed, Finished, Running, Standing, duration, shown
from sweeps.engine.forecast.budget import Times
from sweeps.engine.forecast.cost import Prediction, effort
from sweeps.engine.plan import differing, full_name, told, trial_name
from trainable.config import NAMED, TrialConfig

if TYPE_CHECKING:
    from sweeps.engine.display.screen import Screen

Item = TypeVar("Item")
QUIET_S = 60  # the longest time without a line where there is no terminal


def each(items: Iterable[Item], total: int, what: str, unit: str = "file") -> Iterable[Item]:
    """Yields the items, showing their progress and the time left."""
    if terminal := _terminal():
        from sweeps.engine.display import screen

        yield from screen.bar(terminal, items, total, what, unit)
    else:
        print(f"{what}: {total} {unit}s", flush=True)
        yield from items


@dataclass
class _Begun:
    since: float
    row: dict[str, float] = field(default_factory=dict)  # the numbers of the last epoch
    row_at: float = 0.0
    best: float | None = None


class TrialProgress:
    """The progress of trials: done, running, failed, time left, and the best so far.

    The time left follows the work, not the number of trials: one trial of Table I has 125 times the frames of another.
    Events come from several threads, and the cost of each does not depend on the number of trials.

    Args:
        trials: the trials to run.
        predictions: the predicted time of each trial, by key; if one is missing, operations measure the work instead.
    """

    def __init__(self, trials: Sequence[TrialConfig], predictions: Mapping[str, Prediction] | None = None) -> None:
        self._trials = {t.key: t for t in trials}
        predicted_s = {key: p.seconds.mid for key, p in (predictions or {}).items()}
        complete = self._trials.keys() <= predicted_s.keys()
        self._work = {key: predicted_s[key] if complete else effort(t) for key, t in self._trials.items()}
        self._all_work = sum(self._work.values())
        self._done_work: dict[str, float] = {}
        self._found_work: dict[str, float] = {}
        self._sum_done = self._sum_found = 0.0  # the sums of the two above
        self.finished_s: dict[str, float] = {}  # the time that each finished trial took
        self.failed_s: dict[str, float] = {}
        self._running: dict[str, _Begun] = {}
        self._recent: deque[Finished] = deque(maxlen=MOST_RECENT)
        self._failed: deque[Failed] = deque(maxlen=MOST_RECENT)
        self._best: tuple[float, str] | None = None
        self._waiting = "starting workers"
        self._began = self._works_since = self._waits_since = self._said = time.monotonic()
        self._lock = threading.RLock()
        self._main: Any = trials[0].main_score if trials else None
        self._tested = all(t.score_on == "test" for t in trials)
        names = {trial_name(t) for t in trials}
        self._varied = _varied(trials) if len(names) < len(trials) else []
        self._named = len(names) > 1 or not self._varied  # whether a trial's usual name helps to tell it from others
        self._longest = max(map(self._name, self._trials), key=len, default="")
        self._most_epochs = max((t.epochs for t in trials), default=1)
        self._screen: Screen | None = None
        if terminal := _terminal():
            from sweeps.engine.display import screen

            self._screen = screen.Screen(terminal, lambda width, height: screen.table(self.standing(), width, height))
        self._brief = self._screen is not None and sys.stdout.isatty()  # the table shows the rest

    def waiting(self, what: str) -> None:
        """Shows on a terminal what the sweep is waiting for, until a trial starts."""
        with self._lock:
            self._waiting, self._waits_since = what, time.monotonic()
            self._show()

    def started(self, key: str) -> None:
        """Notes that a trial has begun."""
        with self._lock:
            now = time.monotonic()
            if not self._running and not self._num_ended:
                self._works_since = now
            self._running[key], self._waiting = _Begun(now), ""
            self._show()

    def epoch(self, key: str, row: dict[str, float], new: bool = True) -> None:
        """Notes a completed epoch; one that is not `new` was completed by an earlier attempt, and took no time now."""
        with self._lock:
            self._work_done(key, self._work[key] * row["epoch"] / self._trials[key].epochs, new)
            if begun := self._running.get(key):
                begun.row, begun.row_at = row, time.monotonic()
                begun.best = self._better(begun.best, row.get(f"val_{self._main.name}"))
            self._show()

    def finished(self, key: str, scores: dict[str, float]) -> None:
        """Notes the result of a trial."""
        trial, name = self._trials[key], self._name(key)
        with self._lock:
            before, validation = self._best[0] if self._best else None, scores.get(f"best_val_{self._main.name}")
            if validation is not None and self._better(before, validation) != before:
                self._best = (validation, self._name(key))
            self.finished_s[key] = self._end(key)
            test = scores.get(f"test_{self._main.name}")
            score = test if self._tested else validation
            kept, run = int(scores.get("best_epoch", 0)), int(scores.get("epochs_run", trial.epochs))
            self._recent.appendleft(Finished(self._name(key), score, kept, run, self.finished_s[key]))
            if test is not None:  # a search reports its trials itself
                self._say(f"{name}: test {self._main.title} {shown(self._main, test)}, epoch {kept} of {run}")
            self._show()

    def failed(self, key: str, reason: str) -> None:
        """Notes that a trial ended without a result."""
        last = reason.strip().splitlines()[-1] if reason.strip() else "no reason is known"
        with self._lock:
            self.failed_s[key] = self._end(key)
            self._failed.appendleft(Failed(self._name(key), last))
            self.note(f"FAILED {self._name(key)} (key {key}): {last}")
            self._show()

    def note(self, line: str) -> None:
        """Prints a line."""
        with self._lock:
            print(line, flush=True)

    def close(self) -> None:
        """Restores the terminal."""
        if self._screen:
            self._screen.close()

    def times(self) -> Times:
        """The working times of the trials so far."""
        with self._lock:
            now = time.monotonic()
            running = {key: now - begun.since for key, begun in self._running.items()}
            return Times({**self.failed_s, **self.finished_s}, running)

    @property
    def eta_s(self) -> float | None:
        """The time left [s], estimated from the work done so far; None until some is done."""
        with self._lock:
            if self._num_ended == len(self._trials):
                return 0.0
            new = self._sum_done - self._sum_found
            elapsed_s = time.monotonic() - self._works_since
            return elapsed_s * max(0.0, self._all_work - self._sum_done) / new if new > 0 else None

    def standing(self) -> Standing:
        """The state of the sweep at this moment."""
        with self._lock:
            now = time.monotonic()
            return Standing(
                total=len(self._trials),
                num_finished=len(self.finished_s),
                num_failed=len(self.failed_s),
                elapsed_s=now - self._began,
                eta_s=self.eta_s,
                part_done=self._sum_done / self._all_work if self._all_work else 0.0,
                best=self._best,
                waiting=self._waiting,
                waited_s=now - self._waits_since,
                tested=self._tested,
                main_score=self._main,
                longest_name=self._longest,
                most_epochs=self._most_epochs,
                running=[self._stands(key, begun, now) for key, begun in self._running.items()],
                finished=[*self._recent],
                failed=[*self._failed],
            )

    def _stands(self, key: str, begun: _Begun, now: float) -> Running:
        row, epochs, left_s = begun.row, self._trials[key].epochs, None
        epoch, epoch_s = int(row.get("epoch", 0)), row.get("epoch_s")
        if epoch_s is not None:  # a running epoch that exceeds the time of the last adds nothing to the time left
            left_s = max(0, epochs - epoch - 1) * epoch_s + (
                max(0.0, epoch_s - (now - begun.row_at)) if epoch < epochs else 0.0
            )
        return Running(
            self._name(key), epochs, epoch, begun.best, row.get("train_loss"), row.get("val_loss"), epoch_s, left_s
        )

    def _better(self, first: float | None, second: float | None) -> float | None:
        values = [value for value in (first, second) if value is not None]
        return self._main.best(values) if values else None

    @property
    def _num_ended(self) -> int:
        return len(self.finished_s) + len(self.failed_s)

    def _name(self, key: str) -> str:
        """A name that tells a trial from the others of its sweep, by the fields in which they differ."""
        trial = self._trials[key]
        return full_name(trial, self._varied) if self._named else ", ".join(told(trial, self._varied))

    def _work_done(self, key: str, work: float, new: bool = True) -> None:
        self._sum_done += work - self._done_work.get(key, 0.0)
        self._done_work[key] = work
        if not new:
            self._sum_found += work - self._found_work.get(key, 0.0)
            self._found_work[key] = work

    def _end(self, key: str) -> float:
        """Ends a trial, and returns how long it has worked [s]."""
        now = time.monotonic()
        begun = self._running.pop(key, None)
        self._work_done(key, self._work[key])
        return now - begun.since if begun else 0.0

    def _show(self) -> None:
        if self._screen:
            self._screen.changed()
        if not self._brief and time.monotonic() - self._said >= QUIET_S:
            self._say("working")

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self.note(f"[{self._num_ended}/{len(self._trials)}] {line}{'' if self._brief else self._state()}")

    def _state(self) -> str:
        left = "" if self.eta_s is None else f", {duration(self.eta_s)} left"
        best = "" if self._best is None else f", best validation {shown(self._main, self._best[0])} ({self._best[1]})"
        return f", {len(self._running)} running, {len(self.failed_s)} failed{left}{best}"


def _terminal() -> TextIO | None:
    """The stream on which a table can be drawn; None if there is none."""
    stream = next((stream for stream in (sys.stderr, sys.stdout) if stream.isatty()), None)
    if stream is None:
        return None
    from sweeps.engine.display import screen  # loads rich

    return stream if screen.can_draw(stream) else None


def _varied(trials: Sequence[TrialConfig]) -> list[str]:
    """The fields, not part of trials' names, in which the trials differ."""
    return [name for name in differing(trials) if name not in NAMED]
