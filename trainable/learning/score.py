"""Scores, by which trials are judged: the base of the parts in `trainable/scores/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trainable.learning.part import Part

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int

# Takes how often each recording counts, for several draws of recordings, and returns the score of each draw.
OfDraws = Callable[["Float[np.ndarray, 'draws recordings']"], "Float[np.ndarray, ' draws']"]


@dataclass(frozen=True)
class Score(Part):
    """A number computed from the logits of clips.

    `of` is all that one needs. A score that overrides `over_recordings` too has its intervals sooner.
    """

    title: ClassVar[str]  # its name in a sentence; `heading` is its name above a column
    higher_is_better: ClassVar[bool]
    is_share: ClassVar[bool]  # printed in percent
    each_epoch: ClassVar[bool]  # computed on validation after every epoch, so that it can choose the epoch
    stage: ClassVar[int]  # its position among a trial's scores; the first one ranks the sweep
    unit: ClassVar[str] = "clip"  # what it counts
    recordings_by: ClassVar[str] = (  # describes `of_recordings`
        "each recording counts as one clip, with the mean of its clips' softmax probabilities"
    )

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of these clips.

        Args:
            recording: the recording of each clip.
        """
        raise NotImplementedError

    def of_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of recordings.

        Args:
            recording: the recording of each clip.
        """
        from trainable.result import metrics

        return self.of(*metrics.as_recordings(logits, labels, recording))

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the score of draws of whole recordings; a recording can be drawn several times.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        members = [np.flatnonzero(where == number) for number in range(where.max() + 1)]

        def of_one(times: Float[np.ndarray, " recordings"]) -> float:
            copies = np.repeat(np.arange(len(times)), times.astype(int))
            clips = np.concatenate([members[number] for number in copies])
            its_copy = np.repeat(np.arange(len(copies)), [len(members[number]) for number in copies])
            return self.of(logits[clips], labels[clips], its_copy)

        return lambda draws: np.array([of_one(times) for times in draws])

    @property
    def heading(self) -> str:
        """The title as a heading."""
        return f"{self.title[0].upper()}{self.title[1:]}"

    def best(self, values: Iterable[float]) -> float:
        """The best of one or more values of this score."""
        return max(values) if self.higher_is_better else min(values)


@dataclass(frozen=True)
class WeightedScore(Score):
    """A score for which every recording can count several times; all that it needs is `over_recordings`."""

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """The score of these clips.

        Args:
            recording: the recording of each clip; it is not used.
        """
        import numpy as np

        in_one = np.zeros(len(labels), np.int64)
        return float(self.over_recordings(logits, labels, in_one)(np.ones((1, 1)))[0])

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the score of draws of whole recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ClipScore(Score):
    """A score that is the mean of a value of each clip."""

    recordings_by: ClassVar[str] = "the mean over recordings of the mean of their clips"

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

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the score of draws of whole recordings: a ratio of two sums over them.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        values, clips = np.bincount(where, weights=self.of_clips(logits, labels)), np.bincount(where)
        return lambda draws: (draws @ values) / (draws @ clips)
