"""The benchmark of the front end compares equal work, and writes its numbers as table and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import frontend

RATES = [(pretrain_hz, data_hz) for pretrain_hz, data_hz, _ in frontend.CASES]


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_all_methods_compute_the_same(rates: tuple[int, int]) -> None:
    """Every method is within 1e-3 dB of float64, and ours of torchlibrosa, so only the speed differs."""
    measured = frontend.measure(*rates, num_clips=1, num_rounds=1)
    assert list(measured.max_error_db) == list(measured.clips_per_cpu_s) == list(frontend.METHODS)
    assert max(measured.max_error_db.values()) < 1e-3
    assert 0 < measured.difference_db < 1e-3


@pytest.mark.parametrize(("speed", "difference_db", "met"), [(8, 1e-5, True), (8, 2e-3, False), (3, 1e-5, False)])
def test_the_goal_needs_speed_and_agreement(speed: float, difference_db: float, met: bool) -> None:
    """Four times torchlibrosa's speed is not enough if the numbers differ; other peers have no goal."""
    speeds = dict.fromkeys(frontend.METHODS, 1.0) | {"soundings": speed}
    measured = frontend.Measured(501, speeds, dict.fromkeys(frontend.METHODS, 1e-5), difference_db)
    first, *others = frontend.rows(measured, 32_000, 32_000, at_least=4)
    assert (first.peer_name, first.ratio, first.met) == ("torchlibrosa", speed, met)
    assert {row.met for row in others} == {None}


def test_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours has a row against each peer at each pair of rates, and the versions are recorded."""
    path = tmp_path / "frontend.json"
    frontend.main(["--json", str(path), "--clips", "1", "--rounds", "1"])
    document = json.loads(path.read_text())
    number = len(frontend.CASES) * (len(frontend.METHODS) - 1)
    assert len(document["rows"]) == number
    assert len(capsys.readouterr().out.splitlines()) == 1 + number
    assert document["versions"]["torchlibrosa"]
