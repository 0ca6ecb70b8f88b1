"""Several trials at once each do the work of one alone, and without a GPU nothing is claimed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import pack

TINY = replace(pack.LIGHT["CNN14, 32 frames"], width=1 / 64, batch=2)


def test_processes_train_the_same_in_their_turns() -> None:
    """Two processes start with equal losses, and train together, one alone, and together again."""
    with pack.processes(TINY, "cpu", 2) as both:
        turns = [pack.together(both[:size], 0.05) for size in (2, 1, 2)]
    assert [len(trained) for trained in turns] == [2, 1, 2]
    assert len({t.first_loss for trained in turns for t in trained}) == 1
    for t in (t for trained in turns for t in trained):
        assert t.seconds >= 0.05
        assert t.num_steps >= pack.STEPS
        assert t.num_steps % pack.STEPS == 0


def test_processes_that_train_otherwise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table needs equal work in all processes."""
    monkeypatch.setattr(pack, "together", lambda some, seconds: [pack.Trained(8, 1.0, 1.0 + n) for n in range(2)])
    monkeypatch.setattr(pack, "processes", lambda *of: nullcontext([1, 2]))
    with pytest.raises(RuntimeError, match="cnn14: not every process began with the same losses"):
        pack.rates(TINY, "cpu", [1, 2], 0.1, 1)


def test_rates_are_those_of_all_processes_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two with 8 steps in 4 s equal one with 8 in 2 s; the median of the rounds counts."""
    monkeypatch.setattr(pack, "LIGHT", {"toy": TINY})
    monkeypatch.setattr(pack, "together", lambda some, seconds: [pack.Trained(8, 2.0 * len(some), 1.0)] * len(some))
    monkeypatch.setattr(pack, "processes", lambda *of: nullcontext([1, 2]))
    path = tmp_path / "results.json"
    pack.main(["--device", "cpu", "--at-once", "1,2", "--rounds", "3", "--width", "0.0625", "--json", str(path)])
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["case"], row["ours"], row["peer"], row["ratio"]) == ("toy, 2 trials", 4, 4, 1)
    assert row["met"] is None  # on cores there is no goal


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    """The rows are there, but blank."""
    path = tmp_path / "results.json"
    pack.main(["--json", str(path)])
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == len(pack.LIGHT)
    assert {(row["ours"], row["met"], row["note"]) for row in rows} == {(None, None, "not measured: needs a GPU")}


def test_one_alone_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise there is nothing to compare the others with."""
    with pytest.raises(SystemExit):
        pack.main(["--at-once", "2,4"])
    assert "--at-once: begin with 1" in capsys.readouterr().err
