"""A linear probe: a frozen network embeds each clip once, and its classifier alone is trained, on the embeddings."""

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
class Head(Part):
    """The classifier alone."""

    embeds = True  # each clip once, before the first epoch

    def check(self, config: TrialConfig) -> None:
        """Refuses what changes from epoch to epoch before the classifier.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if config.augment:
            raise ValueError(
                f"augment={str(config.augment)!r}: a linear probe embeds each clip once, so that there is nothing to "
                "augment; choose augment=none, or trained=everything"
            )
        if config.input_norm == "batch" and "standard" in config.card.input_norms:
            raise ValueError(
                f"input_norm='batch': a linear probe trains no normalisation, and {config.backbone} brings none; "
                "choose input_norm=standard or none"
            )

    def ready(
        self, config: TrialConfig, network: Backbone, roles: Sequence[Examples]
    ) -> tuple[Backbone, Sequence[Examples]]:
        """What a trial's epochs train, and on what: the classifier, on embeddings; all else is frozen from here on.

        Args:
            roles: the clips that are trained on, and others.
        """
        from trainable.network.linear import LinearProbe, embedded

        network.requires_grad_(False).classifier.requires_grad_(True)
        return LinearProbe(network), [embedded(config, network, clips) for clips in roles]
