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
        """The object that follows the weights of `network` through its steps."""
        return Average(network)


class Average:
    """The weights that are scored and kept; here they are the trained ones."""

    def __init__(self, network: Backbone) -> None:
        self.network = network  # with the weights that are scored

    def step(self) -> None:
        """Updates the average after a step of the optimizer; here it does nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint keeps beside the trained weights; here it is empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the state in a checkpoint; here it does nothing."""
