"""The input that the network was pre-trained on, according to its card; the default of a trial."""

from __future__ import annotations

from dataclasses import dataclass

from trainable.learning.part import Part


@dataclass(frozen=True)
class Own(Part):
    """Stands for the first input on the network's card; `TrialConfig.given` is that input."""
