"""The base of every backbone, whatever its family: an embedding, a dropout and a linear classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trainable.learning.augmentation import NOTHING, Augmentation

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

    from trainable.network.card import FrontEnd


class Backbone(nn.Module):
    """A network that a trial fine-tunes.

    Its card determines its input x: log-mels (samples, frames, mels) or waveforms (samples, samples of a clip).

    Args:
        head_dropout: dropout on the embedding, before the classifier; the published network has 0.
    """

    head = "fc"  # the classifier's name among the modules, as published

    def __init__(self, head_dropout: float) -> None:
        super().__init__()
        self.head_dropout = nn.Dropout(head_dropout)

    @property
    def classifier(self) -> nn.Linear:
        """The last layer; its `in_features` is the size of the embedding."""
        layer: nn.Linear = self.get_submodule(self.head)  # type: ignore[assignment]
        return layer

    @property
    def last_features(self) -> nn.Module:
        """The layer whose output is the last map over time (and frequency), (batch, channels, frames, *mels)."""
        raise NotImplementedError

    def embed(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The embedding, which is the classifier's input, without dropout on it.

        Args:
            augment: augmentations of the normalised input; with mixup, the batch is half as large as x.
        """
        raise NotImplementedError

    def forward(
        self, x: Float[Tensor, "samples ..."], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch classes"]:
        """The logits; the arguments are those of `embed`."""
        logits: Tensor = self.classifier(self.head_dropout(self.embed(x, augment)))
        return logits

    def fixed_matrices(self, front_end: FrontEnd) -> dict[str, Tensor]:
        """The matrices of a front end in published files, by name, with the values for `front_end`."""
        return {}

    def probably(self, state: Mapping[str, object]) -> str:
        """A guess from which published file a state dict is; empty if there is none."""
        return ""

    def fit_input(self, mean: float, std: float) -> None:
        """Sets the mean and standard deviation of the training inputs, if the network uses them."""

    def replace_classifier(self, num_classes: int, generator: torch.Generator) -> None:
        """Replaces the classifier; the new one has PyTorch's default initialisation, drawn from a CPU `generator`."""
        old = self.classifier
        new = nn.utils.skip_init(nn.Linear, old.in_features, num_classes)
        nn.init.kaiming_uniform_(new.weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(old.in_features)
        nn.init.uniform_(new.bias, -bound, bound, generator=generator)
        self.set_submodule(self.head, new.to(old.weight.device, old.weight.dtype))
