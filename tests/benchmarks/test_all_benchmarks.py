"""The page of all benchmarks shows what was measured, what was missed, and what was not measured."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import measured
from benchmarks.__main__ import NAMES, page
from benchmarks.measured import Row, against, at_least, at_most, not_measured, show


def keep(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Stores results as a benchmark does."""
    folder.mkdir(exist_ok=True)
    show(rows, argparse.Namespace(json=folder / f"{name}.json", rounds=3))


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_measures_and_how_it_is_run(name: str) -> None:
    """Its first line is the text on the page, and its docstring has the command."""
    about = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
    assert about.splitlines()[0].endswith((".", "?", ":"))
    assert f"python -m benchmarks.{name}" in about


def test_a_ratio_is_how_many_times_better(tmp_path: Path) -> None:
    """Both less time and more speed are better."""
    assert against("a", "ms", 2, 6, "slow").ratio == 3
    assert against("a", "clips/s", 6, 2, "slow", more_is_better=True).ratio == 3
    assert [against("a", "ms", 2, 6, "slow", goal).met for goal in (3, 3.1)] == [True, False]
    assert [at_most("a", "s", 2, limit).met for limit in (2, 1.9)] == [True, False]
    assert [at_least("a", "", 2, limit).met for limit in (2, 2.1)] == [True, False]


def test_the_page_counts_what_was_met_and_missed(tmp_path: Path) -> None:
    """Each row has its verdict."""
    keep(tmp_path / "cpu", "feed", [against("fed", "ms", 2, 6, "slow", 2), at_most("late", "s", 3, 1)])
    keep(tmp_path / "cpu", "gpu", [not_measured("a step", "ms", ">= 2x", "no GPU")])
    text = page(tmp_path)
    assert "1 goals are met, 1 are missed, and 1 rows were not measured." in text
    assert "| fed | ms | 2 | 6 (slow) | 3x | >= 2x | met |" in text
    assert "| late | s | 3 |  |  | <= 1 s | **missed** |" in text
    assert "| a step | ms | - |  |  | >= 2x | not measured: no GPU |" in text


def test_what_a_gpu_has_measured_takes_the_place_of_what_a_cpu_could_not(tmp_path: Path) -> None:
    """If both have measured a row, both are shown."""
    keep(tmp_path / "cpu", "gpu", [not_measured("a step", "ms", ">= 2x", "no GPU")])
    keep(tmp_path / "gpu", "gpu", [against("a step", "ms", 2, 6, "slow", 2)])
    keep(tmp_path / "cpu", "feed", [against("fed here", "ms", 2, 6, "slow", 2), not_measured("x", "ms", "", "no GPU")])
    keep(tmp_path / "gpu", "feed", [against("fed there", "ms", 2, 6, "slow", 2)])
    text = page(tmp_path)
    assert "not measured: no GPU" not in text
    assert "fed here" in text
    assert "fed there" in text


def test_the_machine_is_named() -> None:
    """The page names it with the relevant versions."""
    machine = measured.machine()
    assert "cores" in machine["machine"]
    assert {"python", "torch", "numpy"} <= set(machine["versions"])
