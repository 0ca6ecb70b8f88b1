"""The benchmark of single layers compares equal work."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from benchmarks import layers
from trainable.network.depthwise import Depthwise, use_fast_gradients


def test_a_row_is_the_ratio_of_both_times() -> None:
    """This is run for a wide kernel and for the first layers, on little data."""
    wide = layers.depthwise((1, 8, 6, 4, 5, 1), "bfloat16", 1)
    first = layers.first("float32", 1)
    for row in (wide, first):
        assert row.peer is not None
        assert row.ours is not None
        assert row.ratio == row.peer / row.ours > 0


def test_both_take_every_gradient() -> None:
    """A step of either side has the same gradients for each parameter and for the input."""
    plain = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8))
    ours = deepcopy(plain)
    use_fast_gradients(ours)
    assert isinstance(ours[0], Depthwise)
    gradients = []
    for network in (ours, plain):
        x = torch.randn(1, 8, 6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        layers.step(network, x, "float32")
        gradients.append([x.grad, *(p.grad for p in network.parameters())])
    for our_gradient, peer_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(our_gradient, peer_gradient, rtol=1e-4, atol=1e-4)
