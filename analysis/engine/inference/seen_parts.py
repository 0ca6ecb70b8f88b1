"""The parts of the test clips of which a group's value is in training, is not, or is unknown, and the score of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.engine import stats
from analysis.engine.stats import SeedSummary
from datasets.engine.splitting.groups import NO_SAMPLES, is_unknown

if TYPE_CHECKING:
    from jaxtyping import Bool

    from analysis.engine.rows import Predictions
    from trainable.learning.score import Score


@dataclass(frozen=True)
class Part:
    """The score of a cell on a part of its test clips, over its seeds."""

    num_clips: int
    num_values: int  # of the group
    score: SeedSummary | None  # None if there are no clips


class Parts(NamedTuple):
    """The test clips of one group: those of values that are in training, of others, and of unknown ones."""

    seen: Part
    unseen: Part
    unknown: Part

    @property
    def num_clips(self) -> int:
        """The number of test clips."""
        return sum(part.num_clips for part in self)


def parts_of(score: Score, seeds: Sequence[Predictions]) -> dict[str, Parts]:
    """The score on seen, unseen and unknown test clips, by group; the group that was sampled by comes first.

    Args:
        score: the score to average.
        seeds: the predictions of a cell, for the same clips.

    Returns:
        The groups of which all seeds say the same; none for runs of earlier versions.
    """
    first, parts = seeds[0], {}
    for name in sorted(first.groups, key=lambda name: (name != first.sampled_by, name)):
        if name in NO_SAMPLES or not all(_says_the_same(first, other, name) for other in seeds[1:]):
            continue
        unknown = np.array([is_unknown(value) for value in first.groups[name]])
        seen = first.seen[name] & ~unknown
        parts[name] = Parts(*(_part(score, seeds, name, which) for which in (seen, ~seen & ~unknown, unknown)))
    return parts


def _says_the_same(first: Predictions, other: Predictions, name: str) -> bool:
    return name in other.groups and all(
        np.array_equal(a[name], b[name]) for a, b in ((first.groups, other.groups), (first.seen, other.seen))
    )


def _part(score: Score, seeds: Sequence[Predictions], name: str, which: Bool[np.ndarray, " clips"]) -> Part:
    if not which.any():
        return Part(0, 0, None)
    of_each = [score.of(its.logits[which], its.labels[which], its.recording[which]) for its in seeds]
    return Part(int(which.sum()), len(set(seeds[0].groups[name][which])), stats.seed_summary(of_each))
