"""The benchmark of feeding: every way returns the same clips, once per epoch, in batches of one size."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import feed
from datasets.engine.clips import Clips
from trainable.network.frontend import logmel

NUM_CLIPS = 6


@pytest.fixture(scope="module")
def clips() -> Clips:
    """Noise with a different scale in each clip, whose label is its number."""
    rng = np.random.default_rng(0)
    wave = (3_000 * rng.standard_normal((NUM_CLIPS, 160_000)) * rng.uniform(0.1, 1, (NUM_CLIPS, 1))).astype(np.int16)
    levels = np.stack([wave.min(axis=1), wave.max(axis=1)], axis=1)
    numbers = np.arange(NUM_CLIPS)
    lengths = np.full(NUM_CLIPS, wave.shape[1])
    return Clips(wave, levels, lengths, np.full(NUM_CLIPS, "a"), numbers, numbers, tuple("abcdef"), 32_000)


def given(way: Iterator[feed.Batch]) -> tuple[torch.Tensor, list[int]]:
    """All inputs ordered by clip number, and the numbers in the order of arrival."""
    inputs, labels = (torch.cat(parts) for parts in zip(*way, strict=True))
    return inputs[labels.argsort(stable=True)], labels.tolist()


def test_waveforms_are_the_peers(clips: Clips) -> None:
    """Every clip has the same samples between 0 and 1."""
    peers, order = given(feed.by_loader(feed.DictsInMemory(clips), num_epochs=1, num_workers=0))
    ours, our_order = given(feed.by_index(feed.hold(feed.WAVES, clips), num_epochs=1))
    assert sorted(order) == sorted(our_order) == list(range(NUM_CLIPS))
    torch.testing.assert_close(ours, peers)


def test_logmels_are_those_of_the_peers_waveforms(clips: Clips) -> None:
    """They agree up to half precision."""
    peers, _ = given(feed.by_loader(feed.DictsInMemory(clips), num_epochs=1, num_workers=0))
    ours, _ = given(feed.by_index(feed.hold(feed.LOGMELS, clips), num_epochs=1))
    assert ours.dtype == torch.float32
    assert float((ours - logmel(peers, feed.LOGMELS.card.front_end)).abs().max()) < 0.04


def test_every_epoch_has_every_clip_in_another_order(clips: Clips) -> None:
    """Three epochs of ours and of the peer are checked; the peer reads its epochs as one."""
    for way in (
        feed.by_loader(feed.DictsInMemory(clips), num_epochs=3, num_workers=0),
        feed.by_index(feed.hold(feed.LOGMELS, clips), num_epochs=3),
    ):
        _, order = given(way)
        epochs = [tuple(order[n : n + NUM_CLIPS]) for n in range(0, 3 * NUM_CLIPS, NUM_CLIPS)]
        assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(NUM_CLIPS))}
        assert len(set(epochs)) > 1


def test_workers_are_counted(clips: Clips) -> None:
    """The figure includes the time of child processes that have ended."""
    all_before, own_before = feed.cpu_s(), time.process_time()
    num_clips = sum(len(labels) for _, labels in feed.by_loader(feed.DictsInMemory(clips), num_epochs=2, num_workers=1))
    assert num_clips == 2 * NUM_CLIPS
    assert feed.cpu_s() - all_before > time.process_time() - own_before + 0.002


def test_prints_and_writes_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The goal is for log-mels against workers, and the note says what was scaled."""
    words = ["--clips", "24", "--epochs", "1", "--rounds", "1", "--workers", "1"]
    feed.main([*words, "--json", str(tmp_path / "feed.json")])
    first, *others = json.loads((tmp_path / "feed.json").read_text())["rows"]
    assert (first["goal"], first["peer_name"]) == (">= 100x", "DataLoader, 1 workers")
    assert first["note"] == "scaled from 1 x 24 clips to 27,062"
    assert [row["goal"] for row in others] == ["", "", ""]
    assert "once a trial" in capsys.readouterr().out
