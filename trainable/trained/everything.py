"""Trains all weights."""

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
        """The network that the epochs train, and its examples: both unchanged.

        Args:
            roles: the training clips, and those of other roles.
        """
        return network, roles

    def finish(self, part: Backbone) -> None:
        """Does nothing: the network is what was trained.

        Args:
            part: the network that `ready` returned, with the weights of the kept epoch.
        """
