"""The simulated worlds have the truth that they state, and every row is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.inference.influences import of_mean
from benchmarks import coverage
from benchmarks.coverage import World, draw


def test_the_accuracy_of_a_world_is_that_of_many_recordings() -> None:
    """Clips of 20,000 recordings are right as often as the integral says."""
    drawn = draw(np.random.default_rng(0), World(), 20_000, 2, 1)
    assert drawn.scores(0).mean() == pytest.approx(World().accuracy, abs=0.01)


def test_counted_clips_are_the_clips_themselves() -> None:
    """The influence of counts is that of the same clips one by one, by recording and by vessel."""
    drawn = draw(np.random.default_rng(1), World(vessel=0.5), 12, 1, 1)
    right = np.concatenate([np.arange(n) < k for n, k in zip(drawn.num_clips, drawn.right[0, 0], strict=True)]).astype(
        float
    )
    recording = np.repeat(np.arange(12), drawn.num_clips)
    for by_vessel, names in ((False, recording), (True, drawn.vessel[recording])):
        one_by_one, counted = of_mean(right, names, np.unique(names)), drawn.influence(0, by_vessel)
        assert counted.value == pytest.approx(one_by_one.value)
        assert counted.by_group == pytest.approx(one_by_one.by_group)


@pytest.mark.slow
def test_every_row_is_measured(tmp_path: Path) -> None:
    """With a few test sets each; the document has the figures, and the usual practice beside them."""
    coverage.main(["--simulations", "20", "--json", str(tmp_path / "coverage.json")])
    rows = json.loads((tmp_path / "coverage.json").read_text())["rows"]
    assert len(rows) == 23
    assert all(row["ours"] is not None and row["peer"] is not None for row in rows)
    assert not [row["case"] for row in rows if row["met"] is False]
