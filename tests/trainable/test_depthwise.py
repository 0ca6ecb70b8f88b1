"""Our gradients of a depthwise convolution equal the plain ones, and are used where they are faster."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from benchmarks.flops import trial
from trainable.network.depthwise import Depthwise, use_fast_gradients
from trainable.network.networks import laid_out, start_network

CPU = torch.device("cpu")
CASES = [  # channels, kernel, stride, padding, rows and columns, bias
    (8, (7, 7), 1, 3, (15, 2), True),  # as in ConvNeXt's last stage: the kernel is wider than the map
    (8, (7, 7), 1, 3, (31, 16), True),
    (16, (5, 5), 2, 2, (31, 7), False),  # as in MobileNetV3
    (16, (5, 5), (2, 1), (2, 2), (8, 9), True),
    (4, (3, 4), 2, 1, (9, 12), False),
    (4, (1, 9), 3, (0, 4), (6, 20), True),
    (8, (3, 3), 2, 1, (13, 8), True),  # narrow, with a stride
]


def pair(case: tuple) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """A plain convolution, ours with the same weights, and an input."""
    channels, kernel, stride, padding, size, bias = case
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=bias))
    plain = plain.to(memory_format=torch.channels_last)
    ours = deepcopy(plain)
    use_fast_gradients(ours)
    assert isinstance(ours[0], Depthwise)
    return plain, ours, torch.randn(4, channels, *size).to(memory_format=torch.channels_last)


def gradients(network: nn.Module, x: torch.Tensor, precision: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Output and gradients of input and parameters in a training step."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        y = network(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y.float() * weights).sum().backward()
    assert y.dtype == precision
    return y, x.grad, *(p.grad for p in network.parameters())  # type: ignore[return-value]


@pytest.mark.parametrize("case", CASES)
def test_float32_is_the_plain_convolution(case: tuple) -> None:
    """Output and gradients agree, up to the order of the sums."""
    plain, ours, x = pair(case)
    for our_gradient, plain_gradient in zip(
        gradients(ours, x, torch.float32), gradients(plain, x, torch.float32), strict=True
    ):
        torch.testing.assert_close(our_gradient, plain_gradient, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_as_near_to_float32_as_the_plain_convolution(case: tuple) -> None:
    """Its gradients have no larger errors than the plain ones."""
    plain, ours, x = pair(case)
    true = gradients(plain, x, torch.float32)
    rounded = (gradients(network, x, torch.bfloat16) for network in (ours, plain))
    for our_gradient, plain_gradient, exact in zip(*rounded, true, strict=True):
        error, usual = (torch.linalg.norm(gradient.float() - exact) for gradient in (our_gradient, plain_gradient))
        assert error <= 1.1 * usual + 1e-6


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences() -> None:
    """This holds in double precision, without using a plain convolution."""
    _, ours, _ = pair(CASES[3])
    ours = ours.double()
    assert torch.autograd.gradcheck(ours, torch.randn(2, 16, 4, 5, dtype=torch.double, requires_grad=True))
    weight = torch.randn(16, 1, 5, 5, dtype=torch.double, requires_grad=True)
    x = torch.randn(2, 16, 4, 5, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda w: torch.func.functional_call(ours, {"0.weight": w}, (x,)), weight)


@pytest.mark.parametrize("frozen", ["0.weight", "0.bias"])
def test_a_frozen_parameter_has_no_gradient(frozen: str) -> None:
    """The other parameter has the same gradient as before."""
    plain, ours, x = pair(CASES[0])
    ours.get_parameter(frozen).requires_grad_(False)
    gradients(ours, x, torch.float32)
    gradients(plain, x, torch.float32)
    assert ours.get_parameter(frozen).grad is None
    (other,) = {"0.weight", "0.bias"} - {frozen}
    torch.testing.assert_close(ours.get_parameter(other).grad, plain.get_parameter(other).grad, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # narrow, without a stride
        nn.Conv2d(8, 16, 7, padding=3, groups=8),  # two kernels a channel
        nn.Conv2d(8, 8, 7, padding=3, groups=4),
        nn.Conv2d(8, 8, 7, padding=6, dilation=2, groups=8),
        nn.Conv2d(8, 8, 7, padding="same", groups=8),
        nn.Conv2d(8, 8, 7, padding=3, groups=8, padding_mode="reflect"),
    ],
)
def test_others_are_left_alone(conv: nn.Conv2d) -> None:
    """Other convolutions stay the same objects."""
    network = nn.Sequential(conv)
    use_fast_gradients(network)
    assert network[0] is conv


def test_a_trials_network_has_them_on_a_cpu() -> None:
    """They replace those of ConvNeXtV2's 18 blocks, with the names and parameters of a checkpoint."""
    config = trial("timm/convnextv2_tiny.fcmae", width=0.125)
    network = start_network(config, 4, None)
    before = dict(network.state_dict(keep_vars=True))
    network = laid_out(network, config, CPU)
    after = network.state_dict(keep_vars=True)
    assert sum(isinstance(module, Depthwise) for module in network.modules()) == 18
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)
