"""What a table is a table of: a score of `trainable/scores/` that is a mean over clips, each of which has a value.

Its interval over recordings draws whole recordings again with their clips, and pairs are compared clip by clip.
"""

from __future__ import annotations

from trainable.config import FIELDS, TrialConfig
from trainable.learning.part import named, names
from trainable.learning.score import ClipScore

FOLDER = FIELDS["scores"].metadata["folder"]


def chosen(score: str | ClipScore, trial: TrialConfig | None = None) -> ClipScore:
    """The score of a table.

    Args:
        score: itself or its name; empty for the trials' own.
        trial: one of those; None as long as none is known.

    Returns:
        Of the trial's own the first that is a mean over clips; where it has none, the first of all that are.

    Raises:
        ValueError: if there is no such score, or it is no mean over clips; names those that are.
    """
    if isinstance(score, ClipScore):
        return score
    there = sorted(
        (found for name in names(FOLDER) if isinstance(found := named("score", FOLDER, name), ClipScore)),
        key=lambda found: found.stage,
    )
    if not score:
        own = [found for found in trial.scores if isinstance(found, ClipScore)] if trial else []
        return (own or there)[0]
    if isinstance(found := named("score", FOLDER, score), ClipScore):
        return found
    raise ValueError(f"score={score!r}: is no mean over clips; choose one of {', '.join(s.name for s in there)}")
