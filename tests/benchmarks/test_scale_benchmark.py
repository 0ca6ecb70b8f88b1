"""Simulated nodes really run the counted trials, and a sweep that slows down is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scale import Counter, Mark

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.ray
def test_two_nodes_run_every_trial(tmp_path: Path) -> None:
    """Real Ray processes run the launcher's code; a missing trial is an error."""
    program = (
        "from benchmarks import scale\nscale.STORE_TRIALS, scale.REPORT_TRIALS, scale.EPOCHS = 2, 4, 5\nscale.main()"
    )
    words = ["--nodes", "2", "--gpus", "8", "--trials", "20", "--json", str(tmp_path / "scale.json")]
    process = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.startswith("2 nodes x 8 GPUs are up")
    rows = {row["case"]: row for row in json.loads((tmp_path / "scale.json").read_text())["rows"]}
    assert rows["all 20 trials: driver's CPU a trial"]["ours"] > 0
    assert len([case for case in rows if case.startswith("trials ")]) == 10


def test_the_clock_starts_when_every_worker_has_a_trial(tmp_path: Path) -> None:
    """Trials wait for that moment."""
    counter = Counter(every=1, num_workers=2, go=tmp_path / "go")
    counter.started("a")
    assert not counter.marks
    assert not (tmp_path / "go").exists()
    counter.started("b")
    assert [m.trials for m in counter.marks] == [0]
    assert (tmp_path / "go").exists()
    counter.started("c")
    counter.finished("a", "node")
    assert [m.trials for m in counter.marks] == [0, 1]


@pytest.mark.parametrize(("growth", "met"), [(0.0, True), (1.0, False)])
def test_a_sweep_that_slows_down_misses_its_goal(growth: float, met: bool) -> None:
    """With `growth` 1, the last of ten parts takes ten times as long as the first."""
    wall_s, marks = 0.0, [Mark(0, 0.0, 0.0, 300.0)]
    for part in range(10):
        wall_s += 1 + growth * part
        marks.append(Mark(1000 * (part + 1), wall_s, wall_s / 2, 300 + 14.0 * (part + 1)))
    rows = {row.case: row for row in scale.rows(marks, 0, 0)}
    for figure in ("wall time", "driver's CPU"):
        assert rows[f"{figure} a trial, second half beside the first"].met is met
    assert rows["driver's memory that a trial leaves, in Tune's list of them"].ours == pytest.approx(14)
    assert rows["driver's memory, after 1,000 trials more"].ours == pytest.approx(1 + 14 / 370)
