"""The benchmark of single layers holds like against like."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks import layers


def test_a_row_is_the_ratio_of_both_times() -> None:
    """For a wide kernel and for the first layers, on little."""
    wide = layers.depthwise((1, 8, 6, 4, 5, 1), "bfloat16", 1)
    first = layers.first("float32", 1)
    for row in (wide, first):
        assert row.peer is not None
        assert row.ours is not None
        assert row.ratio == row.peer / row.ours > 0


def test_both_take_every_gradient() -> None:
    """A step of either leaves one for each parameter and for the input."""
    seen = []
    x = torch.randn(1, 8, 6, 4, requires_grad=True)
    for layer in (nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Conv2d(8, 8, 7, padding=3, groups=8)):
        x.grad = None
        layers.steps(layer, x, torch.float32)
        seen += [x.grad, *(p.grad for p in layer.parameters())]
    assert len(seen) == 6
    assert all(gradient is not None for gradient in seen)
