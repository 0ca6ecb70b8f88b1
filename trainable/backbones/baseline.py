"""A baseline that every network must beat: the mean and the spread of each mel band over a clip, and a classifier.

`baseline/bands` has nothing to pre-train, so it takes weights=none. It shows how well level and spectrum alone do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainable.network.card import Card, Passport
from trainable.network.panns.rates import FRONT_ENDS  # the front ends of the networks that it is compared with

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone

NAMES = ("baseline/bands",)
HIDDEN = 64  # features before the classifier


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of a baseline; `pretrain_hz` chooses the front end.

    Raises:
        ValueError: if there is no such baseline, or no front end for that rate.
    """
    if backbone not in NAMES:
        raise ValueError(f"backbone={backbone!r}: there is no such baseline; there is {', '.join(NAMES)}")
    if pretrain_hz not in FRONT_ENDS:
        raise ValueError(f"pretrain_hz={pretrain_hz}: there are front ends of {', '.join(map(str, FRONT_ENDS))} Hz")
    front_end = FRONT_ENDS[pretrain_hz]
    return Card(
        backbone=backbone,
        pretrain_hz=pretrain_hz,
        inputs=("logmel",),
        front_end=front_end,
        min_samples=front_end.hop,  # two frames, the least that have a spread
        num_parameters=None,
        bytes_per_cell=6 * 4,  # the log-mel, its normalisation and its moments: six float32 tensors of one channel
        passport=Passport("none", "nowhere: it is not pre-trained", "nothing", "of this project"),
        input_norms=("batch", "standard", "none"),
        scalable=False,
    )


def build(config: TrialConfig, num_classes: int, *, generator: torch.Generator) -> Backbone:
    """The baseline with weights drawn from `generator`; torch's global random state does not change."""
    import torch
    from torch import nn

    from trainable.network.picture import ImageBackbone
    from trainable.randomness import drawn, torch_seeded

    class Bands(nn.Module):
        """Maps (batch, 1, frames, mels) to (batch, features)."""

        def __init__(self, num_mels: int) -> None:
            super().__init__()
            self.map = nn.Identity()  # the last map with frames and bands
            self.hidden = nn.Linear(2 * num_mels, HIDDEN)

        def forward(self, x: Tensor) -> Tensor:
            """The mean and standard deviation over frames, after one layer."""
            x = self.map(x).flatten(1, 2)
            features: Tensor = self.hidden(torch.cat([x.mean(dim=1), x.std(dim=1)], dim=1))
            return features.relu()

    num_mels = config.logmel_shape[1]
    with torch_seeded(drawn(generator)):
        return ImageBackbone(
            Bands(num_mels),
            last_features="map",
            features=HIDDEN,
            num_classes=num_classes,
            head_dropout=config.head_dropout,
            input_norm=config.input_norm,
            num_mels=num_mels,
        )


def from_published(config: TrialConfig, network: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a run, unchanged: nothing was published."""
    return state
