"""SpecAugment: stripes of frames and of mel bands that are hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.augmentation import Drawn
from trainable.learning.part import Part

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.learning.augmentation import Rows


@dataclass(frozen=True)
class SpecAugment(Part):
    """Hides stripes of each sample, whose widths and places are drawn anew for every batch.

    Source:
        Park et al. 2019, with the distributions of torchlibrosa 0.1.0.
    """

    frames: int = 64  # the widest stripe, where the audio has the rate of the front end; see `time_mask_width`
    mels: int = 8  # the widest stripe
    stripes: int = 2  # each way

    stage = 0  # before samples are mixed

    def check(self, config: TrialConfig) -> None:
        """Refuses widths of which nothing can be drawn, and inputs that it cannot hide a part of.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        for name in ("frames", "mels", "stripes"):
            if not 1 <= (value := getattr(self, name)) <= 10_000:
                raise ValueError(f"augment.specaugment.{name}={value}: must be at least 1 and at most 10,000")
        if config.input_norm == "none" and not config.given.normalised:
            raise ValueError(
                f"augment={str(config.augment)!r}: SpecAugment sets what it hides to 0, which is the mean of a "
                "normalised input only; choose input_norm=batch or standard, or another augment"
            )
        if not config.given.spectrogram:
            others = "+".join(part.name for part in config.augment if part is not self) or "none"
            raise ValueError(
                f"augment={str(config.augment)!r}: {config.backbone} takes waveforms, which have no spectrogram to "
                f"mask; choose augment={others}"
            )

    def draw(self, config: TrialConfig, samples: int, generator: torch.Generator) -> Masks:
        """Draws what is hidden of each sample, on the generator's device."""
        frames, mels = config.logmel_shape
        width = time_mask_width(config.data_hz, config.pretrain_hz, self.frames)
        return draw_masks(samples, frames, mels, width, generator, self.mels, self.stripes)


def time_mask_width(data_hz: int, model_hz: int, base_frames: int = SpecAugment.frames) -> int:
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
class Masks(Drawn):
    """What SpecAugment hides of each sample; True is hidden."""

    frames: Bool[Tensor, "batch frames"]
    mels: Bool[Tensor, "batch mels"]

    def __call__(self, x: Float[Tensor, "batch 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """Sets what is hidden to 0, the mean of a network's normalised input."""
        # Two products, the second in place: a masked_fill where either mask hides takes a CPU three times as long, 1.8
        # ms and not 0.6 with mixup for 128 clips of 126 frames (benchmarks/augment.py).
        frames, mels = (shown.to(x.device, non_blocking=True) for shown in (~self.frames, ~self.mels))
        return (x * frames[:, None, :, None]).mul_(mels[:, None, None, :])

    def part(self, rows: Rows) -> Masks:
        """Those of some of the samples."""
        mine = rows(len(self.frames))
        return Masks(self.frames[mine], self.mels[mine])


def draw_masks(
    batch: int,
    frames: int,
    mels: int,
    time_width: int,
    generator: torch.Generator,
    mel_width: int = SpecAugment.mels,
    stripes: int = SpecAugment.stripes,
) -> Masks:
    """Draws stripes of frames and of mel bands for each sample, on the generator's device.

    Args:
        time_width: the widest stripe of frames has one frame less; so with `mel_width`.
        stripes: of each kind.
    """
    return Masks(
        frames=_draw_stripes((batch, stripes, 1), frames, time_width, generator),
        mels=_draw_stripes((batch, stripes, 1), mels, mel_width, generator),
    )


def _draw_stripes(
    size: tuple[int, int, int], total: int, width: int, generator: torch.Generator
) -> Bool[Tensor, "batch total"]:
    """Stripes of 0 to `width` - 1, each starting at 0 to `total` - its width - 1, all equally likely."""
    import torch

    device = generator.device
    widths = torch.randint(0, min(width, total), size, generator=generator, device=device)
    # randint cannot draw from a range that differs from stripe to stripe; float64 is fine enough to be even over it.
    uniform = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    starts = (uniform * (total - widths)).long()
    positions = torch.arange(total, device=device)
    return ((starts <= positions) & (positions < starts + widths)).any(dim=1)
