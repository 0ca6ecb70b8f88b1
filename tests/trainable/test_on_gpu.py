"""The fast layers for GPUs give the plain ones' values and gradients, on any device."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from benchmarks.flops import trial
from trainable.network.networks import start_network
from trainable.network.on_gpu import FAST, FastPool, LineConv, LineNorm, LinePool, use_fast_layers

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LAYERS = {  # and the size of a sample
    "a pooling by two drops an odd row": (nn.AvgPool2d(2), (3, 7, 4)),
    "a pooling of an oblong": (nn.AvgPool2d((2, 1)), (3, 5, 4)),
    "a pooling of a line": (nn.AvgPool1d(4), (3, 11)),
    "a convolution of a line": (nn.Conv1d(3, 5, 3, stride=2, padding=2, dilation=2), (3, 17)),
    "a convolution of groups": (nn.Conv1d(4, 6, 3, padding=1, groups=2, bias=False), (4, 9)),
    "a normalisation of a line": (nn.BatchNorm1d(3), (3, 9)),
    "a normalisation of features": (nn.BatchNorm1d(3), (3,)),
}


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients of input and parameters, and the state of the layer."""
    y = layer(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (y * weights.to(y)).sum().backward()
    of_x = [] if x.grad is None else [x.grad]
    return [y, *of_x, *(p.grad for p in layer.parameters() if p.grad is not None), *layer.buffers()]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_plain_one(name: str) -> None:
    """They agree in double precision, with an odd size and any memory layout."""
    plain, size = LAYERS[name]
    plain = deepcopy(plain).double().to(DEVICE).train()
    ours = nn.Sequential(deepcopy(plain))
    use_fast_layers(ours)
    assert type(ours[0]) in FAST.values()
    x = torch.randn(4, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(DEVICE)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for our_value, plain_value in zip(gradients(ours, inputs[0]), gradients(plain, inputs[1]), strict=True):
        torch.testing.assert_close(our_value, plain_value, rtol=1e-12, atol=1e-12)


def test_a_convolution_of_a_waveform_is_the_plain_one() -> None:
    """Its input needs no gradient, so it is a product with frames."""
    plain = nn.Conv1d(1, 5, 11, stride=5, padding=5).double().to(DEVICE)
    ours = nn.Sequential(deepcopy(plain))
    use_fast_layers(ours)
    x = torch.randn(4, 1, 203, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    for our_value, plain_value in zip(gradients(ours, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(our_value, plain_value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(3, stride=2),
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool1d(3, stride=2),
        nn.AvgPool1d(2, padding=1),
        nn.AvgPool1d(2, ceil_mode=True),
        nn.Conv1d(1, 1, 3, padding="same"),
        nn.Conv1d(1, 1, 3, padding=1, padding_mode="reflect"),
    ],
    ids=str,
)
def test_what_the_fast_layers_cannot_do_is_left_alone(layer: nn.Module) -> None:
    """This includes overlap, padding that counts, and padding with other values than zeros."""
    kind, network = type(layer), nn.Sequential(layer)
    use_fast_layers(network)
    assert type(network[0]) is kind


@pytest.mark.parametrize(
    ("backbone", "kinds"),
    [
        ("cnn14", {FastPool}),
        ("res1dnet31", {LineConv, LineNorm, LinePool}),
        ("wavegram_logmel_cnn14", {FastPool, LineConv, LineNorm}),
    ],
)
def test_a_network_learns_the_same(backbone: str, kinds: set[type]) -> None:
    """Its logits and gradients are the plain ones, and its weights keep their names."""
    config = trial(backbone, width=1 / 32)
    plain = start_network(config, 4, None).double().to(DEVICE).train()
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # else each would draw in the order of its memory layout
    ours = deepcopy(plain)
    use_fast_layers(ours)
    assert {type(module) for module in ours.modules()} & set(FAST.values()) == kinds
    assert list(ours.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, *config.given.shape(config), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x.to(DEVICE)
    for our_value, plain_value in zip(gradients(ours, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(our_value, plain_value, rtol=1e-6, atol=1e-9)
