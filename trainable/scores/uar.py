"""UAR, or balanced accuracy: the mean over classes of the share of their clips that are named right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import OfDraws, WeightedScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Uar(WeightedScore):
    """The unweighted average recall of clips, as a fraction; a class without clips does not count.

    A network that names one class only has 1 / classes, however unequal the classes are.

    Source:
        scikit-learn's `balanced_accuracy_score`, checked against it.
    """

    title = "UAR"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 0  # before the other scores of unequal classes

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the UAR of draws of whole recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        from trainable.result import metrics

        hits, is_of = metrics.hits(logits, labels), labels[:, np.newaxis] == np.arange(logits.shape[1])
        right = metrics.sums(is_of * hits[:, np.newaxis], where)
        clips = metrics.sums(is_of, where)

        def of_draws(draws: Float[np.ndarray, "draws recordings"]) -> Float[np.ndarray, " draws"]:
            return metrics.mean_of_counted(draws @ right, draws @ clips)

        return of_draws
