"""A budget of GPU-hours or core-hours for a sweep, over all its starts, and the trials that may still begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from datasets.engine.refusal import Refusal
from sweeps.engine.plan import trial_name
from trainable.config import TrialConfig

MAX_NAMED = 6


class NoBudget(Refusal, ValueError):
    """A budget that cannot be kept, because the time of trials is unknown."""


@dataclass(frozen=True)
class Limit:
    """The most that a sweep may take."""

    hours: float
    device: str  # the device of the hours: "GPU" or "CPU"


@dataclass(frozen=True)
class Times:
    """The working times [s] of the trials of this start, by key."""

    ended: Mapping[str, float]
    running: Mapping[str, float]


@dataclass(frozen=True)
class Budget:
    """The remainder of a limit.

    Args:
        limit: the most that the sweep may take.
        spent_s: device-seconds of trials that earlier starts finished; the time of failed attempts is unknown.
        predicted_s: the predicted time of each trial [s], by key.
        parts: the number of devices of each trial, by key, which turns its seconds into device-seconds.
        names: the names of trials in their sweep, by key; their usual names if there is none.
    """

    limit: Limit
    spent_s: float
    predicted_s: Mapping[str, float]
    parts: Mapping[str, float]
    names: Mapping[str, str] = field(default_factory=dict)

    def taken_s(self, begun: Iterable[str], times: Times) -> float:
        """The device-seconds spent so far, counting running trials as predicted, or as long as they already took."""
        total = self.spent_s
        for key in begun:
            most = max(self.predicted_s[key], times.running.get(key, 0))
            total += self.parts[key] * times.ended.get(key, most)
        return total

    def affordable(
        self, trials: Iterable[TrialConfig], times: Callable[[], Times], stop: Callable[[str], None]
    ) -> Iterator[TrialConfig]:
        """Yields the trials that fit when their turn comes; a long one that does not fit makes way for shorter ones.

        Args:
            trials: the trials, in order.
            times: returns the working times of this start's trials so far.
            stop: called at the end with a message on the trials that were left out.
        """
        begun: list[str] = []
        left_out: list[TrialConfig] = []
        for trial in trials:
            needed_s = self.parts[trial.key] * self.predicted_s[trial.key]
            if self.taken_s(begun, times()) + needed_s > 3600 * self.limit.hours:
                left_out.append(trial)
            else:
                begun.append(trial.key)
                yield trial
        if left_out:
            stop(self.refusal(left_out))

    def refusal(self, left_out: list[TrialConfig]) -> str:
        """A message on the trials that were left out, and what they would take."""
        hours = sum(self.parts[t.key] * self.predicted_s[t.key] for t in left_out) / 3600
        first = [self.names.get(trial.key, trial_name(trial)) for trial in left_out[:MAX_NAMED]]
        names = ", ".join(first) + ", ..." * (len(left_out) > MAX_NAMED)
        limit = f"{self.limit.hours:g} {self.limit.device}-hours"
        return (
            f"the budget of {limit} leaves out {len(left_out)} trials, which would take {hours:.2g} more: {names}; "
            "raise --budget and start again"
        )
