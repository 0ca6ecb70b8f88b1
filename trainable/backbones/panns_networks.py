"""PANNs (Kong et al. 2020) that stack convolution blocks on a log-mel: CNN14, named as in the published checkpoints.

The front end is not part of the network (`trainable.frontend`), so its two fixed matrices are not in the state dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

NUM_MELS = 64
# Output channels of each block, and how much it pools in time and frequency.
LAYOUTS = {"cnn14": ((64, 2), (128, 2), (256, 2), (512, 2), (1024, 2), (2048, 1))}


class ConvBlock(nn.Module):
    """Twice convolution 3x3, batch normalisation and ReLU, then average pooling."""

    def __init__(self, in_channels: int, out_channels: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.pool = pool

    def forward(self, x: Float[Tensor, "batch in frames mels"]) -> Float[Tensor, "batch out pooled_frames pooled_mels"]:
        """Features of the next, coarser level."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x


class PannCnn(nn.Module):
    """Normalisation of each mel band, convolution blocks, pooling over what is left, `fc1` and a classifier.

    Args:
        blocks: the convolution blocks, which become `conv_block1` and so on.
        features: channels of the last block, and size of the embedding.
        head_dropout: on the embedding, before the classifier; 0 is the published network.
    """

    def __init__(self, blocks: list[nn.Module], features: int, num_classes: int, head_dropout: float) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(NUM_MELS)
        self.blocks = [f"conv_block{number}" for number, _ in enumerate(blocks, start=1)]
        for name, block in zip(self.blocks, blocks, strict=True):
            self.add_module(name, block)
        self.fc1 = nn.Linear(features, features)
        self.fc_audioset = nn.Linear(features, num_classes)
        self.block_dropout = nn.Dropout(0.2)
        self.pooled_dropout = nn.Dropout(0.5)
        self.head_dropout = nn.Dropout(head_dropout)

    @property
    def classifier(self) -> nn.Linear:
        """The last layer; its `in_features` is the size of the embedding."""
        return self.fc_audioset

    def forward(
        self, logmel: Float[Tensor, "samples *channel frames mels"], augment: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Logits.

        Args:
            logmel: with or without an axis for its one channel.
            augment: called on the normalised input, (samples, 1, frames, mels); may change the number of samples.
        """
        logits: Tensor = self.classifier(self.head_dropout(self.embed(logmel, augment)))
        return logits

    def embed(
        self, logmel: Float[Tensor, "samples *channel frames mels"], augment: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "batch features"]:
        """What feeds the classifier, before any dropout on it; arguments as in `forward`."""
        x = logmel if logmel.ndim == 4 else logmel.unsqueeze(1)
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        x = x if augment is None else augment(x)
        for name in self.blocks:
            x = self.block_dropout(self.get_submodule(name)(x))
        x = x.mean(dim=3)
        x = x.amax(dim=2) + x.mean(dim=2)
        return F.relu(self.fc1(self.pooled_dropout(x)))

    def replace_classifier(self, num_classes: int, generator: torch.Generator) -> None:
        """Puts a new classifier in place, with PyTorch's default initialisation drawn from a CPU `generator`."""
        old = self.classifier
        new = nn.utils.skip_init(nn.Linear, old.in_features, num_classes)
        nn.init.kaiming_uniform_(new.weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(old.in_features)
        nn.init.uniform_(new.bias, -bound, bound, generator=generator)
        self.fc_audioset = new.to(old.weight.device, old.weight.dtype)


def build(
    backbone: str, num_classes: int, width: float = 1.0, head_dropout: float = 0.0, *, generator: torch.Generator
) -> PannCnn:
    """A PANN with random weights, as its authors draw them: Xavier-uniform, no bias; torch's global state is untouched.

    Args:
        width: of every layer, against the published network.
        generator: of the CPU.
    """
    channels = [1, *(max(1, round(width * channels)) for channels, _ in LAYOUTS[backbone])]
    pools = [pool for _, pool in LAYOUTS[backbone]]
    with torch.device("meta"):  # no memory and no random numbers for weights that are drawn below
        blocks: list[nn.Module] = [ConvBlock(*ends, pool) for ends, pool in zip(pairwise(channels), pools, strict=True)]
        network = PannCnn(blocks, channels[-1], num_classes, head_dropout)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
