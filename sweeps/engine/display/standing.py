"""The state of a sweep at one moment, from which the drawing on a terminal is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_RECENT = 5  # ended trials that are kept for the display


@dataclass(frozen=True)
class Running:
    """The state of a running trial; a value is None until an epoch has provided it."""

    name: str
    epochs: int
    epoch: int = 0
    best: float | None = None  # the best main score on validation
    train_loss: float | None = None
    val_loss: float | None = None
    epoch_s: float | None = None
    left_s: float | None = None  # the time left if it runs to its last epoch


@dataclass(frozen=True)
class Finished:
    """The outcome of a finished trial."""

    name: str
    score: float | None  # the main score on test, or on validation if no test clip is used; None if it diverged
    kept: int  # the kept epoch
    epochs: int
    took_s: float


@dataclass(frozen=True)
class Failed:
    """A trial that ended without a result, and the last line of the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """The state of the whole sweep at one moment."""

    total: int
    num_finished: int
    num_failed: int
    elapsed_s: float
    eta_s: float | None
    part_done: float  # the share of the work that is done, from 0 to 1
    best: tuple[float, str] | None  # the best main score on validation, and the trial's name
    waiting: str  # what the sweep is waiting for, before and after trials run; empty while they run
    waited_s: float
    tested: bool  # whether the scores of finished trials are those on test clips
    main_score: Any  # the score: a part of `trainable/scores/`
    longest_name: str  # the longest among all trials, so that columns keep their places
    most_epochs: int
    running: Sequence[Running]  # in the order of their start
    finished: Sequence[Finished]  # the last few, newest first
    failed: Sequence[Failed]  # the last few, newest first


def shown(score: Any, value: float) -> str:
    """A score as text: a share in percent, any other number with four decimals."""
    return f"{100 * value:.1f} %" if score.is_share else f"{value:.4f}"


def duration(seconds: float) -> str:
    """A duration as text, such as `2 h 05 min`, `7 min` or `12 s`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"
