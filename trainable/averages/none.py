"""No average: the network is scored with the weights of its last step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainable.learning.part import Part

if TYPE_CHECKING:
    from trainable.network.backbone import Backbone


@dataclass(frozen=True)
class NoAverage(Part):
    """The weights of the last step."""

    def ready(self, network: Backbone) -> Average:
        """What follows the weights of `network` through its steps."""
        return Average(network)


class Average:
    """The weights that are scored and kept beside those that are trained; here they are the same."""

    def __init__(self, network: Backbone) -> None:
        self.network = network  # with the weights that are scored

    def step(self) -> None:
        """Is called after every step of the optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, beside the weights that are trained."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
