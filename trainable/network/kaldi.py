"""Waveform to log-mel as Kaldi has it: pre-emphasis, and mel bands that are triangles in mels, not in hertz."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torchaudio.compliance.kaldi

from trainable.network.card import KaldiFrontEnd
from trainable.network.frontend import in_blocks

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def kaldi_logmel(wave: Float[Tensor, "clips samples"], front_end: KaldiFrontEnd) -> Float[Tensor, "clips frames mels"]:
    """The normalised logarithm of the mel power: centred, reflected STFT of the pre-emphasised wave.

    Audio at another rate than the front end's is fed as it is. The arithmetic is in the wave's own precision.

    Source:
        Schmid et al. 2023 (EfficientAT), `AugmentMelSTFT` in evaluation.
    """
    return in_blocks(wave, front_end, _block)


def kaldi_matrix(front_end: KaldiFrontEnd) -> Float[Tensor, "bins mels"]:
    """Weights of every STFT bin in every mel band; the last bin, at half the rate, has none."""
    limits = front_end.f_min_hz, front_end.f_max_hz
    bands, _ = torchaudio.compliance.kaldi.get_mel_banks(
        front_end.num_mels,
        front_end.window,
        front_end.rate_hz,
        *limits,
        vtln_low=100.0,  # of a warp of 1, which leaves everything where it is
        vtln_high=-500.0,
        vtln_warp_factor=1.0,
    )
    padded: Tensor = torch.nn.functional.pad(bands, (0, 1)).T
    return padded


def _block(wave: Float[Tensor, "clips samples"], front_end: KaldiFrontEnd) -> Float[Tensor, "clips frames mels"]:
    window, bins, mel = _constants(front_end, wave.device, wave.dtype)
    emphasised = wave[:, 1:] - front_end.pre_emphasis * wave[:, :-1]
    sizes = front_end.window, front_end.hop, front_end.taper
    stft = torch.stft(emphasised, *sizes, window=window, pad_mode="reflect", return_complex=True)
    used = stft.transpose(1, 2)[..., bins]
    power = used.real.square() + used.imag.square()
    return ((power @ mel + front_end.floor).log() - front_end.mean) / front_end.spread


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a constant first made while evaluating must serve training too
def _constants(front_end: KaldiFrontEnd, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, slice, Tensor]:
    """The window, the bins that carry any mel weight, and their mel weights."""
    window = torch.hann_window(front_end.taper, periodic=False, device=device, dtype=dtype)
    mel = kaldi_matrix(front_end)
    weighted = mel.any(dim=1).nonzero()
    bins = slice(int(weighted[0]), int(weighted[-1]) + 1)
    return window, bins, mel[bins].to(device, dtype)
