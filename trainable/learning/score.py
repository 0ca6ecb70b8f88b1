"""Scores, by which trials are judged: the base of the parts in `trainable/scores/`."""

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
    """A number computed from the logits of clips."""

    title: ClassVar[str]  # its name in a sentence; `heading` is its name above a column
    higher_is_better: ClassVar[bool]
    is_share: ClassVar[bool]  # printed in percent
    each_epoch: ClassVar[bool]  # computed on validation after every epoch, so that it can choose the epoch
    stage: ClassVar[int]  # its position among a trial's scores; the first one ranks the sweep

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of these clips.

        Args:
            recording: the recording of each clip.
        """
        raise NotImplementedError

    @property
    def heading(self) -> str:
        """The title as a heading."""
        return f"{self.title[0].upper()}{self.title[1:]}"

    def best(self, values: Iterable[float]) -> float:
        """The best of one or more values of this score."""
        return max(values) if self.higher_is_better else min(values)


@dataclass(frozen=True)
class ClipScore(Score):
    """A score that is the mean of a value of each clip, so that it can be computed for resampled recordings too."""

    recordings_by: ClassVar[str] = "the mean over recordings of the mean of their clips"  # describes `of_recordings`

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of these clips.

        Args:
            recording: the recording of each clip; it is not used.
        """
        return float(self.of_clips(logits, labels).mean())

    def of_clips(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
    ) -> Float[np.ndarray, " clips"]:
        """The value of each clip, whose mean is the score."""
        raise NotImplementedError

    def of_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of recordings, which all have the same weight.

        Args:
            recording: the recording of each clip.
        """
        import numpy as np

        _, where = np.unique(recording, return_inverse=True)
        return float(np.mean(np.bincount(where, weights=self.of_clips(logits, labels)) / np.bincount(where)))
