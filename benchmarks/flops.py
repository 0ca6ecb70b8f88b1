"""Counts the forward FLOPs of every network with a known card, and writes `trainable/cost/flops.json`.

    python -m benchmarks.flops [--check]

Counts the multiplications and additions of convolutions and matrix products with torch's own counter, on shapes alone.
This is done at three widths and two lengths. The result is written as a sum of (fixed + each x size) x width**power,
where size is the number of frames of a clip or, for a network on waveforms, of samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sweeps.recipes.mohammadi import RATES
from trainable.backbones import efficientat, panns, timm
from trainable.config import TrialConfig
from trainable.cost.cost import TABLE, forward_flops
from trainable.network.card import card
from trainable.network.networks import start_network

WIDTHS = (1.0, 1 / 4, 1 / 16)
SECONDS = (2.5, 10.0)  # of 32 kHz: 251 and 1001 frames
DIGITS = 6


def trial(backbone: str, width: float = 1.0, clip_s: float = 5.0) -> TrialConfig:
    """A trial with a network, for the shapes of its clips."""
    norm = card(backbone, RATES.pretrain_hz).input_norms[0]
    base = RATES.but(backbone=backbone, input_norm=norm, augment="none", seed=0, weights="none")
    return base.but(width=width, clip_s=clip_s)


def count(config: TrialConfig) -> int:
    """The counted forward FLOPs of one clip."""
    shape = config.given.shape(config)
    network = start_network(config, 4, None).to("meta").eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *shape, device="meta"))
    return int(counter.get_total_flops())


def terms(backbone: str) -> list[list[float]]:
    """The terms `fixed` and `each` for the powers 0, 1 and 2 of the width; exact at the counted widths and lengths."""
    lines = []
    for width in WIDTHS:
        few, many = (trial(backbone, width, clip_s) for clip_s in SECONDS)
        sizes = [t.given.length(t) for t in (few, many)]
        low, high = count(few), count(many)
        slope = (high - low) / (sizes[1] - sizes[0])
        lines.append((low - slope * sizes[0], slope))
    powers = np.vander(WIDTHS, increasing=True)
    return [[float(f"{x:.{DIGITS}g}") for x in row] for row in np.linalg.solve(powers, np.array(lines))]


def errors(backbone: str) -> Iterator[tuple[float, float, float]]:
    """Yields width, length [s] and relative error of the table, at other widths and lengths than the counted ones."""
    for width in (1.0, 1 / 2, 1 / 8):
        for clip_s in (0.7, 5.0, 40.0):
            config = trial(backbone, width, clip_s)
            estimate = forward_flops(config)
            assert estimate is not None
            yield width, clip_s, estimate / count(config) - 1


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the table, or with --check prints its largest errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="print the table's errors")
    args = parser.parse_args(argv)
    backbones = [*panns.NUM_PARAMETERS, *(f"timm/{name}" for name in timm.KNOWN), *efficientat.NAMES]
    if args.check:
        for backbone in backbones:
            worst = max(errors(backbone), key=lambda row: abs(row[2]))
            print(f"{backbone:<36} off by {100 * worst[2]:+.1f} % at most (width {worst[0]:g}, {worst[1]:g} s)")
        return
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(terms(name))}" for name in backbones)
    TABLE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
