"""The score of a table: a score of `trainable/scores/` that is a mean over clips, so that each clip has a value.

Its interval over recordings resamples whole recordings with their clips, and pairs are compared clip by clip.
"""

from __future__ import annotations

from trainable.config import FIELDS, TrialConfig
from trainable.learning.part import named, names
from trainable.learning.score import ClipScore

FOLDER = FIELDS["scores"].metadata["folder"]


def chosen(score: str | ClipScore, trial: TrialConfig | None = None) -> ClipScore:
    """The score of a table.

    Args:
        score: the score or its name; empty to use the trials' own.
        trial: one of the trials; None if none is known yet.

    Returns:
        The given score. If it is empty, the first of the trial's scores that is a mean over clips; if the trial has
        none, the first of all scores that are.

    Raises:
        ValueError: if there is no such score, or it is not a mean over clips; names those that are.
    """
    if isinstance(score, ClipScore):
        return score
    clip_scores = sorted(
        (match for name in names(FOLDER) if isinstance(match := named("score", FOLDER, name), ClipScore)),
        key=lambda clip_score: clip_score.stage,
    )
    if not score:
        trial_scores = (
            [trial_score for trial_score in trial.scores if isinstance(trial_score, ClipScore)] if trial else []
        )
        return (trial_scores or clip_scores)[0]
    if isinstance(match := named("score", FOLDER, score), ClipScore):
        return match
    choices = ", ".join(clip_score.name for clip_score in clip_scores)
    raise ValueError(f"score={score!r}: is not a mean over clips; choose one of {choices}")
