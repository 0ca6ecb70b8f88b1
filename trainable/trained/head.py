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
    """Only the classifier.

    With `standardise=1`, it is trained on features that have mean 0 and standard deviation 1 over the training clips,
    and then takes embeddings as they are again. Embeddings of an untrained network may be as small as 1e-9: Adam would
    have to make weights of 1e9 for them, in steps of `lr`.
    """

    embeds = True  # whether each clip is embedded once, before the first epoch
    standardise: int = 0  # 1: yes

    def check(self, config: TrialConfig) -> None:
        """Refuses settings that change the embeddings from epoch to epoch, and what cannot be standardised.

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
        if self.standardise not in (0, 1):
            raise ValueError(f"trained.standardise={self.standardise}: choose 1 to standardise embeddings, or 0")
        if self.standardise and config.precision != "float32":
            raise ValueError(
                f"precision={config.precision!r}: the classifier of a standardised probe needs all digits of an "
                "embedding; choose precision=float32, or trained.standardise=0"
            )

    def ready(
        self, config: TrialConfig, network: Backbone, roles: Sequence[Examples]
    ) -> tuple[Backbone, Sequence[Examples]]:
        """The probe that the epochs train, and the embeddings of the clips; freezes the rest of `network`.

        Args:
            roles: the training clips, and those of other roles.
        """
        from trainable.network.linear import LinearProbe, embedded, moments

        network.requires_grad_(False).classifier.requires_grad_(True)
        embeddings = [embedded(config, network, clips) for clips in roles]
        return LinearProbe(network, *(moments(embeddings[0]) if self.standardise else ())), embeddings

    def finish(self, part: Backbone) -> None:
        """Makes the classifier take embeddings as they are, if they were standardised."""
        from trainable.network.linear import LinearProbe

        assert isinstance(part, LinearProbe)
        part.absorb()
