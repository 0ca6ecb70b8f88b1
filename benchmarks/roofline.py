"""What a training step would take if every operation ran at the device's peak, of arithmetic or of memory.

Counted on shapes alone, in bfloat16: each operation of PyTorch by itself reads its inputs and writes its outputs, so
that the sum is the least that eager mode can take.
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
PRODUCTS = {aten.mm.default: 0, aten.addmm.default: 1, aten.bmm.default: 0}  # where the left factor stands


@dataclass(frozen=True)
class Work:
    """Of one operation, or of all of a step."""

    flops: float
    num_bytes: float

    def seconds(self, peaks: tuple[float, float]) -> float:
        """At the peaks."""
        return max(self.flops / peaks[0], self.num_bytes / peaks[1])


class Counter(TorchDispatchMode):
    """Notes every operation that is not a mere view."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Work] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            given, made = _tensors((args, kwargs or {})), _tensors(out)
            self.found.append(Work(flops(func, args, out), sum(t.numel() * t.element_size() for t in given + made)))
        return out


def peaks(
    seconds: Callable[[Callable[[], object]], float], device: torch.device, size: int = 8192
) -> tuple[float, float]:
    """What a device reaches: bfloat16 operations a second in a large product, and bytes a second in a large copy.

    Args:
        seconds: measures work until the device is done.
        size: rows and columns of the product's factors; the copy is of eight such arrays in float32.
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
    """Operations of a convolution or a matrix product, forward or backward; a multiply-add is two. 0 of all others."""
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
    """Every operation of a forward and backward pass over so many samples, and of Adam's update of the weights.

    Args:
        network: the trial's; it is used up. Built here if none is given.
    """
    network = (network or start_network(config, NUM_CLASSES, None)).to("meta").bfloat16().train()
    x = torch.empty(samples, *config.given.shape(config), dtype=torch.bfloat16, device="meta")
    with Counter() as counter:
        network(x).sum().backward()
    weights = sum(p.numel() for p in network.parameters())
    adam = Work(0.0, 4.0 * 7 * weights)  # float32: reads gradient, weight and two moments, writes the last three
    return [*counter.found, adam]


def _tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        return _tensors(list(found.values()))
    return [t for each in found for t in _tensors(each)] if isinstance(found, list | tuple) else []
