"""Measures CNN14's training step and prediction on the CPU: channels last beside the default layout, and batch sizes.

Run it with `python -m benchmarks.network [--json FILE]`. The figures are CPU times of one thread; the variants take
turns, and medians over the rounds are shown. Trust the ratios: the absolute figures change with the machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.measured import ms_per_step
from trainable.network.panns import models
from trainable.network.panns.rates import FRONT_ENDS

NUM_ROUNDS = 3
TRAINED = ((1 / 16, 501, 8), (1 / 16, 4001, 4), (1 / 8, 501, 8), (1, 63, 4))  # width, frames, clips in a batch
PREDICTED = ((1 / 16, 501), (1 / 16, 4001))  # width, frames
BATCHES = (1, 8, 64)


def network(width: float, layout: torch.memory_format) -> torch.nn.Module:
    """A CNN14 with four classes in a memory layout."""
    random = torch.Generator().manual_seed(0)
    built = models.build("cnn14", 4, width=width, head_dropout=0.5, front_end=FRONT_ENDS[32_000], generator=random)
    return built.to(memory_format=layout)


def step(net: torch.nn.Module, clips: torch.Tensor) -> None:
    """Runs forward and backward."""
    net.zero_grad()
    net(clips).sum().backward()


@torch.inference_mode()
def predict(net: torch.nn.Module, clips: torch.Tensor) -> None:
    """Runs forward."""
    net(clips)


def ms_per_clip(variants: dict[str, tuple[Callable[[], None], int]]) -> dict[str, float]:
    """Median CPU time per clip of each variant [ms]."""
    per_step = ms_per_step({name: work for name, (work, _) in variants.items()}, 1, NUM_ROUNDS)
    return {name: per_step[name] / num_clips for name, (_, num_clips) in variants.items()}


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    layouts = {"default": torch.contiguous_format, "channels last": torch.channels_last}
    rows = []
    for width, frames, batch in TRAINED:
        clips = torch.randn(batch, frames, 64, generator=torch.Generator().manual_seed(0))
        nets = {name: network(width, layout).train() for name, layout in layouts.items()}
        times = ms_per_clip({name: (partial(step, net, clips), batch) for name, net in nets.items()})
        rows.append({"what": "train", "width": width, "frames": frames, "batch": batch, **times})
        ratio = times["default"] / times["channels last"]
        cost = f"{times['channels last']:7.1f} ms a clip, {ratio:.2f}x the default layout's speed"
        print(f"train   width {width:<7g} {frames:5d} frames  {cost}")
    for width, frames in PREDICTED:
        net = network(width, torch.channels_last).eval()
        inputs = {batch: torch.randn(batch, frames, 64) for batch in BATCHES}
        times = ms_per_clip({str(batch): (partial(predict, net, clips), batch) for batch, clips in inputs.items()})
        rows.append({"what": "predict", "width": width, "frames": frames, **times})
        times_text = ", ".join(f"{times[str(batch)]:.1f} with {batch} at once" for batch in BATCHES)
        print(f"predict width {width:<7g} {frames:5d} frames  ms a clip: {times_text}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
