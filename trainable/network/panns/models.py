"""The eight PANNs (Kong et al. 2020), with the names and the order of layers of the published checkpoints.

The front end is not part of a network (`trainable.network.frontend`), so its fixed matrices are not in the state dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.learning.augmentation import NOTHING, Augmentation
from trainable.network.backbone import Backbone
from trainable.network.card import FrontEnd
from trainable.network.frontend import logmel
from trainable.network.panns import published
from trainable.network.panns.blocks import ResidualBlock
from trainable.network.panns.layers import FEATURES, WAVEGRAM_MELS, Layers, make_layers

if TYPE_CHECKING:
    from jaxtyping import Float


class Pann(Backbone):
    """Layers that end in a map, pooling over that map, `fc1` and a classifier.

    Args:
        layers: named as published, in the published order; the last one makes the map.
        features: channels of the map, and size of the embedding.
    """

    head = "fc_audioset"

    def __init__(self, layers: Layers, features: int, num_classes: int, head_dropout: float) -> None:
        super().__init__(head_dropout)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.layer_names = tuple(layers)
        self.fc1 = nn.Linear(features, features)
        self.fc_audioset = nn.Linear(features, num_classes)
        self.pooled_dropout = nn.Dropout(0.5)

    @property
    def last_features(self) -> nn.Module:
        """The last layer before the pooling."""
        return self.get_submodule(self.layer_names[-1])

    def fixed_matrices(self, front_end: FrontEnd) -> dict[str, Tensor]:
        """The windowed DFT and the mel bands."""
        return published.fixed_matrices(front_end)

    def probably(self, state: Mapping[str, object]) -> str:
        """Network and rate, such as `Cnn14, 16000 Hz`."""
        return published.probably(state)

    def feature_map(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation
    ) -> Float[Tensor, "batch features frames *mels"]:
        """The last map over time (and frequency)."""
        raise NotImplementedError

    def embed(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """What feeds the classifier, before any dropout on it."""
        x = self.feature_map(x, augment)
        x = x.mean(dim=3) if x.ndim == 4 else x
        x = x.amax(dim=2) + x.mean(dim=2)
        return F.relu(self.fc1(self.pooled_dropout(x)))


class LogmelPann(Pann):
    """A PANN whose input is a log-mel, with or without an axis for its one channel.

    Args:
        layers: among them `bn0`, the normalisation of each mel band, and after it the blocks.
        dropout: after each block.
    """

    def __init__(
        self, layers: Layers, features: int, num_classes: int, head_dropout: float, dropout: float = 0.2
    ) -> None:
        super().__init__(layers, features, num_classes, head_dropout)
        self.blocks = self.layer_names[self.layer_names.index("bn0") + 1 :]
        self.block_dropout = nn.Dropout(dropout)

    def normalise(
        self, x: Float[Tensor, "samples *channel frames mels"], augment: Augmentation
    ) -> Float[Tensor, "batch 1 frames mels"]:
        """The input with each mel band normalised, augmented."""
        x = x if x.ndim == 4 else x.unsqueeze(1)
        return augment(self.get_submodule("bn0")(x.transpose(1, 3)).transpose(1, 3))

    def through(
        self, blocks: Sequence[str], x: Float[Tensor, "batch in frames mels"]
    ) -> Float[Tensor, "batch features pooled_frames pooled_mels"]:
        """`x` after the named blocks."""
        for name in blocks:
            x = self.block_dropout(self.get_submodule(name)(x))
        return x

    def feature_map(
        self, x: Float[Tensor, "samples *channel frames mels"], augment: Augmentation
    ) -> Float[Tensor, "batch features pooled_frames pooled_mels"]:
        """The last map over time and frequency."""
        return self.through(self.blocks, self.normalise(x, augment))


class WavePann(Pann):
    """A PANN whose input is a waveform."""

    def feature_map(
        self, x: Float[Tensor, "clips samples"], augment: Augmentation
    ) -> Float[Tensor, "batch features frames"]:
        """The last map over time."""
        x = augment.mix(x).unsqueeze(1)
        for name in self.layer_names:
            x = self.get_submodule(name)(x)
        return x


class WavegramLogmelPann(LogmelPann):
    """A PANN whose input is a waveform, of which it takes the log-mel and beside it a map that it learns.

    Args:
        layers: those before `bn0` make the learnt map, the wavegram.
        front_end: of the log-mel.
    """

    def __init__(
        self, layers: Layers, features: int, num_classes: int, head_dropout: float, front_end: FrontEnd
    ) -> None:
        super().__init__(layers, features, num_classes, head_dropout)
        self.front_end = front_end

    def padding(self, num_samples: int) -> int:
        """Samples that a clip lacks to have as many frames in the wavegram as in the pooled log-mel.

        The wavegram drops an unfinished frame of 640 samples and the log-mel rounds it to the nearest, so for almost
        half of all lengths, 320 to 635 samples beyond a multiple of 640, they differ, and the published network fails.
        """
        wavegram_frames = ((num_samples - 1) // 5 + 1) // (4 * 4 * 4 * 2)
        agree = wavegram_frames == self.front_end.num_frames(num_samples) // 2
        return 0 if agree else -num_samples % (2 * self.front_end.hop)

    def wavegram(self, wave: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips channels frames mels"]:
        """The learnt map, of the size of the log-mel after its first block; a clip that lacks a frame is reflected.

        The log-mel needs no padding: its own frames are centred and reflected, and masks are drawn for their number.
        """
        if padding := self.padding(wave.shape[-1]):
            wave = F.pad(wave, (0, padding), mode="reflect")
        x = F.relu(self.get_submodule("pre_bn0")(self.get_submodule("pre_conv0")(wave.unsqueeze(1))))
        for name in ("pre_block1", "pre_block2", "pre_block3"):
            x = self.get_submodule(name)(x)
        x = x.unflatten(1, (-1, WAVEGRAM_MELS)).transpose(2, 3)
        wavegram: Tensor = self.get_submodule("pre_block4")(x)
        return wavegram

    def feature_map(
        self, x: Float[Tensor, "clips samples"], augment: Augmentation
    ) -> Float[Tensor, "batch features pooled_frames pooled_mels"]:
        """The last map over time and frequency; mixup is of the log-mels and of the wavegrams, as published."""
        first, *others = self.blocks
        spectral = self.get_submodule(first)(self.normalise(logmel(x, self.front_end), augment))
        both = torch.cat((spectral, augment.mix(self.wavegram(x))), dim=1)
        return self.through(others, self.block_dropout(both))


def build(
    backbone: str,
    num_classes: int,
    *,
    width: float = 1.0,
    head_dropout: float = 0.0,
    front_end: FrontEnd,
    generator: torch.Generator,
) -> Backbone:
    """A PANN with random weights, as its authors draw them: Xavier-uniform, no bias, residual blocks that add nothing.

    Torch's global random state is untouched.

    Args:
        width: of every layer, against the published network; each keeps a channel at least, the wavegram one a mel.
        front_end: of the network's own log-mel, where it takes waveforms.
        generator: of the CPU.
    """

    def scale(channels: int) -> int:
        return max(1, round(width * channels))

    with torch.device("meta"):  # no memory and no random numbers for weights that are drawn below
        arguments = make_layers(backbone, scale), scale(FEATURES[backbone]), num_classes, head_dropout
        match backbone:
            case "res1dnet31":
                network: Pann = WavePann(*arguments)
            case "wavegram_logmel_cnn14":
                network = WavegramLogmelPann(*arguments, front_end)
            case _:
                network = LogmelPann(*arguments, dropout=0.0 if backbone == "mobilenetv1" else 0.2)
    network.to_empty(device="cpu")
    _draw(network, generator)
    return network


def _draw(network: nn.Module, generator: torch.Generator) -> None:
    """Xavier-uniform weights, biases 0, normalisations the identity, but for those that end a residual block: 0."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.bn2.weight)
