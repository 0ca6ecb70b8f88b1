"""The exponential moving average of the weights over steps: that is scored and kept, and the last step's is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainable.learning.part import Part

if TYPE_CHECKING:
    from torch.optim.swa_utils import AveragedModel

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone


@dataclass(frozen=True)
class Ema(Part):
    """After each step a weight is `decay` times its average so far, and for the rest its value.

    Running moments of batch normalisations are those of the last step.

    Source:
        Polyak and Juditsky 1992; the moving average as Tarvainen and Valpola 2017 have it.
    """

    decay: float = 0.999

    def check(self, config: TrialConfig) -> None:
        """Refuses a decay with which nothing would be learned.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if not 0 <= self.decay < 1:
            raise ValueError(f"average.decay={self.decay:g}: must be at least 0 and below 1")

    def ready(self, network: Backbone) -> Average:
        """What follows the weights of `network` through its steps."""
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        return Average(network, AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(self.decay)))


class Average:
    """The averaged weights, in a network of their own that is scored and kept."""

    def __init__(self, network: Backbone, averaged: AveragedModel) -> None:
        self._trained, self._averaged = network, averaged
        self.network: Any = averaged.module

    def step(self) -> None:
        """Is called after every step of the optimizer."""
        self._averaged.update_parameters(self._trained)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, beside the weights that are trained."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._averaged.load_state_dict(state)
