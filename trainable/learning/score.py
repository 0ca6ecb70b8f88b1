"""What trials are judged by: the base of the parts in `trainable/scores/`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trainable.learning.part import Part

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Score(Part):
    """A number of some clips' logits."""

    title: ClassVar[str]  # in a sentence
    higher_is_better: ClassVar[bool]
    is_share: ClassVar[bool]  # printed in percent
    each_epoch: ClassVar[bool]  # taken of the validation clips after every epoch, so that epochs can be chosen by it
    stage: ClassVar[int]  # its place among a trial's scores; by the first the sweep is listed

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip.
        """
        raise NotImplementedError

    def best(self, values: Iterable[float]) -> float:
        """Of one or more values of this score."""
        return max(values) if self.higher_is_better else min(values)
