"""The memory benchmark: trials hold the same clips both ways, and their memory is counted once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory, noise


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four clips at 32 kHz, 7.68 MB."""
    return noise.entry(tmp_path_factory.mktemp("noise"), 24)


def test_both_hold_the_same_clips(entry: Path) -> None:
    """Ours maps what the peer copies, and makes 0 to 1 of it."""
    clips, _ = memory.map_clips(entry)
    samples, scaled = memory.own_arrays(entry)
    np.testing.assert_array_equal(clips.wave, samples)
    assert {wave.dtype for wave in scaled} == {np.dtype(np.float32)}
    assert (min(wave.min() for wave in scaled), max(wave.max() for wave in scaled)) == (0, 1)


def test_every_page_of_the_map_is_read(entry: Path) -> None:
    """The share of the one process that maps the file is the file."""
    held = memory.map_clips(entry)
    assert memory.pss_mb(os.getpid(), entry / "clips.npy") == pytest.approx(7.68, rel=0.01)
    del held
    assert memory.pss_mb(os.getpid(), entry / "clips.npy") == 0


def test_two_trials_share_a_map_and_not_their_arrays(entry: Path) -> None:
    """Two hold what one does, and with arrays of their own six bytes a sample each."""
    assert memory.measure(memory.map_clips, entry, 2).clips == pytest.approx(7.68, rel=0.01)
    own = [memory.measure(memory.own_arrays, entry, n) for n in (1, 2)]
    assert [taken.clips for taken in own] == [0, 0]
    assert [taken.growth for taken in own] == pytest.approx([3 * 7.68, 6 * 7.68], rel=0.2)


def test_prints_and_writes_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each number of trials, the goal on the most over the least, and the log-mels besides."""
    memory.main(["--clips", "24", "--trials", "1,2", "--json", str(tmp_path / "memory.json")])
    rows = json.loads((tmp_path / "memory.json").read_text())["rows"]
    assert [row["goal"] for row in rows] == ["", "", "<= 1.1 times", "", ""]
    assert all(row["ours"] > 0 for row in rows)
    assert "2 trials over 1" in capsys.readouterr().out


def test_a_trial_that_dies_is_an_error(tmp_path: Path) -> None:
    """There is no entry to open: the benchmark ends, and waits for nobody."""
    with pytest.raises(EOFError):
        memory.measure(memory.map_clips, tmp_path, 1)
