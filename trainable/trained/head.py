"""A linear probe: a frozen network embeds each clip once, and only the classifier is trained, on the embeddings."""

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
    """Only the classifier."""

    embeds = True  # whether each clip is embedded once, before the first epoch

    def check(self, config: TrialConfig) -> None:
        """Refuses settings that change the embeddings from epoch to epoch.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if config.augment:
            raise ValueError(
                f"augment={str(config.augment)!r}: a linear probe embeds each clip once, so there is nothing to "
                "augment; choose augment=none, or trained=everything"
            )
        if config.input_norm == "batch" and "standard" in config.card.input_norms:
            raise ValueError(
                f"input_norm='batch': a linear probe trains no normalisation, and {config.backbone} has none; "
                "choose input_norm=standard or none"
            )

    def ready(
        self, config: TrialConfig, network: Backbone, roles: Sequence[Examples]
    ) -> tuple[Backbone, Sequence[Examples]]:
        """The probe that the epochs train, and the embeddings of the clips; freezes the rest of `network`.

        Args:
            roles: the training clips, and those of other roles.
        """
        from trainable.network.linear import LinearProbe, embedded

        network.requires_grad_(False).classifier.requires_grad_(True)
        return LinearProbe(network), [embedded(config, network, clips) for clips in roles]
