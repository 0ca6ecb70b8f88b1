"""SpecAugment: hides stripes of frames and of mel bands."""

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
    """Hides stripes of each sample; their widths and positions are drawn anew for every batch.

    Source:
        Park et al. 2019, with the distributions of torchlibrosa 0.1.0.
    """

    frames: int = 64  # a stripe has fewer frames, if the audio has the rate of the front end; see `time_mask_width`
    mels: int = 8  # a stripe has fewer mel bands
    stripes: int = 2  # of each kind

    stage = 0  # before samples are mixed

    def check(self, config: TrialConfig) -> None:
        """Refuses widths from which nothing can be drawn, and inputs of which nothing can be hidden.

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
        """Draws the hidden parts of each sample, on the generator's device."""
        frames, mels = config.logmel_shape
        width = time_mask_width(config.data_hz, config.pretrain_hz, self.frames)
        return draw_masks(samples, frames, mels, width, generator, self.mels, self.stripes)


def time_mask_width(data_hz: int, model_hz: int, base_frames: int = SpecAugment.frames) -> int:
    """The width of SpecAugment's time masks for audio at `data_hz` in a front end built for `model_hz`.

    Args:
        data_hz: rate of the waveform [Hz].
        model_hz: rate at which the backbone was pre-trained [Hz].
        base_frames: width if the two rates agree [frames].

    Returns:
        The width [frames], at least 1; every stripe is narrower.

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
    """The frames and mel bands of each sample that SpecAugment hides; True is hidden."""

    frames: Bool[Tensor, "batch frames"]
    mels: Bool[Tensor, "batch mels"]

    def __call__(self, x: Float[Tensor, "batch 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """Sets the hidden parts to 0, the mean of a network's normalised input."""
        # Two products, the second in place. On a CPU, one masked_fill of the combined masks takes three times as long:
        # 1.8 instead of 0.6 ms with mixup for 128 clips of 126 frames (benchmarks/augment.py).
        frames, mels = (visible.to(x.device, non_blocking=True) for visible in (~self.frames, ~self.mels))
        return (x * frames[:, None, :, None]).mul_(mels[:, None, None, :])

    def part(self, rows: Rows) -> Masks:
        """The masks of some of the samples."""
        indices = rows(len(self.frames))
        return Masks(self.frames[indices], self.mels[indices])


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
        time_width: upper limit of a stripe's width, which is smaller [frames].
        mel_width: upper limit of a stripe's width, which is smaller [mel bands].
        stripes: number of stripes of each kind.
    """
    return Masks(
        frames=_draw_stripes((batch, stripes, 1), frames, time_width, generator),
        mels=_draw_stripes((batch, stripes, 1), mels, mel_width, generator),
    )


def _draw_stripes(
    size: tuple[int, int, int], total: int, width: int, generator: torch.Generator
) -> Bool[Tensor, "batch total"]:
    """Stripes with widths of 0 to `width` - 1 that start at 0 to `total` - their width - 1, all equally likely."""
    import torch

    device = generator.device
    widths = torch.randint(0, min(width, total), size, generator=generator, device=device)
    # randint needs the same range for all stripes, so starts are drawn as fractions; float64 makes them even enough.
    uniform = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    starts = (uniform * (total - widths)).long()
    positions = torch.arange(total, device=device)
    return ((starts <= positions) & (positions < starts + widths)).any(dim=1)
