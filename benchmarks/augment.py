"""Measures SpecAugment and mixup of a batch, against torchlibrosa's SpecAugmentation and the mixup of the PANNs.

    python -m benchmarks.augment [--clips N] [--steps N] [--rounds N] [--json FILE]

Both draw and apply their augmentations for the batch of a training step. The figures are CPU times with one thread; the
two sides take turns, and the medians over the rounds are shown. The peer hides the stripes one after another in place,
4 in each clip, so that its time does not depend on the number of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torchlibrosa.augmentation import SpecAugmentation

from benchmarks.measured import Row, against, ms_per_step, parser, show
from trainable.augmentations.mixup import Lambdas, draw_lambdas
from trainable.augmentations.specaugment import SpecAugment, draw_masks, time_mask_width
from trainable.learning.augmentation import Augmentation
from trainable.network.panns.rates import FRONT_ENDS

CLIP_S = 5
MODEL_HZ = 32_000
CASES = ((2_000, 5.0), (8_000, 5.0), (32_000, None))  # data_hz, and the goal as a ratio to the peer
AS_PUBLISHED = SpecAugment()
PEER = "torchlibrosa + PANNs"
Step = Callable[[], torch.Tensor]


def num_frames(data_hz: int) -> int:
    """The number of frames of a clip: 32, 126 or 501."""
    return FRONT_ENDS[MODEL_HZ].num_frames(CLIP_S * data_hz)


def ours(x: torch.Tensor, time_width: int, generator: torch.Generator) -> torch.Tensor:
    """Augments normalised log-mels (clips, 1, frames, mels) as a training step does."""
    samples, _, frames, mels = x.shape
    masks = draw_masks(samples, frames, mels, time_width, generator, AS_PUBLISHED.mels, AS_PUBLISHED.stripes)
    return Augmentation((masks, Lambdas(draw_lambdas(samples // 2, generator))))(x)


def peer_lambdas(pairs: int, random: np.random.RandomState) -> list[float]:
    """The shares of the first clips in pairs, drawn one by one."""
    return [float(random.beta(1.0, 1.0)) for _ in range(pairs)]


def peer_mixup(x: torch.Tensor, lambdas: list[float]) -> torch.Tensor:
    """Mixes neighbours with two products and a sum."""
    share = torch.tensor(lambdas).view(-1, 1, 1, 1)
    return x[0::2] * share + x[1::2] * (1 - share)


def spec_augmentation(time_width: int) -> SpecAugmentation:
    """The masks of the peer, in training mode; they change their input in place."""
    return SpecAugmentation(time_width, AS_PUBLISHED.stripes, AS_PUBLISHED.mels, AS_PUBLISHED.stripes).train()


def steps(data_hz: int, clips: int) -> dict[str, Step]:
    """The augmentation of a training step, ours and the peer's, on the same noise."""
    time_width = time_mask_width(data_hz, MODEL_HZ)
    x = torch.randn(clips, 1, num_frames(data_hz), 64, generator=torch.Generator().manual_seed(0))
    generator, random, masks = torch.Generator().manual_seed(1), np.random.RandomState(1), spec_augmentation(time_width)
    peer_x = x.clone()  # every step hides more of it, which takes the same time
    return {
        "ours": lambda: ours(x, time_width, generator),
        "peer": lambda: peer_mixup(masks(peer_x), peer_lambdas(clips // 2, random)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the results as JSON if asked."""
    options = parser(__doc__)
    options.add_argument("--clips", type=int, default=128, metavar="N", help="in a step; default 128, 64 after mixup")
    options.add_argument("--steps", type=int, default=20, metavar="N", help="in a round; default 20")
    options.add_argument("--rounds", type=int, default=15, metavar="N", help="default 15")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for data_hz, at_least in CASES:
        ms = ms_per_step(steps(data_hz, args.clips), args.steps, args.rounds)
        case = f"{args.clips} clips of {num_frames(data_hz)} frames"
        rows.append(against(case, "CPU-ms a step", ms["ours"], ms["peer"], PEER, at_least))
    show(rows, args)


if __name__ == "__main__":
    main()
