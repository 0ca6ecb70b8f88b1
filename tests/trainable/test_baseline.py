"""The baseline is a backbone like any other: found by its name, built from a seed, and trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sweeps.recipes.mohammadi import RATES
from trainable import finetune
from trainable.examples import Examples
from trainable.learning.learner import ready_learner
from trainable.network.networks import check_starts, start_network

TRIAL = RATES.but(backbone="baseline/bands", data_hz=8_000, clip_s=1.0, weights="none", lr=1e-2, batch=8)


def test_follows_from_its_seed() -> None:
    """The weights follow from the seed, and torch's random state does not change."""
    before = torch.get_rng_state()
    one, same, other = (start_network(TRIAL.but(seed=seed), 3, None).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["trunk.hidden.weight"], other["trunk.hidden.weight"])


def test_can_start() -> None:
    """It takes clips of the trial's shape."""
    check_starts([TRIAL], {TRIAL.key: None})


def test_tells_loud_from_soft() -> None:
    """Two classes of noise differ only in level, and it learns that in a few epochs."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    inputs = torch.randn(64, *TRIAL.logmel_shape, generator=random) + 3 * labels[:, None, None] - 30
    clips = Examples(inputs.half(), labels, labels.numpy().astype(str), np.zeros(64, dtype=int))
    network = start_network(TRIAL, 2, None)
    learner = ready_learner(TRIAL, network)
    for epoch in range(1, 16):
        finetune.train_epoch(learner, clips, epoch)
    logits = finetune.predict(network, clips, TRIAL)
    assert (logits.argmax(axis=1) == labels.numpy()).mean() > 0.9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "baseline/rows"}, "there is no such baseline; there is baseline/bands"),
        ({"pretrain_hz": 44_100}, "there are front ends of 32000, 16000, 8000 Hz"),
    ],
)
def test_others_are_refused(fields: dict[str, object], message: str) -> None:
    """The message names the existing names and rates."""
    with pytest.raises(ValueError, match=message):
        TRIAL.but(**fields)
