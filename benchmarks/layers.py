"""Measures layers with our own computation beside the same layers by PyTorch, on a CPU.

    python -m benchmarks.layers [--rounds 5] [--json FILE]

The layers are depthwise convolutions like those of ConvNeXtV2 and MobileNetV3, whose gradients are computed in a faster
way (`trainable.network.depthwise`), and MobileNetV1's first convolution, which also pools. The figures are CPU times of
forward and backward with one thread; the sides take turns, and medians over the rounds are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import nn

from benchmarks.measured import Row, against, as_a_worker, ms_per_step, parser, show
from trainable.network.depthwise import use_fast_gradients
from trainable.network.panns.blocks import HalvingConv2d

DEPTHWISE = (  # clips, channels, frames, mels, kernel, stride
    (4, 96, 125, 16, 7, 1),
    (4, 192, 62, 8, 7, 1),
    (4, 384, 31, 4, 7, 1),
    (4, 768, 15, 2, 7, 1),
    (16, 72, 126, 16, 5, 2),
    (16, 960, 16, 2, 5, 1),
    (16, 64, 251, 32, 3, 2),
    (16, 240, 32, 4, 3, 2),
)
FIRST = (16, 1, 501, 64)  # clips, channels, frames and mels of MobileNetV1's input
FIRST_CHANNELS = 32
PRECISIONS = ("float32", "bfloat16")
AT_ONCE = 10  # steps in a round; a single one is too short for the clock


def step(layer: nn.Module, x: torch.Tensor, precision: str) -> None:
    """Runs forward and backward, as in training."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        y = layer(x)
    y.backward(y.detach())


def beside(name: str, ours: nn.Module, peer: nn.Module, x: torch.Tensor, precision: str, num_rounds: int) -> Row:
    """One row of the table, for one layer computed in both ways."""
    layers = {who: layer.to(memory_format=torch.channels_last) for who, layer in (("ours", ours), ("peer", peer))}
    work = {who: partial(step, layer, x, precision) for who, layer in layers.items()}
    ms = ms_per_step(work, AT_ONCE, num_rounds)
    return against(f"{name}, {precision}", "CPU-ms", ms["ours"], ms["peer"], "PyTorch")


def depthwise(shape: tuple[int, ...], precision: str, num_rounds: int) -> Row:
    """The row of a depthwise convolution."""
    clips, channels, frames, mels, size, stride = shape
    peer = nn.Sequential(nn.Conv2d(channels, channels, size, stride, size // 2, groups=channels))
    ours = deepcopy(peer)
    use_fast_gradients(ours)
    name = f"depthwise {size}x{size}, stride {stride}, {clips} x {channels} x {frames} x {mels}"
    return beside(name, ours, peer, _input(clips, channels, frames, mels).requires_grad_(), precision, num_rounds)


def first(precision: str, num_rounds: int) -> Row:
    """The row of MobileNetV1's first layers, whose input needs no gradient."""
    plain = nn.Conv2d(1, FIRST_CHANNELS, 3, padding=1, bias=False)
    peer = nn.Sequential(plain, nn.AvgPool2d(2))
    name = f"convolution 3x3 and pooling, {' x '.join(map(str, FIRST))} to {FIRST_CHANNELS} channels"
    return beside(name, HalvingConv2d(1, FIRST_CHANNELS), peer, _input(*FIRST), precision, num_rounds)


def _input(*shape: int) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return x.to(memory_format=torch.channels_last)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=5)
    args = command.parse_args(argv)
    torch.set_num_threads(1)
    rows = [depthwise(shape, precision, args.rounds) for precision in PRECISIONS for shape in DEPTHWISE]
    show(rows + [first(precision, args.rounds) for precision in PRECISIONS], args)


if __name__ == "__main__":
    as_a_worker()
    main()
