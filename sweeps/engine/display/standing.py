"""How a sweep stands at one moment, as what is drawn on a terminal is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_RECENT = 5  # trials that have ended, kept to be shown


@dataclass(frozen=True)
class Running:
    """How a trial stands that is running; what no epoch has told yet is None."""

    name: str
    epochs: int
    epoch: int = 0
    best: float | None = None  # the main score on validation
    train_loss: float | None = None
    val_loss: float | None = None
    epoch_s: float | None = None
    left_s: float | None = None  # if it runs to its last epoch


@dataclass(frozen=True)
class Finished:
    """What a finished trial came to."""

    name: str
    score: float | None  # the main score on test, or on validation where no test clip is touched; None if it diverged
    kept: int  # epoch
    epochs: int
    took_s: float


@dataclass(frozen=True)
class Failed:
    """A trial that ended without a result, and the last line of why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """How the whole sweep stands at one moment."""

    total: int
    num_finished: int
    num_failed: int
    elapsed_s: float
    eta_s: float | None
    part_done: float  # of the work, between 0 and 1
    best: tuple[float, str] | None  # the main score on validation, and whose
    waiting: str  # for what, before and after trials run; empty while they do
    waited_s: float
    tested: bool  # whether the scores of finished trials are of test clips
    main_score: Any  # which score that is: a part of `trainable/scores/`
    longest_name: str  # of all trials, so that columns keep their places
    most_epochs: int
    running: Sequence[Running]  # in the order of their start
    finished: Sequence[Finished]  # the last few, the newest first
    failed: Sequence[Failed]  # likewise


def shown(score: Any, value: float) -> str:
    """A score's value for a reader: a share in percent."""
    return f"{100 * value:.1f} %" if score.is_share else f"{value:.4f}"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `7 min`, `12 s`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"
