"""The published files of the PANNs (Kong et al. 2020): their front-end matrices, and how to tell the files apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainable.network.card import FrontEnd
from trainable.network.frontend import mel_matrix
from trainable.network.panns.rates import FRONT_ENDS

STFT = "spectrogram_extractor.stft.conv_"  # followed by real.weight and imag.weight
TELLTALES = {  # the first of these names in a published state dict identifies the network
    "pre_conv0.weight": "Wavegram_Logmel_Cnn14",
    "resnet.layer7.0.conv1.weight": "Res1dNet31",
    "resnet.layer1.2.conv1.weight": "ResNet38",
    "resnet.layer1.0.conv1.weight": "ResNet22",
    "features.13.0.weight": "MobileNetV1",
    "conv_block6.conv1.weight": "Cnn14",
    "conv_block4.conv2.weight": "Cnn10",
    "conv_block4.conv1.weight": "Cnn6",
}


def fixed_matrices(front_end: FrontEnd) -> dict[str, Tensor]:
    """The matrices of a front end under their names in the files: the windowed DFT and the mel bands."""
    dft = torch.fft.rfft(torch.eye(front_end.window) * torch.hann_window(front_end.window)[:, None]).T[:, None]
    return {
        f"{STFT}real.weight": dft.real,
        f"{STFT}imag.weight": dft.imag,
        "logmel_extractor.melW": mel_matrix(front_end),
    }


def probably(state: Mapping[str, object]) -> str:
    """A guess from which file a state dict is."""
    network = next((network for name, network in TELLTALES.items() if name in state), "no PANN")
    dft = state.get(f"{STFT}real.weight")
    window = dft.shape[-1] if isinstance(dft, torch.Tensor) and dft.ndim else 0
    rates = {front_end.window: hz for hz, front_end in FRONT_ENDS.items()}
    return f"{network}, {rates[window]} Hz" if window in rates else network
