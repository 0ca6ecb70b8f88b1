"""All weights are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.part import Part

if TYPE_CHECKING:
    from trainable.config import TrialConfig
    from trainable.examples import Examples
    from trainable.network.backbone import Backbone


@dataclass(frozen=True)
class Everything(Part):
    """The whole network, on its inputs."""

    embeds = False  # whether each clip is embedded once, before the first epoch

    def ready(
        self, config: TrialConfig, network: Backbone, roles: Sequence[Examples]
    ) -> tuple[Backbone, Sequence[Examples]]:
        """What a trial's epochs train, and on what: all that they are given.

        Args:
            roles: the clips that are trained on, and others.
        """
        return network, roles
