"""What the network was pre-trained on, as its card says: the input of a trial that names no other."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.learning.part import Part


@dataclass(frozen=True)
class Own(Part):
    """A word for the first input of the network's card; `TrialConfig.given` is that input."""
