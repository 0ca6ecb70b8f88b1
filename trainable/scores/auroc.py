"""AUROC: the mean over classes of the chance that a clip of the class is ranked before a clip of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import OfDraws, WeightedScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Auroc(WeightedScore):
    """The macro area under the ROC curve of clips, one class against the rest, as a fraction.

    Clips are ranked by the share of a class in the softmax of the logits; equal shares count as half. Of two classes
    the area is that of the second, which is that of the first. A class without clips does not count, and of a single
    class the score is 0.5, because nothing can be ranked.

    Source:
        scikit-learn's `roc_auc_score(average="macro", multi_class="ovr")`, checked against it.
    """

    title = "AUROC"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 1

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the AUROC of draws of whole recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        from trainable.result import metrics

        shares = metrics.shares(logits)
        present = np.unique(labels) if shares.shape[1] > 2 else np.array([1])
        won = [_won(shares[:, label], labels == label, where) for label in present]
        own = metrics.sums(labels[:, np.newaxis] == present, where)
        others = np.bincount(where)[:, np.newaxis] - own

        def of_draws(draws: Float[np.ndarray, "draws recordings"]) -> Float[np.ndarray, " draws"]:
            num_won = [((draws[:, its] @ pairs.astype(draws.dtype)) * draws).sum(axis=1) for its, pairs in won]
            return metrics.mean_of_counted(np.stack(num_won, axis=1), (draws @ own) * (draws @ others), otherwise=0.5)

        return of_draws


def _won(
    share: Float[np.ndarray, " clips"], is_own: np.ndarray, where: np.ndarray
) -> tuple[Int[np.ndarray, " own"], Float[np.ndarray, "own recordings"]]:
    """The pairs of a clip of a class and a clip of another class, of which the first has the greater share.

    Returns:
        The recordings that have clips of the class; and for each of them, by row, the pairs with the other clips of
        each recording, by column. Equal shares are half a pair.
    """
    import numpy as np

    recordings, others = np.unique(where[is_own]), ~is_own
    pairs = np.zeros((len(recordings), where.max() + 1))
    for row, number in enumerate(recordings):
        ours = np.sort(share[is_own & (where == number)])
        lost = np.searchsorted(ours, share[others], "left") + np.searchsorted(ours, share[others], "right")
        pairs[row] = np.bincount(where[others], weights=len(ours) - lost / 2, minlength=pairs.shape[1])
    return recordings, pairs
