"""The score of a table: one of `trainable/scores/`, whether it is a mean over clips or of another kind."""

from __future__ import annotations

from typing import Any, cast

from trainable.config import FIELDS, TrialConfig
from trainable.learning.part import named, names
from trainable.learning.score import Score

FOLDER = FIELDS["scores"].metadata["folder"]


def chosen(score: str | Score, trial: TrialConfig | None = None) -> Score:
    """The score of a table.

    Args:
        score: the score or its name; empty to use the trials' own.
        trial: one of the trials; None if none is known yet.

    Returns:
        The given score. If it is empty, the trial's main score; without a trial, the one that comes first of all.

    Raises:
        ValueError: if there is no such score; names those that there are.
    """
    if isinstance(score, Score):
        return score
    if score:
        match: Any = named("score", FOLDER, score)
        return cast(Score, match)
    every: list[Any] = [trial.main_score] if trial else [named("score", FOLDER, name) for name in names(FOLDER)]
    first: Score = min(every, key=lambda one: one.stage)
    return first
