"""The benchmark of memory: both sides hold the same clips, and their memory is counted once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory, noise


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four clips at 32 kHz, which take 7.68 MB."""
    return noise.entry(tmp_path_factory.mktemp("noise"), 24)


def test_both_hold_the_same_clips(entry: Path) -> None:
    """Ours maps the samples that the peer copies and scales to 0 to 1."""
    clips, _ = memory.map_clips(entry)
    samples, scaled = memory.own_arrays(entry)
    np.testing.assert_array_equal(clips.wave, samples)
    assert {wave.dtype for wave in scaled} == {np.dtype(np.float32)}
    assert (min(wave.min() for wave in scaled), max(wave.max() for wave in scaled)) == (0, 1)


def test_every_page_of_the_map_is_read(entry: Path) -> None:
    """The share of a single process that maps the file equals the file."""
    clips = memory.map_clips(entry)
    assert memory.pss_mb(os.getpid(), entry / "clips.npy") == pytest.approx(7.68, rel=0.01)
    del clips
    assert memory.pss_mb(os.getpid(), entry / "clips.npy") == 0


def test_two_trials_share_a_map_and_not_their_arrays(entry: Path) -> None:
    """Two hold as much as one; with their own arrays, each takes six bytes per sample."""
    assert memory.measure(memory.map_clips, entry, 2).clips == pytest.approx(7.68, rel=0.01)
    copies = [memory.measure(memory.own_arrays, entry, n) for n in (1, 2)]
    assert [memory_taken.clips for memory_taken in copies] == [0, 0]
    assert [memory_taken.growth for memory_taken in copies] == pytest.approx([3 * 7.68, 6 * 7.68], rel=0.2)


def test_prints_and_writes_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows for each number of trials, the goal for most over least, and the log-mels."""
    memory.main(["--clips", "24", "--trials", "1,2", "--json", str(tmp_path / "memory.json")])
    rows = json.loads((tmp_path / "memory.json").read_text())["rows"]
    assert [row["goal"] for row in rows] == ["", "", "<= 1.1 times", "", ""]
    assert all(row["ours"] > 0 for row in rows)
    assert "2 trials over 1" in capsys.readouterr().out


def test_a_trial_that_dies_is_an_error(tmp_path: Path) -> None:
    """Without an entry to open, the benchmark ends instead of waiting."""
    with pytest.raises(EOFError):
        memory.measure(memory.map_clips, tmp_path, 1)
