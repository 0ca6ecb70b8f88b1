"""A PANN in its usual form: torchlibrosa's spectrogram inside, SpecAugment clip by clip, and PANNs' mixup and layers.

Source:
    Kong et al. 2020, and the code of Mohammadi et al. 2024, which trains it like this.
"""

from __future__ import annotations

import numpy as np
import torch
from torchlibrosa.augmentation import SpecAugmentation
from torchlibrosa.stft import LogmelFilterBank, Spectrogram

from trainable.augmentations.specaugment import time_mask_width
from trainable.config import TrialConfig
from trainable.network.backbone import Backbone
from trainable.network.card import FrontEnd
from trainable.network.panns.blocks import HalvingConv2d


class PeersFrontEnd(torch.nn.Module):
    """The spectrogram and log-mel of torchlibrosa, which are convolutions with a Fourier matrix."""

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(n_fft=front_end.window, hop_length=front_end.hop, freeze_parameters=True)
        self.mel = LogmelFilterBank(
            sr=front_end.rate_hz,
            n_fft=front_end.window,
            n_mels=front_end.num_mels,
            fmin=front_end.f_min_hz,
            fmax=front_end.f_max_hz,
            top_db=None,
            freeze_parameters=True,
        )

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Turns (clips, samples) into (clips, frames, mels) [dB]."""
        logmels: torch.Tensor = self.mel(self.spectrogram(wave))[:, 0]
        return logmels


class PeersAugmentation:
    """The SpecAugment of torchlibrosa, one clip at a time, and the mixup of the PANNs, in the form for a `Backbone`."""

    def __init__(self, config: TrialConfig) -> None:
        width = time_mask_width(config.data_hz, config.pretrain_hz)
        self.spec = SpecAugmentation(
            time_drop_width=width, time_stripes_num=2, freq_drop_width=8, freq_stripes_num=2
        ).train()
        self.random = np.random.RandomState(1234)
        self.lambdas = torch.empty(0)

    def draw(self, num_clips: int) -> PeersAugmentation:
        """Draws new shares for the next batch."""
        shares = [self.random.beta(1.0, 1.0) for _ in range(num_clips // 2)]
        self.lambdas = torch.tensor([x for share in shares for x in (share, 1 - share)], dtype=torch.float32)
        return self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.spec(x))

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        """The sums of weighted neighbours."""
        weights = self.lambdas.view(-1, *[1] * (x.ndim - 1))
        return x[0::2] * weights[0::2] + x[1::2] * weights[1::2]


def with_usual_layers(network: Backbone) -> Backbone:
    """The network with the same weights, but a separate pooling after MobileNetV1's first convolution, as published."""
    for block in list(network.modules()):
        if isinstance(block, torch.nn.Sequential) and isinstance(fused := block[0], HalvingConv2d):
            plain = torch.nn.Conv2d(fused.in_channels, fused.out_channels, 3, padding=1, bias=False)
            plain.weight = fused.weight
            block[0], block[1] = plain, torch.nn.AvgPool2d(2)
    return network
