"""The sampler of recordings draws each equally often, in an order that follows from the generator."""

from __future__ import annotations

import numpy as np
import torch

from trainable.examples import Examples
from trainable.samplers.recordings import Recordings

RECORDING = np.array(["long"] * 12 + ["short"] * 2 + ["one"])
CLIPS = Examples(torch.zeros(15, 1), torch.zeros(15, dtype=torch.long), RECORDING, np.zeros(15, dtype=int))


def order(seed: int) -> torch.Tensor:
    return Recordings().order(CLIPS, torch.Generator().manual_seed(seed))


def test_each_recording_comes_as_often() -> None:
    """Fifteen clips of three recordings give five of each, one in every round."""
    rounds = RECORDING[order(1).numpy()].reshape(5, 3)
    assert [sorted(row) for row in rounds] == [["long", "one", "short"]] * 5


def test_a_recordings_clips_take_turns() -> None:
    """No clip of a long recording appears twice; those of a short one appear as evenly as possible."""
    counts = order(1).bincount(minlength=15)
    assert counts[:12].max() == 1
    assert sorted(counts[12:14].tolist()) == [2, 3]
    assert counts[14] == 5


def test_an_epoch_follows_from_its_generator() -> None:
    """The same seed gives the same order, another seed another order."""
    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))
