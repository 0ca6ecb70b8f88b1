"""Nodes take trials whose clips they already have, otherwise in the order of the plan."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sweeps.deepship_rates import SWEEP
from sweeps.engine.forecast.cost import effort, longest_first
from sweeps.engine.running.near import NearData
from trainable.config import TrialConfig

TABLE = longest_first(SWEEP.trials, {})
CLIPS = {t.key: Path(f"{t.data_hz}") for t in TABLE}
LONGEST_MIN, CLIPS_MIN = 50, 3


def rates(trials: Iterator[TrialConfig], num: int) -> list[int]:
    """The rates of the next few trials."""
    return [next(trials).data_hz for _ in range(num)]


def test_without_news_the_order_is_the_plans() -> None:
    assert list(NearData(TABLE, CLIPS)) == TABLE
    assert list(NearData(TABLE, {})) == TABLE


def test_a_node_that_is_free_takes_what_it_holds_the_clips_of() -> None:
    """It takes the first trial of that rate; unknown nodes follow the order."""
    near = NearData(TABLE, CLIPS)
    trials = iter(near)
    order = [t.data_hz for t in TABLE]
    assert rates(trials, 3) == order[:3]
    last = next(t for t in reversed(TABLE) if t.data_hz == 2_000)
    near.finished(last.key, "a")
    assert next(trials) == next(t for t in TABLE[3:] if t.data_hz == 2_000)
    assert next(trials) == TABLE[3]


def test_what_a_node_holds_that_no_trial_needs_changes_nothing() -> None:
    near = NearData(TABLE[:4], CLIPS)
    near.finished(next(t for t in TABLE if t.data_hz == 2_000).key, "a")
    assert list(near) == TABLE[:4]


def test_every_trial_comes_once_whatever_ends() -> None:
    """Three nodes end in any order."""
    near = NearData(TABLE, CLIPS)
    given = []
    for n, trial in enumerate(near):
        given.append(trial)
        near.finished(given[n // 2].key, f"node {n % 3}")
    assert sorted(t.key for t in given) == sorted(CLIPS)


def ends(num_nodes: int, clips: Mapping[str, Path]) -> tuple[int, float]:
    """The number of times that clips are made on nodes with one GPU each, and when the last trial ends [min]."""
    longest = max(effort(t) for t in TABLE)
    near, builds, over = NearData(TABLE, clips), 0, 0.0
    trials, held = iter(near), [set[int]() for _ in range(num_nodes)]
    free = [(0.0, node, "") for node in range(num_nodes)]
    while free:
        minute, node, key = heapq.heappop(free)
        if key:
            near.finished(key, str(node))
            over = minute
        if not (trial := next(trials, None)):
            continue
        if trial.data_hz not in held[node]:
            held[node].add(trial.data_hz)
            builds, minute = builds + 1, minute + CLIPS_MIN
        heapq.heappush(free, (minute + LONGEST_MIN * effort(trial) / longest, node, trial.key))
    return builds, over


@pytest.mark.parametrize(
    ("num_nodes", "ours", "plain"), [(4, (17, 141), (23, 147)), (8, (24, 76), (32, 78)), (16, (31, 53), (43, 53))]
)
def test_fewer_clips_are_made_and_no_time_is_lost(
    num_nodes: int, ours: tuple[int, int], plain: tuple[int, int]
) -> None:
    """For Table I, the figures are those of the class and of docs/scaling.md."""
    builds, minutes = ends(num_nodes, CLIPS)
    assert (builds, round(minutes)) == ours
    builds, minutes = ends(num_nodes, {})
    assert (builds, round(minutes)) == plain
