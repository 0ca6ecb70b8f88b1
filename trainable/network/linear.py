"""Linear probes: the classifier of a network, trained on the embeddings of clips."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainable.finetune import predict
from trainable.learning.augmentation import NOTHING, Augmentation
from trainable.network.backbone import Backbone

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

    from trainable.config import TrialConfig
    from trainable.examples import Examples


class LinearProbe(Backbone):
    """The dropout and the classifier of a network; the input is an embedding.

    The probe and the network share the classifier, so training the probe trains the network.

    Args:
        mean: of each feature, which is subtracted from it; None for 0.
        spread: by which the difference is then divided; None for 1.
    """

    def __init__(
        self,
        network: Backbone,
        mean: Float64[Tensor, " features"] | None = None,
        spread: Float64[Tensor, " features"] | None = None,
    ) -> None:
        super().__init__(network.head_dropout.p)
        self.fc = network.classifier
        self.moments = None if mean is None or spread is None else (mean, spread)

    def embed(
        self, x: Float[Tensor, "batch features"], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The embedding; standardised, if the probe has moments."""
        if self.moments is None:
            return x
        mean, spread = self.moments
        return ((x - mean) / spread).to(x.dtype)  # in double precision: a mean may be a thousand times the spread

    def absorb(self) -> None:
        """Puts the moments into the classifier, W / spread and b - W mean / spread; the logits stay as they are."""
        if self.moments is None:
            return
        mean, spread = self.moments
        weight = self.fc.weight.detach().double() / spread
        with torch.no_grad():
            self.fc.bias.copy_(self.fc.bias.double() - weight @ mean)
            self.fc.weight.copy_(weight)
        self.moments = None


def embedded(config: TrialConfig, network: Backbone, clips: Examples) -> Examples:
    """The clips with their embeddings by `network` as inputs: (clips, features), in single precision."""
    embeddings = torch.from_numpy(predict(_Embedder(network), clips, config))
    return replace(clips, inputs=embeddings.to(clips.labels.device), scale=None)


def moments(clips: Examples) -> tuple[Float64[Tensor, " features"], Float64[Tensor, " features"]]:
    """Mean and standard deviation of each feature over embedded clips; 1 for the deviation of a constant feature.

    Source:
        `StandardScaler` of scikit-learn.
    """
    features = clips.inputs.double()
    constant = clips.inputs.amax(dim=0) == clips.inputs.amin(dim=0)
    return features.mean(dim=0), features.std(dim=0, correction=0).masked_fill(constant, 1)


class _Embedder(Backbone):
    """A network whose output is its embedding, so that `predict` can embed clips."""

    def __init__(self, network: Backbone) -> None:
        super().__init__(head_dropout=0)
        self.network = network

    def forward(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        return self.network.embed(x, augment)
