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
    """The macro-F1 of clips, as a fraction; a class that is neither present nor predicted does not count.

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
        """The macro-F1 of these clips.

        Args:
            recording: the recording of each clip; it is not used.
        """
        import numpy as np

        predictions, num_classes = logits.argmax(axis=1), logits.shape[1]
        true_positives = np.bincount(labels[predictions == labels], minlength=num_classes)
        num_claims = np.bincount(labels, minlength=num_classes) + np.bincount(predictions, minlength=num_classes)
        counted = num_claims > 0
        return float(np.mean(2 * true_positives[counted] / num_claims[counted]))
