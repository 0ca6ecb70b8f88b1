"""A fault kills where and when it should, leaves a trace, and does nothing unless it is enabled."""

from __future__ import annotations

import ast
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from trainable.device import faults

ROOT = Path(__file__).resolve().parents[2]
PLACE = "record is committed"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that shows which faults happened, with a fault enabled."""
    monkeypatch.setenv("SOUNDINGS_FAULT", PLACE)
    monkeypatch.setenv("SOUNDINGS_FAULT_LOG", str(tmp_path))
    return tmp_path


def reach(times: int, place: str = PLACE) -> int:
    """The exit code of a process that reaches a place a number of times: that of SIGKILL, or 0."""
    if (child := os.fork()) == 0:
        for _ in range(times):
            faults.reach(place)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def reached(log: Path) -> list[str]:
    return sorted(path.name for path in log.iterdir())


def test_the_first_time_kills(log: Path) -> None:
    """The process dies by SIGKILL, which cannot be caught, but only once: the next process survives."""
    assert reach(1) == -signal.SIGKILL
    assert reach(3) == 0
    assert reached(log) == [f"{PLACE} {n}" for n in (1, 2, 3, 4)]


@pytest.mark.slow
@pytest.mark.parametrize(("times", "killed"), [("2", [2]), ("1,2", [1, 2]), ("3,1", [1, 3]), ("12", [12])])
def test_times_are_counted_over_processes(
    log: Path, monkeypatch: pytest.MonkeyPatch, times: str, killed: list[int]
) -> None:
    """Each process reaches the place once; those with a listed number are killed."""
    monkeypatch.setenv("SOUNDINGS_FAULT_TIMES", times)
    assert [n for n in range(1, 14) if reach(1)] == killed


def test_another_place_is_passed(log: Path) -> None:
    """Another place is not even counted."""
    assert reach(2, "trial begins") == 0
    assert reached(log) == []


def test_without_a_fault_nothing_happens(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a fault, the other variables have no effect."""
    monkeypatch.delenv("SOUNDINGS_FAULT")
    assert reach(2) == 0
    assert reached(log) == []


def test_every_place_is_one_line_of_the_code() -> None:
    """No place is missing, misspelt or used twice, so tests of all places are complete."""
    num_lines: Counter[str] = Counter()
    for path in [*(ROOT / "trainable").rglob("*.py"), *(ROOT / "sweeps").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.reach":
                num_lines[ast.literal_eval(node.args[0])] += 1
    assert num_lines == Counter([*faults.PLACES, *faults.AT_A_URI])
