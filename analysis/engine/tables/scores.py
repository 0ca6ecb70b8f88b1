"""What a table is a table of: a value of each test clip whose mean is printed, and one of the recordings beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.engine import stats
from analysis.engine.rows import Predictions
from trainable.result import metrics

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Score:
    """A score from 0 to 1, of which more is better.

    It is a mean over clips, because its interval over recordings draws whole recordings again with their clips.
    """

    name: str  # as a sentence has it
    of_clips: Callable[[Predictions], Float[np.ndarray, " clips"]]
    of_recordings: Callable[[Predictions], float]
    recordings_by: str  # how the second is taken

    @property
    def title(self) -> str:
        """The name as a heading."""
        return f"{self.name[0].upper()}{self.name[1:]}"

    @property
    def column(self) -> str:
        """The name as a part of a CSV file's columns."""
        return self.name.replace(" ", "_")


def _hits(found: Predictions) -> Float[np.ndarray, " clips"]:
    return stats.clip_hits(found.logits, found.labels).astype(np.float64)


def _votes(found: Predictions) -> float:
    return metrics.recording_accuracy(found.logits, found.labels, found.recording)


ACCURACY = Score(
    name="accuracy",
    of_clips=_hits,
    of_recordings=_votes,
    recordings_by="one vote per recording, by the mean of its clips' softmax probabilities",
)
