"""Macro-F1: the mean over classes of the harmonic mean of precision and recall, for classes of unequal size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import OfDraws, WeightedScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class MacroF1(WeightedScore):
    """The macro-F1 of clips, as a fraction; a class that is neither present nor predicted does not count.

    Source:
        scikit-learn's `f1_score(average="macro")`, checked against it.
    """

    title = "macro-F1"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 1

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the macro-F1 of draws of whole recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        from trainable.result import metrics

        classes, predictions = np.arange(logits.shape[1]), logits.argmax(axis=1)
        is_of, is_called = labels[:, np.newaxis] == classes, predictions[:, np.newaxis] == classes
        true_positives = metrics.sums(is_of & is_called, where)
        claims = metrics.sums(is_of, where) + metrics.sums(is_called, where)

        def of_draws(draws: Float[np.ndarray, "draws recordings"]) -> Float[np.ndarray, " draws"]:
            return metrics.mean_of_counted(2 * draws @ true_positives, draws @ claims)

        return of_draws
