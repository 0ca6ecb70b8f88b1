"""The same learning rate in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.learning.part import Part


@dataclass(frozen=True)
class Constant(Part):
    """Always the trial's `lr`."""

    def factor(self, epoch: int, num_epochs: int) -> float:
        """The factor of `lr` in an epoch, counted from 1, of a trial with at most `num_epochs`."""
        return 1.0
