"""SpecAugment and mixup on whole batches. Drawing is apart from applying, so that an augmentation can be replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

FREQ_MASK_WIDTH = 8  # mel bands
NUM_STRIPES = 2  # each way


def time_mask_width(data_hz: int, model_hz: int, base_frames: int = 64) -> int:
    """Width of SpecAugment's time masks for audio at `data_hz` before a front end built for `model_hz`.

    Args:
        data_hz: rate of the waveform [Hz].
        model_hz: rate the backbone was pre-trained at [Hz].
        base_frames: width when the two agree [frames].

    Returns:
        Width [frames], at least 1; a stripe is always narrower.

    Raises:
        ValueError: if a rate is not positive.

    Source:
        Mohammadi et al. 2024, Eq. (1).
    """
    if data_hz <= 0 or model_hz <= 0:
        raise ValueError(f"data_hz={data_hz}, model_hz={model_hz}: rates must be above 0")
    return max(1, round(base_frames * data_hz / model_hz))


@dataclass(frozen=True)
class Masks:
    """What SpecAugment hides of each sample; True is hidden."""

    frames: Bool[Tensor, "batch frames"]
    mels: Bool[Tensor, "batch mels"]


def draw_masks(batch: int, frames: int, mels: int, time_width: int, generator: torch.Generator) -> Masks:
    """Draws two stripes of frames and two of mel bands for each sample, on the generator's device.

    Source:
        Park et al. 2019, with the distributions of torchlibrosa 0.1.0.
    """
    return Masks(
        frames=_draw_stripes(batch, frames, time_width, generator),
        mels=_draw_stripes(batch, mels, FREQ_MASK_WIDTH, generator),
    )


def _draw_stripes(batch: int, total: int, width: int, generator: torch.Generator) -> Bool[Tensor, "batch total"]:
    """Stripes of 0 to `width` - 1, each starting at 0 to `total` - its width - 1, all equally likely."""
    device, size = generator.device, (batch, NUM_STRIPES, 1)
    widths = torch.randint(0, min(width, total), size, generator=generator, device=device)
    # randint cannot draw from a range that differs from stripe to stripe; float64 is fine enough to be even over it.
    uniform = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    starts = (uniform * (total - widths)).long()
    positions = torch.arange(total, device=device)
    return ((starts <= positions) & (positions < starts + widths)).any(dim=1)


def apply_masks(x: Float[Tensor, "batch 1 frames mels"], masks: Masks) -> Float[Tensor, "batch 1 frames mels"]:
    """Sets what the masks hide to 0, the mean of a network's normalised input."""
    # Two products, the second in place: a masked_fill where either mask hides takes a CPU three times as long, 1.8 ms
    # and not 0.6 with mixup for 128 clips of 126 frames (benchmarks/augment.py).
    frames, mels = (shown.to(x.device, non_blocking=True) for shown in (~masks.frames, ~masks.mels))
    return (x * frames[:, None, :, None]).mul_(mels[:, None, None, :])


def draw_lambdas(pairs: int, generator: torch.Generator) -> Float[Tensor, " pairs"]:
    """Draws the share of each pair's first sample, Beta(1, 1): uniform."""
    return torch.rand(pairs, generator=generator, device=generator.device)


def mixup(x: Float[Tensor, "samples ..."], lambdas: Float[Tensor, " pairs"]) -> Float[Tensor, "pairs ..."]:
    """Mixes neighbours, (0, 1), (2, 3) and so on; inputs and one-hot targets alike.

    Source:
        Zhang et al. 2018, paired as PANNs do (Kong et al. 2020).
    """
    weight = lambdas.to(x.device, x.dtype, non_blocking=True).view(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[1::2], x[0::2], weight)


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for one batch; called on a network's normalised log-mel."""

    masks: Masks | None = None
    lambdas: Float[Tensor, " pairs"] | None = None

    def __call__(self, x: Float[Tensor, "samples 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        return self.mix(x if self.masks is None else apply_masks(x, self.masks))

    def mix(self, x: Float[Tensor, "samples ..."]) -> Float[Tensor, "batch ..."]:
        """Mixup alone: of targets, and of waveforms, which have no frames to hide."""
        return x if self.lambdas is None else mixup(x, self.lambdas)


NOTHING = Augmentation()


def draw(
    names: str, samples: int, frames: int, mels: int, *, time_width: int, generator: torch.Generator
) -> Augmentation:
    """Draws an augmentation for a batch.

    Args:
        names: `TrialConfig.augment`: "specaugment+mixup", "specaugment", "mixup" or "none".
        samples: clips that go in; mixup returns half as many.
        time_width: see `time_mask_width` [frames].

    Raises:
        ValueError: if mixup finds a sample without a partner.
    """
    chosen = names.split("+")
    if "mixup" in chosen and samples % 2:
        raise ValueError(f"samples={samples}: mixup takes pairs; draw an even number of clips, twice the batch")
    masks = draw_masks(samples, frames, mels, time_width, generator) if "specaugment" in chosen else None
    return Augmentation(masks, draw_lambdas(samples // 2, generator) if "mixup" in chosen else None)
