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

    title: ClassVar[str]  # in a sentence, and with `heading` above a column
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

    @property
    def heading(self) -> str:
        """The title as a heading."""
        return f"{self.title[0].upper()}{self.title[1:]}"

    def best(self, values: Iterable[float]) -> float:
        """Of one or more values of this score."""
        return max(values) if self.higher_is_better else min(values)


@dataclass(frozen=True)
class ClipScore(Score):
    """The mean of a value of each clip: such a score can be taken again of some recordings, drawn with their clips."""

    recordings_by: ClassVar[str] = "the mean over recordings of the mean of their clips"  # how `of_recordings` is taken

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip; it has no say.
        """
        return float(self.of_clips(logits, labels).mean())

    def of_clips(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
    ) -> Float[np.ndarray, " clips"]:
        """Of each clip."""
        raise NotImplementedError

    def of_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of recordings, each of which counts alike.

        Args:
            recording: of each clip.
        """
        import numpy as np

        _, where = np.unique(recording, return_inverse=True)
        return float(np.mean(np.bincount(where, weights=self.of_clips(logits, labels)) / np.bincount(where)))
