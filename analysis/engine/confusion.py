"""Confusion matrices over seeds, and the scores of each class that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from analysis.engine import stats
from analysis.engine.rows import Predictions
from analysis.engine.stats import SeedSummary

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Confusion:
    """Row-normalised matrices, one per seed: the share of each class's test clips that was predicted as each class."""

    classes: tuple[str, ...]
    shares: Float[np.ndarray, "seeds classes classes"]  # true by predicted; NaN where a class has no test clip

    @property
    def mean(self) -> Float[np.ndarray, "classes classes"]:
        """The mean over seeds."""
        mean: np.ndarray = self.shares.mean(axis=0)
        return mean

    @property
    def std(self) -> Float[np.ndarray, "classes classes"]:
        """The sample standard deviation over seeds; NaN for one seed."""
        if len(self.shares) < 2:
            return np.full(self.shares.shape[1:], np.nan)
        std: np.ndarray = self.shares.std(axis=0, ddof=1)
        return std

    def rows(self) -> Iterator[dict[str, object]]:
        """Yields a row for each true and predicted class, with the share of the true class over the seeds."""
        for true, means, deviations in zip(self.classes, self.mean, self.std, strict=True):
            for predicted, mean, std in zip(self.classes, means, deviations, strict=True):
                yield {"true": true, "predicted": predicted, "mean": mean, "std_sample": std, "n": len(self.shares)}

    @property
    def recall(self) -> tuple[SeedSummary, ...]:
        """The recall of each class: the diagonal."""
        return tuple(stats.seed_summary(self.shares[:, i, i].tolist(), share=True) for i in range(len(self.classes)))


def confusion(seeds: Sequence[Predictions]) -> Confusion:
    """The confusion matrices of a network, from the predictions of its seeds."""
    classes = seeds[0].classes
    counts = np.stack(
        [confusion_matrix(s.labels, s.logits.argmax(axis=1), labels=np.arange(len(classes))) for s in seeds]
    )
    clips = counts.sum(axis=2, keepdims=True)
    shares = np.divide(counts, clips, out=np.full(counts.shape, np.nan), where=clips > 0)
    return Confusion(classes, shares)


def macro_f1(seeds: Sequence[Predictions]) -> SeedSummary:
    """The mean F1 score of the classes that have test clips, over seeds."""
    return stats.seed_summary(
        [
            float(f1_score(s.labels, s.logits.argmax(axis=1), labels=np.unique(s.labels), average="macro"))
            for s in seeds
        ],
        share=True,
    )
