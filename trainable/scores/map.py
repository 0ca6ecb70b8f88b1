"""mAP: the mean over classes of the average precision with which their clips are ranked before all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainable.learning.score import OfDraws, WeightedScore

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Map(WeightedScore):
    """The macro mean average precision of clips, as a fraction; a class without clips does not count.

    Each class is taken against the rest: clips are ranked by its share in the softmax of the logits, and the precision
    at each of its clips is averaged. Clips with equal shares are one step of the ranking: the precision there counts
    all of them, so that their order does not matter.

    Source:
        scikit-learn's `average_precision_score(average="macro")`, checked against it.
    """

    title = "mAP"
    higher_is_better = True
    is_share = True
    each_epoch = True
    stage = 1

    @property
    def heading(self) -> str:
        """The title as it is: its first letter is small."""
        return self.title

    def over_recordings(
        self, logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], where: np.ndarray
    ) -> OfDraws:
        """A function that computes the mAP of draws of whole recordings.

        Args:
            where: the number of each clip's recording, counted from 0.
        """
        import numpy as np

        from trainable.result import metrics

        shares = metrics.shares(logits)
        ranked = [_ranked(shares[:, label], labels == label, where) for label in np.unique(labels)]

        def of_draws(draws: Float[np.ndarray, "draws recordings"]) -> Float[np.ndarray, " draws"]:
            gained, num_own = [], []
            for its_recording, last_equal, at_least in ranked:
                own = draws[:, its_recording]
                precision = metrics.ratio(own.cumsum(axis=1)[:, last_equal], draws @ at_least.astype(draws.dtype))
                gained.append((own * precision).sum(axis=1))
                num_own.append(own.sum(axis=1))
            return metrics.mean_of_counted(np.stack(gained, axis=1), np.stack(num_own, axis=1))

        return of_draws


def _ranked(
    share: Float[np.ndarray, " clips"], is_own: np.ndarray, where: np.ndarray
) -> tuple[Int[np.ndarray, " own"], Int[np.ndarray, " own"], Float[np.ndarray, "recordings own"]]:
    """The clips of a class, the highest share first.

    Returns:
        For each of them: its recording, the last of them with the same share, and the number of clips of each
        recording, of whatever class, that have at least that share.
    """
    import numpy as np

    own = np.flatnonzero(is_own)[np.argsort(-share[is_own], kind="stable")]
    last_equal = np.searchsorted(-share[own], -share[own], side="right") - 1
    num_recordings, first = where.max() + 1, np.searchsorted(-share[own], -share)  # the first of them it stands before
    cell = where * (len(own) + 1) + first
    counts = np.bincount(cell, minlength=num_recordings * (len(own) + 1)).reshape(num_recordings, -1)[:, :-1]
    return where[own], last_equal, counts.cumsum(axis=1).astype(np.float64)[:, last_equal]
