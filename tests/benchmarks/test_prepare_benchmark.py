"""The benchmark of preparation: both ways give the same clips, and the printed figures are the counted ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import noise, prepare

# librosa looks for all decoders when it loads its first file.
pytestmark = pytest.mark.filterwarnings(r"ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")


def test_both_make_the_same_clips(tmp_path: Path) -> None:
    """Two clips of two recordings at six rates agree; soundfile rounds down, ours to nearest."""
    corpus = noise.corpus(tmp_path / "audio", num_recordings=2, seconds=12)
    measured = prepare.measure(corpus, tmp_path, num_rounds=1)
    assert (measured.num_clips, measured.peer_files, measured.clip_files) == (24, 24, 6)
    assert measured.differ_by <= 1


def test_a_clip_that_differs_is_told(tmp_path: Path) -> None:
    """A single sample that is off by 700 is noticed."""
    corpus = noise.corpus(tmp_path / "audio", num_recordings=1, seconds=5)
    scanned = prepare.scan(corpus, noise.CLIP_S, tmp_path)
    entries = prepare.cache.build(scanned, prepare.RATES_HZ, noise.CLIP_S, tmp_path)
    prepare.wav_per_clip(corpus, tmp_path / "wavs")
    wave = np.load(entries[8_000] / "clips.npy")
    wave[0, 100] += 700
    np.save(entries[8_000] / "clips.npy", wave)
    assert prepare.compare(tmp_path / "wavs", entries) == (6, pytest.approx(700, abs=1))


def test_prints_and_writes_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows are the clips' CPU time with its goal, the scan's without one, and the files."""
    words = ["--recordings", "2", "--seconds", "5", "--rounds", "1", "--folder", str(tmp_path)]
    prepare.main([*words, "--json", str(tmp_path / "prepare.json")])
    rows = json.loads((tmp_path / "prepare.json").read_text())["rows"]
    assert [row["goal"] for row in rows] == [">= 2.3x", "", "", "<= 6 files"]
    assert (rows[3]["ours"], rows[3]["peer"], rows[3]["met"]) == (6, 12, True)
    assert "both together" in capsys.readouterr().out
