"""Measurements are kept, found again where they apply, and made once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sweeps.engine.forecast.cost import Cluster
from sweeps.engine.forecast.placement import Asked
from sweeps.engine.forecast.timings import FILE, Timings, merged, read, versions, write
from sweeps.engine.plan import grid
from sweeps.engine.running import measure
from sweeps.engine.running.measure import Answer, Answers
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.cost.cost import Measured, cell_of

BASE = RATES.but(data_hz=2_000, weights="none", width=1 / 16, batch=2)
TRIALS = grid(BASE, data_hz=(2_000, 4_000), seed=(1, 2))
CELLS = [cell_of(t) for t in TRIALS[::2]]
MEASURED = Measured((1.0, 2.0), (0.1,), 0.01, 0.5, 0.2, 3.0, 1.5)
HERE = f"toy, {versions()}"
TIMINGS = Timings(Cluster(2, 1, 16.0, 4.0), HERE, {HERE: {CELLS[0]: MEASURED}})


class Machine:
    """Simulates the cluster, and remembers its requests."""

    def __init__(self, device: str = HERE, refused: dict[str, str] | None = None) -> None:
        self.device, self.refused = device, refused or {}
        self.asked: list[list[str]] = []

    def __call__(self, trials: list[TrialConfig], storage: Path, asked: Asked) -> Answers:
        cells = [cell_of(t) for t in trials]
        self.asked.append(cells)
        answers = {c: [Answer(self.device, MEASURED, 1.0)] for c in cells if c not in self.refused}
        return Answers(answers, self.refused, Cluster(8))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(measure, "_on_cluster", machine)
    return machine


def test_what_was_measured_is_read_back(tmp_path: Path) -> None:
    """All of it is there, to the last digit."""
    write(TIMINGS, tmp_path)
    assert read(tmp_path) == TIMINGS
    assert read(tmp_path).here == {CELLS[0]: MEASURED}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cluster": {}}', '{"measured": {}, "device": "", "cluster": {"x": 1}}']
)
def test_a_damaged_file_is_none(content: str, tmp_path: Path) -> None:
    """It can be measured again; a plan must not fail for it."""
    (tmp_path / FILE).write_text(content)
    assert read(tmp_path) == Timings() == read(tmp_path / "nowhere")


def test_other_versions_are_another_machine(tmp_path: Path) -> None:
    """A new torch may be faster."""
    old = HERE.replace("torch ", "torch 0.")
    write(dataclasses.replace(TIMINGS, device=old, measured={old: {CELLS[0]: MEASURED}}), tmp_path)
    assert read(tmp_path).here == {}


def test_copies_are_merged() -> None:
    """All rounds count, and the worst of the values that were measured once."""
    worse = dataclasses.replace(MEASURED, step_s=(5.0,), load_s=0.5, peak_gb=1.0)
    assert merged([MEASURED, worse]) == dataclasses.replace(
        MEASURED, step_s=(1.0, 2.0, 5.0), eval_s=(0.1, 0.1), load_s=0.5
    )


def test_each_cell_is_measured_once(machine: Machine, tmp_path: Path) -> None:
    """Seeds share a cell; a second start measures nothing; a new cell is measured alone."""
    measure.measure_cells(TRIALS[:2], tmp_path, Asked())
    measure.measure_cells(TRIALS[:2], tmp_path, Asked())
    assert machine.asked == [[CELLS[0]]]
    measure.measure_cells(TRIALS, tmp_path, Asked())
    assert machine.asked == [[CELLS[0]], [CELLS[1]]]
    assert read(tmp_path).here.keys() == set(CELLS)
    assert read(tmp_path).cluster == Cluster(8)


def test_on_another_device_all_are_measured(machine: Machine, tmp_path: Path) -> None:
    """The first new cell shows that the old ones were measured elsewhere; those measurements are kept."""
    measure.measure_cells(TRIALS[:2], tmp_path, Asked())
    machine.device = f"another, {versions()}"
    measure.measure_cells(TRIALS, tmp_path, Asked())
    assert machine.asked[1:] == [[CELLS[1]], [CELLS[0]]]
    stored = read(tmp_path)
    assert stored.device == machine.device
    assert stored.here.keys() == set(CELLS)
    assert HERE in stored.measured


def test_a_cell_that_cannot_be_measured_says_why(machine: Machine, tmp_path: Path) -> None:
    """The others are kept; this one is not tried again and again."""
    machine.refused = {CELLS[0]: "out of memory"}
    assert measure.measure_cells(TRIALS, tmp_path, Asked()) == {CELLS[0]: "out of memory"}
    assert machine.asked == [CELLS]
    assert read(tmp_path).here.keys() == {CELLS[1]}


@pytest.mark.ray
def test_on_a_real_cluster(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Workers measure, what they found is stored as text, and nothing else is left in the storage."""
    assert measure.measure_cells(TRIALS, tmp_path, Asked()) == {}
    assert "2 of 2 cells are measured" in capfd.readouterr().out
    found = read(tmp_path)
    assert found.here.keys() == set(CELLS)
    assert found.cluster is not None
    assert found.cluster.join_s > 0
    assert all(min(m.step_s) > min(m.eval_s) > 0 and m.start_s > m.build_s for m in found.here.values())
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert json.loads((tmp_path / FILE).read_text())["device"] == found.device
