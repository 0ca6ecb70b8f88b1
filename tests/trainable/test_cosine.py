"""The cosine schedule is torch's, and is refused if it would rise."""

from __future__ import annotations

import pytest
import torch

from sweeps.recipes.mohammadi import RATES
from trainable.schedules.cosine import Cosine


@pytest.mark.parametrize("least", [0.0, 0.1])
def test_is_that_of_torch(least: float) -> None:
    """The first epoch has `lr`, the last `least` of it, and the curve between them is the same."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference, rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9, eta_min=least), []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert [Cosine(least).factor(epoch, 10) for epoch in range(1, 11)] == pytest.approx(rates)


def test_one_epoch_has_the_whole_rate() -> None:
    """With a single epoch the rate does not fall."""
    assert Cosine().factor(1, 1) == 1


def test_a_rise_is_refused() -> None:
    """The trial refuses it."""
    with pytest.raises(ValueError, match=r"schedule\.least=2: must be at least 0 and below 1"):
        RATES.but(**{"schedule": "cosine", "schedule.least": 2})
