"""A budget of GPU- or core-hours for a sweep, over all its starts: which trials may still begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from datasets.engine.refusal import Refusal
from sweeps.engine.plan import trial_name
from trainable.config import TrialConfig

MAX_NAMED = 6


class NoBudget(Refusal, ValueError):
    """A budget that cannot be kept, because what trials take is not known."""


@dataclass(frozen=True)
class Limit:
    """What a sweep may take."""

    hours: float
    device: str  # whose: "GPU" or "CPU"


@dataclass(frozen=True)
class Times:
    """How long trials of this start have worked, by key [s]."""

    ended: Mapping[str, float]
    running: Mapping[str, float]


@dataclass(frozen=True)
class Budget:
    """What is left of a limit.

    Args:
        spent_s: device-seconds of trials that earlier starts finished; what their failed attempts took is not known.
        predicted_s: of each trial, by key [s].
        parts: devices of each trial, by key, which make its seconds device-seconds.
    """

    limit: Limit
    spent_s: float
    predicted_s: Mapping[str, float]
    parts: Mapping[str, float]

    def taken_s(self, begun: Iterable[str], times: Times) -> float:
        """Device-seconds spent, with what trials that are running will take: as predicted, or longer."""
        total = self.spent_s
        for key in begun:
            most = max(self.predicted_s[key], times.running.get(key, 0))
            total += self.parts[key] * times.ended.get(key, most)
        return total

    def affordable(
        self, trials: Iterable[TrialConfig], times: Callable[[], Times], stop: Callable[[str], None]
    ) -> Iterator[TrialConfig]:
        """The trials that fit when their turn comes; a long one that does not makes way for shorter ones.

        Args:
            times: looks at what this start's trials have taken so far.
            stop: told at the end what was left out.
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
        """What was left out, and what it would take."""
        hours = sum(self.parts[t.key] * self.predicted_s[t.key] for t in left_out) / 3600
        named = ", ".join(map(trial_name, left_out[:MAX_NAMED])) + ", ..." * (len(left_out) > MAX_NAMED)
        what = f"{self.limit.hours:g} {self.limit.device}-hours"
        return (
            f"the budget of {what} leaves out {len(left_out)} trials, which would take {hours:.2g} more: {named}; "
            "raise --budget and start again"
        )
