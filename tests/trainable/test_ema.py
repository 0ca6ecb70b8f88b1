"""The moving average of the weights: computed by hand, scored, kept, and continued after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sweeps.recipes.mohammadi import RATES
from trainable.averages.ema import Ema
from trainable.examples import Examples
from trainable.finetune import Row, finetune
from trainable.network.networks import start_network

CONFIG = RATES.but(
    corpus="toy",
    pretrain_hz=8_000,
    data_hz=8_000,
    augment="none",
    weights="none",
    width=1 / 64,
    clip_s=0.4,
    lr=1e-2,
    batch=4,
    epochs=3,
    average=Ema(decay=0.5),
    keep_by="none",
)


class Stopped(Exception):
    """Ends an attempt."""


def toy(clips: int) -> Examples:
    """Noise around a level that depends on the class."""
    labels = torch.arange(clips) % 2
    noise = torch.randn(clips, *CONFIG.logmel_shape, generator=torch.Generator().manual_seed(0))
    return Examples(
        (-30 + 5 * labels[:, None, None] + noise).half(), labels, np.zeros(clips), np.zeros(clips, dtype=int)
    )


def trained(folder: Path, average: str | Ema, stop_after: int = 0) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The validation losses of a trial, and its final weights."""

    def report(row: Row) -> None:
        if row["epoch"] == stop_after:
            raise Stopped

    network = start_network(CONFIG, 2, None)
    history = finetune(CONFIG.but(average=average), network, toy(16), toy(8), folder, report)
    return [row["val_loss"] for row in history], network.state_dict()


def test_a_weight_is_its_average_so_far_and_its_value() -> None:
    """From the first step on: 1, then 0.9 * 1 + 0.1 * 2, then 0.9 * 1.1 + 0.1 * 4."""
    network = torch.nn.Linear(1, 1, bias=False)
    average = Ema(decay=0.9).ready(network)  # type: ignore[arg-type]
    averages = []
    for value in (1.0, 2.0, 4.0):
        torch.nn.init.constant_(network.weight, value)
        average.step()
        averages.append(average.network.weight.item())
    assert averages == pytest.approx([1.0, 1.1, 1.39])


@pytest.mark.slow
def test_the_average_is_scored_and_kept(tmp_path: Path) -> None:
    """With a decay of 0 it is the last step's network; with another decay it is not."""
    (plain, weights), (same, equal), (losses, averaged) = (
        trained(tmp_path / str(n), average) for n, average in enumerate(["none", Ema(decay=0), Ema(decay=0.5)])
    )
    assert same == plain
    assert all(torch.equal(value, equal[name]) for name, value in weights.items())
    assert losses != plain
    assert not torch.equal(averaged["fc1.weight"], weights["fc1.weight"])


def test_a_trial_that_was_cut_off_ends_with_the_same_average(tmp_path: Path) -> None:
    """The average is the same bit for bit, after an interruption in any epoch."""
    losses, weights = trained(tmp_path / "whole", Ema(decay=0.5))
    for epoch in (1, 2):
        with pytest.raises(Stopped):
            trained(tmp_path / "parts", Ema(decay=0.5), stop_after=epoch)
    again, found = trained(tmp_path / "parts", Ema(decay=0.5))
    assert again == losses
    assert all(torch.equal(value, found[name]) for name, value in weights.items())


def test_decay_has_limits() -> None:
    """With a decay of 1, nothing would be learnt."""
    with pytest.raises(ValueError, match=r"average\.decay=1: must be at least 0 and below 1"):
        CONFIG.but(**{"average.decay": 1})
