"""A learning rate that drops after given epochs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.engine.corpus import shown
from trainable.learning.part import Part

if TYPE_CHECKING:
    from trainable.config import TrialConfig


@dataclass(frozen=True)
class Steps(Part):
    """Multiplies `lr` by `drop` after each of the epochs in `after`."""

    after: str = ""  # epochs in rising order: "30,45"
    drop: float = 0.1

    def check(self, config: TrialConfig) -> None:
        """Refuses epochs that are not in rising order, and a factor that is not a drop.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", self.after, re.ASCII):
            raise ValueError(f"schedule.after={shown(self.after)}: write epochs after which lr drops, such as 30,45")
        if sorted(set(self.epochs)) != list(self.epochs):
            raise ValueError(f"schedule.after={shown(self.after)}: write each epoch once, in rising order")
        if not 0 < self.drop < 1:
            raise ValueError(f"schedule.drop={self.drop:g}: must be above 0 and below 1")

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs after which the learning rate drops."""
        return tuple(map(int, self.after.split(",")))

    def factor(self, epoch: int, num_epochs: int) -> float:
        """The factor of `lr` in an epoch, counted from 1; it depends only on the epoch, so resuming is exact."""
        return self.drop ** sum(epoch > last for last in self.epochs)
