"""A sweep through real Ray and a real store, killed at seeded random moments until it is done."""

from __future__ import annotations

import random
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import chaos, kills
from benchmarks.chaos_counts import Counts
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine.launch import INCOMPLETE

# Those whose victims are noticed late come last: meanwhile the other trials train on.
KINDS = ("term", "driver", "worker", "interrupt", "worker-term", "driver", "worker", "raylet", "freeze", "gcs")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, because the paths of Ray's sockets may have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.ray
def test_ten_kills_lose_nothing_and_change_nothing(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind at least: SIGKILL, SIGTERM and SIGINT to the driver; SIGKILL, SIGTERM and SIGSTOP to a worker;
    SIGKILL to Ray's raylet and to its GCS. Each victim is seen to die, and the results are those of a sweep left alone.
    """
    args = Namespace(trials=4, epochs=75, hang_after=15)
    draw = random.Random(4)
    plan = [kills.Kill(kind, draw.randint(1, 20), draw.uniform(0, 1)) for kind in KINDS]
    ships = short / "ships"
    write_deepship(ships, num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    alone, reference = chaos.ours(short / "a", ships, args, [])
    assert [start.code for start in alone.starts] == [0]

    monkeypatch.setenv("SOUNDINGS_FAULT_HOW", "wait 0.2")  # or on a busy machine a trial ends between look and kill
    killed, watch = chaos.ours(short / "k", ships, args, plan)
    hit = [kind for start in killed.starts for kind in start.kills]
    assert tuple(hit) == KINDS
    assert set(hit) == set(kills.SIGNALS)
    assert {start.code for start in killed.starts if {"gcs", "raylet"} & set(start.kills)} == {INCOMPLETE}
    assert killed.counts.epochs_redone <= 2 * len(hit)  # whole ones, of two running trials
    assert killed.counts == Counts(0, 0, 0, 0, killed.counts.epochs_redone)
    assert not any(start.lied for start in killed.starts)
    assert not watch.altered
    assert not watch.left_behind()
    assert watch.results() == reference.results()
    assert len(reference.results()) == args.trials
