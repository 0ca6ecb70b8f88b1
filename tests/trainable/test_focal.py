"""Focal loss computed by hand, and cross-entropy for a gamma of 0."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from sweeps.recipes.mohammadi import RATES
from trainable.objectives.focal import Focal

TRIAL = RATES.but(augment="none", objective="focal")


def loss(gamma: float, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    (found,) = Focal(gamma).ready(TRIAL, torch.nn.Linear(1, 1))(logits, targets).values()  # type: ignore[arg-type]
    return found


def test_gamma_of_0_is_cross_entropy() -> None:
    """This holds for mixed targets too."""
    logits, targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3).repeat(2, 1)
    mixed = 0.25 * targets + 0.75 * targets.roll(1, 0)
    torch.testing.assert_close(loss(0, logits, mixed), F.cross_entropy(logits, mixed))


def test_what_is_right_counts_little() -> None:
    """With p = 0.8 and gamma = 2 it is 0.04 times the cross-entropy."""
    logits = torch.tensor([[math.log(4.0), 0.0]])
    assert float(loss(2, logits, torch.tensor([[1.0, 0.0]]))) == pytest.approx(0.04 * -math.log(0.8))


def test_gamma_has_limits() -> None:
    """The trial refuses impossible values."""
    with pytest.raises(ValueError, match=r"objective\.gamma=-1: must be at least 0 and at most 100"):
        TRIAL.but(**{"objective.gamma": -1})
