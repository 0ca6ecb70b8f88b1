"""What the terminal shows while a sweep works: a bar where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from tqdm import tqdm

from sweeps.budget import Times
from sweeps.cost import Prediction, effort
from sweeps.plan import trial_name
from trainable.config import TrialConfig

Item = TypeVar("Item")
QUIET_S = 60  # without a terminal, a line at least so often


def each(items: Iterable[Item], total: int, what: str, unit: str = "file") -> Iterable[Item]:
    """The items, shown as they pass, with the time left."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=unit, dynamic_ncols=True, leave=False)
        return
    print(f"{what}: {total} {unit}s", flush=True)
    yield from items


class TrialProgress:
    """Done, running, failed, time left and the best so far. The time left follows the work, not the count of trials:
    one trial of Table I has 125 times the frames of another.

    Args:
        predictions: what trials will take, by key; where one is missing, their operations are the work.
    """

    def __init__(self, trials: Sequence[TrialConfig], predictions: Mapping[str, Prediction] | None = None) -> None:
        self._trials = {t.key: t for t in trials}
        known = {key: p.seconds.mid for key, p in (predictions or {}).items()}
        complete = self._trials.keys() <= known.keys()
        self._work = {key: known[key] if complete else effort(t) for key, t in self._trials.items()}
        self.finished_s: dict[str, float] = {}  # how long each trial took
        self.failed_s: dict[str, float] = {}
        self._done_work = dict.fromkeys(self._trials, 0.0)
        self._found_work = dict.fromkeys(self._trials, 0.0)
        self._running: dict[str, float] = {}  # since when
        self._ended: set[str] = set()
        self._best: tuple[float, str] | None = None
        self._began = self._said = time.monotonic()
        self._bar = tqdm(
            total=len(trials),
            bar_format="{bar:20} {n_fmt}/{total_fmt} done{desc}",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            desc=", starting workers",
        )

    def started(self, key: str) -> None:
        """A trial has begun."""
        self._running[key] = time.monotonic()
        self._show()

    def epoch(self, key: str, row: dict[str, float], new: bool = True) -> None:
        """A trial has an epoch behind it; one that is not new was done by an earlier attempt, and took no time now."""
        trial = self._trials[key]
        self._done_work[key] = self._work[key] * row["epoch"] / trial.epochs
        if not new:
            self._found_work[key] = self._done_work[key]
        self._show()

    def finished(self, key: str, scores: dict[str, float]) -> None:
        """A trial has its result."""
        name = trial_name(self._trials[key])
        if (validation := scores.get("best_val_accuracy")) is not None and validation > (self._best or (-1,))[0]:
            self._best = (validation, name)
        self._bar.update(1)
        self.finished_s[key] = self._end(key)
        if "test_accuracy" in scores:  # a search says itself what came of its trials
            kept = f"epoch {scores['best_epoch']:g} of {scores['epochs_run']:g}"
            self._say(f"{name}: test accuracy {100 * scores['test_accuracy']:.1f} %, {kept}")

    def failed(self, key: str, reason: str) -> None:
        """A trial ended without a result."""
        self.failed_s[key] = self._end(key)
        last = reason.strip().splitlines()[-1] if reason.strip() else "no reason is known"
        tqdm.write(f"FAILED {trial_name(self._trials[key])} (key {key}): {last}")

    def note(self, line: str) -> None:
        """Says what concerns the whole sweep."""
        tqdm.write(line)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._bar.close()

    def times(self) -> Times:
        """How long the trials have worked."""
        now = time.monotonic()
        running = {key: now - since for key, since in self._running.items()}
        return Times({**self.failed_s, **self.finished_s}, running)

    @property
    def eta_s(self) -> float | None:
        """Time left [s], from the work done so far; None before any is."""
        whole, done = sum(self._work.values()), sum(self._done_work.values())
        new = done - sum(self._found_work.values())
        return (time.monotonic() - self._began) * (whole - done) / new if new > 0 else None

    def _end(self, key: str) -> float:
        """How long the trial has worked."""
        now = time.monotonic()
        began = self._running.pop(key, now)
        self._ended.add(key)
        self._done_work[key] = self._work[key]
        self._show()
        return now - began

    def _show(self) -> None:
        self._bar.set_description_str(self._state())
        if self._bar.disable and time.monotonic() - self._said >= QUIET_S:
            self._say("working")

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        if self._bar.disable:
            print(f"[{len(self._ended)}/{len(self._trials)}] {line}{self._state()}", flush=True)

    def _state(self) -> str:
        left = "" if self.eta_s is None else f", {duration(self.eta_s)} left"
        best = "" if self._best is None else f", best validation {100 * self._best[0]:.1f} % ({self._best[1]})"
        return f", {len(self._running)} running, {len(self.failed_s)} failed{left}{best}"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `7 min`, `12 s`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"
