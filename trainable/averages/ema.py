"""Exponential moving average of the weights over steps: it is scored and kept instead of the last step's weights."""

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
    """Sets each average, after every step, to `decay` times itself plus (1 - `decay`) times the weight.

    The running moments of batch normalisations are those of the last step.

    Source:
        Polyak and Juditsky 1992; the moving average is that of Tarvainen and Valpola 2017.
    """

    decay: float = 0.999

    def check(self, config: TrialConfig) -> None:
        """Refuses a decay outside [0, 1); with 1 nothing would be learnt.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if not 0 <= self.decay < 1:
            raise ValueError(f"average.decay={self.decay:g}: must be at least 0 and below 1")

    def ready(self, network: Backbone) -> Average:
        """The object that averages the weights of `network` through its steps."""
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        return Average(network, AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(self.decay)))


class Average:
    """The averaged weights, in a separate network that is scored and kept."""

    def __init__(self, network: Backbone, averaged: AveragedModel) -> None:
        self._trained, self._averaged = network, averaged
        self.network: Any = averaged.module

    def step(self) -> None:
        """Updates the average after a step of the optimizer."""
        self._averaged.update_parameters(self._trained)

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint keeps beside the trained weights."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the state in a checkpoint."""
        self._averaged.load_state_dict(state)
