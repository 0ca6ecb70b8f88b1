"""The eight PANNs (Kong et al. 2020), whose layers have the names and order of the published checkpoints.

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
    """Layers that produce a map, pooling over that map, `fc1` and a classifier.

    Args:
        layers: the layers with their published names, in the published order; the last one produces the map.
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
        """The probable network and rate of a state dict, such as `Cnn14, 16000 Hz`."""
        return published.probably(state)

    def feature_map(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation
    ) -> Float[Tensor, "batch features frames *mels"]:
        """The last map over time (and frequency)."""
        raise NotImplementedError

    def embed(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The embedding, which is the classifier's input, without dropout on it."""
        x = self.feature_map(x, augment)
        x = x.mean(dim=3) if x.ndim == 4 else x
        x = x.amax(dim=2) + x.mean(dim=2)
        return F.relu(self.fc1(self.pooled_dropout(x)))


class LogmelPann(Pann):
    """A PANN whose input is a log-mel, with or without an axis for its only channel.

    Args:
        layers: the layers, including `bn0`, the normalisation of each mel band, and the blocks after it.
        dropout: dropout after each block.
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
        """The input, normalised in each mel band and then augmented."""
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
    """A PANN whose input is a waveform, from which it makes a log-mel and a learnt map, the wavegram.

    Args:
        layers: the layers; those before `bn0` produce the wavegram.
        front_end: the front end of the log-mel.
    """

    def __init__(
        self, layers: Layers, features: int, num_classes: int, head_dropout: float, front_end: FrontEnd
    ) -> None:
        super().__init__(layers, features, num_classes, head_dropout)
        self.front_end = front_end

    def padding(self, num_samples: int) -> int:
        """The number of samples to add so that the wavegram has as many frames as the pooled log-mel.

        The wavegram drops an incomplete frame of 640 samples, while the log-mel rounds to the nearest frame. For almost
        half of all lengths, 320 to 635 samples beyond a multiple of 640, they differ, and the published network fails.
        """
        wavegram_frames = ((num_samples - 1) // 5 + 1) // (4 * 4 * 4 * 2)
        agree = wavegram_frames == self.front_end.num_frames(num_samples) // 2
        return 0 if agree else -num_samples % (2 * self.front_end.hop)

    def wavegram(self, wave: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips channels frames mels"]:
        """The learnt map, as large as the log-mel after its first block; a clip is extended by reflection if needed.

        The log-mel needs no padding: its frames are centred and reflected, and masks are drawn for their number.
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
        """The last map over time and frequency; mixup mixes log-mels and wavegrams, as in the published network."""
        first, *others = self.blocks
        spectral = self.get_submodule(first)(self.normalise(logmel(x, self.front_end), augment))
        joined = torch.cat((spectral, augment.mix(self.wavegram(x))), dim=1)
        return self.through(others, self.block_dropout(joined))


def build(
    backbone: str,
    num_classes: int,
    *,
    width: float = 1.0,
    head_dropout: float = 0.0,
    front_end: FrontEnd,
    generator: torch.Generator,
) -> Backbone:
    """A PANN with random weights like its authors': Xavier-uniform, biases of 0, residual blocks that add nothing.

    Torch's global random state does not change.

    Args:
        width: channels of every layer, relative to the published network; a layer has at least one channel, and the
            wavegram at least one for each mel.
        head_dropout: dropout on the embedding.
        front_end: the front end of the log-mel that a network with waveforms makes itself.
        generator: a CPU generator.
    """

    def scale(channels: int) -> int:
        return max(1, round(width * channels))

    with torch.device("meta"):  # saves memory and random numbers: weights are drawn below
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
    """Draws weights Xavier-uniformly; biases are 0, normalisations the identity, or 0 at the end of residual blocks."""
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
