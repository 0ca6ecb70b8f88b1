"""The scores of networks that give one answer to every clip, and a mark for those that do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.engine.wording import number, unit

if TYPE_CHECKING:
    from analysis.engine.rows import Predictions
    from analysis.engine.tables.cells import Table
    from trainable.learning.score import Score

MARK = "‡"  # of a cell with a network that gives one answer


@dataclass(frozen=True)
class Constant:
    """The scores on test of networks that know nothing; NaN for one that is unknown."""

    majority: str  # the class with the most training clips; empty if several have as many, or if a run does not say
    of_majority: float  # the score of naming that class for every clip
    chance: float  # the mean of the scores of naming one class for every clip, over the classes
    num_seeds: int  # the trained networks that do just that


def constant(score: Score, seeds: Sequence[Predictions], majority: str) -> Constant:
    """The scores of constant answers on a test set, and how many networks give one.

    Args:
        score: the score.
        seeds: predictions for the same clips, one per seed.
        majority: the most frequent class of the training clips; empty if there is none.
    """
    first = seeds[0]
    answers = [np.broadcast_to(row, first.logits.shape) for row in np.eye(len(first.classes))]
    scores = [score.of(answer, first.labels, first.recording) for answer in answers]
    known = majority in first.classes and score.is_share  # a loss depends on how sure the answer is
    return Constant(
        majority=majority if known else "",
        of_majority=scores[first.classes.index(majority)] if known else np.nan,
        chance=float(np.mean(scores)) if score.is_share else np.nan,
        num_seeds=sum(np.ptp(seed.logits.argmax(axis=1)) == 0 for seed in seeds),
    )


def captions(table: Table) -> list[str]:
    """The score of a constant answer, and the cells whose networks give one; none before a cell is complete."""
    lines: dict[str, list[str]] = defaultdict(list)
    for cell in table.cells:
        if cell.scores and (words := _words(table.score, cell.scores.constant)):
            lines[words].append(table.title(cell))
    told = [f"{words}." if len(lines) == 1 else f"{words} ({', '.join(names)})." for words, names in lines.items()]
    marked = [
        f"{table.title(cell)} ({cell.scores.constant.num_seeds} of {cell.scores.clip.n} seeds)"
        for cell in table.cells
        if cell.scores and cell.scores.constant.num_seeds
    ]
    return [*told, *[f"{MARK}: names one class for every test clip: {', '.join(marked)}."] * bool(marked)]


def _words(score: Score, of: Constant) -> str:
    if np.isnan(of.chance):
        return ""
    chance = f"{number(of.chance)}{unit(True)}"
    if not of.majority:
        return f"Naming one class for every test clip has a mean {score.title} of {chance} over the classes: chance"
    return (
        f"Naming {of.majority}, the most frequent class in training, for every test clip has {a(score.title)} of "
        f"{number(of.of_majority)}{unit(True)}; chance, the mean of such answers over the classes, is {chance}"
    )


def a(title: str) -> str:
    """A title with its article, by how it is read: a UAR, an mAP, an AUROC."""
    return f"an {title}" if title.startswith(("a", "e", "i", "o", "A", "mA")) else f"a {title}"
