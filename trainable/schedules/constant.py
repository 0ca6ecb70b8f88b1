"""The same learning rate in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.learning.part import Part


@dataclass(frozen=True)
class Constant(Part):
    """The trial's `lr`, always."""

    def factor(self, epoch: int, num_epochs: int) -> float:
        """What `lr` is multiplied by in an epoch, counted from 1, of a trial that has so many at most."""
        return 1.0
