"""Macro-F1: the mean over classes of the harmonic mean of precision and recall, for classes of unequal size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import Score

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class MacroF1(Score):
    """Of clips, as a fraction; a class that is neither there nor predicted does not count.

    Source:
        scikit-learn's `f1_score(average="macro")`, checked against it.
    """

    title = "macro-F1"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 1

    def of(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
    ) -> float:
        """Of these clips.

        Args:
            recording: of each clip; it has no say.
        """
        import numpy as np

        said, num_classes = logits.argmax(axis=1), logits.shape[1]
        right = np.bincount(labels[said == labels], minlength=num_classes)
        both = np.bincount(labels, minlength=num_classes) + np.bincount(said, minlength=num_classes)
        there = both > 0
        return float(np.mean(2 * right[there] / both[there]))
