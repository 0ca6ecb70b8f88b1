"""Turns any network that embeds pictures with one channel into a backbone: the log-mel is the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainable.learning.augmentation import NOTHING, Augmentation
from trainable.network.backbone import Backbone

if TYPE_CHECKING:
    from jaxtyping import Float


class ImageBackbone(Backbone):
    """Normalises a log-mel, embeds it with a `trunk` that was made for pictures, and classifies the embedding.

    Nothing is resized: a mel band is a column of the picture, and a frame is a row.

    Args:
        trunk: a network from (batch, 1, frames, mels) to (batch, features).
        last_features: the name of its layer whose output is the last map, (batch, channels, rows, columns).
        features: size of the embedding.
        input_norm: see `TrialConfig`.
        num_mels: number of mel bands.
    """

    def __init__(
        self,
        trunk: nn.Module,
        last_features: str,
        features: int,
        num_classes: int,
        head_dropout: float,
        input_norm: str,
        num_mels: int,
    ) -> None:
        super().__init__(head_dropout)
        self.norm = INPUT_NORMS[input_norm](num_mels)
        self.trunk = trunk
        self.fc = nn.Linear(features, num_classes)
        self._last_features = last_features

    @property
    def last_features(self) -> nn.Module:
        """The last layer of the trunk whose output has rows and columns."""
        return self.trunk.get_submodule(self._last_features)

    def embed(
        self, x: Float[Tensor, "samples *channel frames mels"], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The embedding, which is the classifier's input: the pooled output of the trunk."""
        x = x if x.ndim == 4 else x.unsqueeze(1)
        embedding: Tensor = self.trunk(augment(self.norm(x)))
        return embedding

    def fit_input(self, mean: float, std: float) -> None:
        """Sets the mean and standard deviation of the training clips [dB], for the normalisation "standard"."""
        if isinstance(self.norm, Standard):
            self.norm.mean.fill_(mean)
            self.norm.std.fill_(std)


class MelBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of each mel band, with its own weights, like the first layer of PANNs."""

    def forward(self, x: Float[Tensor, "batch 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """Normalises each band: in training by the moments of the batch, later by the running moments."""
        return super().forward(x.transpose(1, 3)).transpose(1, 3)


class Standard(nn.Module):
    """Computes (x - mean) / std, with the mean and the standard deviation of all training clips."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, x: Float[Tensor, "batch 1 frames mels"]) -> Float[Tensor, "batch 1 frames mels"]:
        """The standardised log-mel."""
        return (x - self.mean) / self.std


INPUT_NORMS: dict[str, type[nn.Module]] = {"batch": MelBatchNorm, "standard": Standard, "none": nn.Identity}
