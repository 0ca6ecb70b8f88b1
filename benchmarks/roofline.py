"""The time of a training step if every operation ran at the peak of the device, of arithmetic or of memory.

The work is counted on shapes alone, in bfloat16: each operation of PyTorch reads its inputs and writes its outputs, so
the sum is the shortest possible time in eager mode.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainable.config import TrialConfig
from trainable.network.backbone import Backbone
from trainable.network.networks import start_network

NUM_CLASSES = 4
aten = torch.ops.aten
PRODUCTS = {
    aten.mm.default: 0,
    aten.addmm.default: 1,
    aten.bmm.default: 0,
}  # the position of the left factor in the arguments


@dataclass(frozen=True)
class Work:
    """The work of one operation, or of a whole step."""

    flops: float
    num_bytes: float

    def seconds(self, peaks: tuple[float, float]) -> float:
        """The time at the peaks of operations and bytes per second [s]."""
        return max(self.flops / peaks[0], self.num_bytes / peaks[1])


class Counter(TorchDispatchMode):
    """Notes the work of every operation except views."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Work] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            inputs, outputs = _tensors((args, kwargs or {})), _tensors(out)
            self.found.append(Work(flops(func, args, out), sum(t.numel() * t.element_size() for t in inputs + outputs)))
        return out


def peaks(
    seconds: Callable[[Callable[[], object]], float], device: torch.device, size: int = 8192
) -> tuple[float, float]:
    """The peaks of a device: bfloat16 operations per second in a large product, bytes per second in a large copy.

    Args:
        seconds: measures the time until the device has finished some work [s].
        size: rows and columns of the factors; the copy has eight arrays of this size in float32.
    """
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    copied = torch.randn(8, size, size, device=device)
    target = torch.empty_like(copied)

    def median(work: Callable[[], object]) -> float:
        work()
        return statistics.median(seconds(work) for _ in range(10))

    product_s, copy_s = median(lambda: left @ right), median(lambda: target.copy_(copied))
    return 2 * size**3 / product_s, 2 * copied.numel() * copied.element_size() / copy_s


def flops(func: Any, args: Any, out: Any) -> float:
    """Operations of a convolution or matrix product, forward or backward (a multiply-add is two); 0 for all others."""
    if func in PRODUCTS:
        left = args[PRODUCTS[func]]
        return float(2 * left.shape[-1] * out.numel())
    if func is aten.convolution.default:
        return float(2 * out.numel() * math.prod(args[1].shape[1:]))
    if func is aten.convolution_backward.default:
        grad, _, weight = args[:3]
        return float(sum(args[-1][:2]) * 2 * grad.numel() * math.prod(weight.shape[1:]))
    return 0.0


def step_work(config: TrialConfig, samples: int, network: Backbone | None = None) -> list[Work]:
    """The work of every operation in a forward and backward pass, and of Adam's update of the weights.

    Args:
        samples: number of samples in the batch.
        network: the network of the trial, which loses its weights here; None to build one.
    """
    network = (network or start_network(config, NUM_CLASSES, None)).to("meta").bfloat16().train()
    x = torch.empty(samples, *config.given.shape(config), dtype=torch.bfloat16, device="meta")
    with Counter() as counter:
        network(x).sum().backward()
    weights = sum(p.numel() for p in network.parameters())
    adam = Work(0.0, 4.0 * 7 * weights)  # float32: reads gradient, weight and two moments, writes the last three
    return [*counter.found, adam]


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    return [t for each in value for t in _tensors(each)] if isinstance(value, list | tuple) else []
