"""The benchmark of augmentations: ours and the peer hide equally much and mix in the same way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import augment
from trainable.augmentations.mixup import Lambdas
from trainable.augmentations.specaugment import Masks
from trainable.learning.augmentation import Augmentation

CLIPS, FRAMES, WIDTH = 8, 126, 16


def test_the_peers_draws_applied_by_ours_give_the_peers_output() -> None:
    """Its stripes are read from a batch of ones, and its shares are used."""
    x = torch.randn(CLIPS, 1, FRAMES, 64, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        hidden = augment.spec_augmentation(WIDTH)(torch.ones_like(x)) == 0
        torch.manual_seed(3)
        masked = augment.spec_augmentation(WIDTH)(x.clone())
    lambdas = augment.peer_lambdas(CLIPS // 2, np.random.RandomState(0))
    masks = Masks(frames=hidden[:, 0].all(dim=2), mels=hidden[:, 0].all(dim=1))
    assert masks.frames.any()
    assert masks.mels.any()
    mixed = Augmentation((masks, Lambdas(torch.tensor(lambdas))))(x)
    torch.testing.assert_close(mixed, augment.peer_mixup(masked, lambdas))


@pytest.mark.parametrize("data_hz", [hz for hz, _ in augment.CASES])
def test_both_hide_as_much(data_hz: int) -> None:
    """Over 1,200 clips, the hidden shares of a batch agree within a tenth."""
    frames, width = augment.num_frames(data_hz), augment.time_mask_width(data_hz, augment.MODEL_HZ)
    ones = torch.ones(1200, 1, frames, 64)
    ours = augment.ours(ones, width, torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peers = augment.spec_augmentation(width)(ones.clone())
    # On average over uniform shares, the mean of a pair is 1 minus the hidden part.
    assert float(1 - ours.mean()) == pytest.approx(float(1 - peers.mean()), rel=0.1)


def test_prints_and_writes_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There are rows for 32, 126 and 501 frames; the last has no goal."""
    augment.main(["--clips", "4", "--steps", "1", "--rounds", "1", "--json", str(tmp_path / "augment.json")])
    rows = json.loads((tmp_path / "augment.json").read_text())["rows"]
    assert [row["goal"] for row in rows] == [">= 5x", ">= 5x", ""]
    assert [row["case"] for row in rows] == [f"4 clips of {frames} frames" for frames in (32, 126, 501)]
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert "501 frames" in capsys.readouterr().out
