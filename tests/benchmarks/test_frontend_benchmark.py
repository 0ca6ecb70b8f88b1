"""The front-end benchmark compares like with like, and its numbers come out as table and JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import frontend


@pytest.mark.parametrize("rates", frontend.CASES, ids=str)
def test_all_methods_compute_the_same(rates: tuple[int, int]) -> None:
    """Every method is within 1e-3 dB of float64, so that only the speed differs."""
    results = frontend.measure(*rates, num_clips=1, num_rounds=1)
    assert [r.method for r in results] == list(frontend.METHODS)
    assert max(r.max_error_db for r in results) < 1e-3
    assert {r.method: r.ratio for r in results}["librosa"] == 1


def test_prints_a_table_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line and a record for each method at each pair of rates, and the versions that were measured."""
    path = tmp_path / "frontend.json"
    monkeypatch.setattr(sys, "argv", ["frontend", "--json", str(path), "--clips", "1", "--rounds", "1"])
    frontend.main()
    document = json.loads(path.read_text())
    number = len(frontend.CASES) * len(frontend.METHODS)
    assert len(document["results"]) == number
    assert len(capsys.readouterr().out.splitlines()) == 1 + number
    assert document["versions"]["torch"]
