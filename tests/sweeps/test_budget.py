"""A budget is kept, from the time that is spent, running and predicted."""

from __future__ import annotations

import argparse

import pytest

from sweeps.engine.command.commandline import limit
from sweeps.engine.forecast.budget import Budget, Limit, Times
from sweeps.engine.plan import grid
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig

BASE = RATES.but(augment="none", epochs=8)
LONG, MEDIUM, SHORT = TRIALS = grid(BASE, seed=(1, 2, 3))
HOURS = dict(zip([t.key for t in TRIALS], (3.0, 2.0, 1.0), strict=True))
NONE = Times({}, {})


def budget(hours: float, spent_hours: float = 0, part: float = 1.0) -> Budget:
    predicted_s = {key: 3600 * h for key, h in HOURS.items()}
    return Budget(Limit(hours, "GPU"), 3600 * spent_hours, predicted_s, dict.fromkeys(HOURS, part))


def started(left: Budget, times: Times = NONE) -> tuple[list[TrialConfig], list[str]]:
    """The trials that may start, and the messages about the others."""
    messages: list[str] = []
    return list(left.affordable(TRIALS, lambda: times, messages.append)), messages


def test_all_fit_into_their_own_sum() -> None:
    """No message is given."""
    assert started(budget(6)) == (list(TRIALS), [])


def test_a_long_trial_makes_way_for_shorter_ones() -> None:
    """Of 3, 2 and 1 hours in 4, the second does not fit but the third does; the one left out is named."""
    trials, (message,) = started(budget(4))
    assert trials == [LONG, SHORT]
    assert "4 GPU-hours leaves out 1 trials, which would take 2 more: cnn14-32k on 32 kHz, seed 2;" in message
    assert "raise --budget" in message


def test_what_earlier_starts_took_is_spent() -> None:
    """The limit is for the whole sweep, however often it is started."""
    assert started(budget(4, spent_hours=2.5))[0] == [SHORT]
    assert started(budget(4, spent_hours=3.5))[0] == []


def test_a_share_of_a_device_is_spent_as_a_share() -> None:
    """Six hours of half a GPU are three GPU-hours."""
    assert started(budget(3, part=0.5))[0] == list(TRIALS)


def test_an_ended_trial_counts_with_what_it_took() -> None:
    """The long one stopped after an hour, so that its other two hours are free."""
    assert started(budget(4), Times({LONG.key: 3600}, {}))[0] == list(TRIALS)


def test_a_running_trial_counts_with_its_prediction_at_least() -> None:
    """It has run for one of three predicted hours, or already for four."""
    assert started(budget(5), Times({}, {LONG.key: 3600}))[0] == [LONG, MEDIUM]
    assert started(budget(5), Times({}, {LONG.key: 4 * 3600}))[0] == [LONG, SHORT]


def test_it_is_asked_when_a_trial_s_turn_comes() -> None:
    """It is not asked earlier, so that the times of other trials are known."""
    looked: list[int] = []

    def times() -> Times:
        looked.append(1)
        return NONE

    trials = budget(6).affordable(TRIALS, times, lambda _: None)
    next(trials)
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("word", "expected"), [("12gpu-h", Limit(12, "GPU")), ("0.5cpu-h", Limit(0.5, "CPU")), ("3GPU-h", Limit(3, "GPU"))]
)
def test_a_limit_is_hours_of_something(word: str, expected: Limit) -> None:
    """Limits are parsed as users write them."""
    assert limit(word) == expected


@pytest.mark.parametrize("word", ["12", "12h", "gpu-h", "-1gpu-h", "0cpu-h", "1,5gpu-h"])
def test_a_limit_that_is_none_is_refused(word: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(argparse.ArgumentTypeError, match="12gpu-h"):
        limit(word)
