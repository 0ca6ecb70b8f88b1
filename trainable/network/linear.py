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
    from jaxtyping import Float

    from trainable.config import TrialConfig
    from trainable.examples import Examples


class LinearProbe(Backbone):
    """The dropout and the classifier of a network; the input is an embedding.

    The probe and the network share the classifier, so training the probe trains the network.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__(network.head_dropout.p)
        self.fc = network.classifier

    def embed(
        self, x: Float[Tensor, "batch features"], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The embedding, unchanged."""
        return x


def embedded(config: TrialConfig, network: Backbone, clips: Examples) -> Examples:
    """The clips with their embeddings by `network` as inputs: (clips, features), in single precision."""
    embeddings = torch.from_numpy(predict(_Embedder(network), clips, config))
    return replace(clips, inputs=embeddings.to(clips.labels.device), scale=None)


class _Embedder(Backbone):
    """A network whose output is its embedding, so that `predict` can embed clips."""

    def __init__(self, network: Backbone) -> None:
        super().__init__(head_dropout=0)
        self.network = network

    def forward(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        return self.network.embed(x, augment)
