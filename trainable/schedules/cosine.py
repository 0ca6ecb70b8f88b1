"""A learning rate that falls along half a cosine, from the first epoch to the last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    from trainable.config import TrialConfig


@dataclass(frozen=True)
class Cosine(Part):
    """Falls from `lr` in the first epoch to `least` times `lr` in the last.

    Source:
        Loshchilov and Hutter 2017 (SGDR), Eq. (5), by epoch and without restarts.
    """

    least: float = 0.0  # as a fraction of `lr`

    def check(self, config: TrialConfig) -> None:
        """Refuses a last value that is not below the first.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if not 0 <= self.least < 1:
            raise ValueError(f"schedule.least={self.least:g}: must be at least 0 and below 1")

    def factor(self, epoch: int, num_epochs: int) -> float:
        """The factor of `lr` in an epoch, counted from 1, of a trial with at most `num_epochs`."""
        progress = (epoch - 1) / max(1, num_epochs - 1)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * progress)) / 2
