"""Says which recordings with the same sound have two roles or two labels, and which share a role."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from datasets.engine.corpus import CorpusError, Recording
from datasets.engine.twins.finding import Twin

MOST = 20  # pairs in a message; the rest is counted
MOST_NOTED = 5


@dataclass(frozen=True)
class Pair:
    """Two recordings with the same sound in other bytes."""

    first: Recording
    second: Recording
    how: str  # they match


def pairs(recordings: Iterable[Recording], sha256_of: Mapping[str, str], twins: Sequence[Twin]) -> Iterator[Pair]:
    """Yields the recordings of twin files; of excerpts, those that overlap where their files are the same sound."""
    if not twins:
        return
    of_file: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        of_file[sha256_of[recording.id]].append(recording)
    for twin in twins:
        for first in of_file.get(twin.first, ()):
            for second in of_file.get(twin.second, ()):
                if _overlap(first, second, twin.lag_s):
                    one, other = sorted((first, second), key=lambda r: r.id)
                    yield Pair(one, other, twin.how)


def check(found: Sequence[Pair], roles: Mapping[str, str]) -> None:
    """Refuses recordings with the same sound that have two roles or two labels.

    Raises:
        CorpusError: with both names, the way they match, and the remedy.
    """
    if apart := [pair for pair in found if roles[pair.first.id] != roles[pair.second.id]]:
        lines = [f"{_role(p.first, roles)}, {_role(p.second, roles)}: {p.how}" for p in apart]
        raise CorpusError(
            f"the same audio is in two roles; remove one of each pair, or give both one group and split by that:\n"
            f"  {_listed(lines)}"
        )
    if twice := [p for p in found if p.first.label != p.second.label and not (p.first.file or p.second.file)]:
        lines = [f"{p.first.id} and {p.second.id}: {p.how}" for p in twice]
        raise CorpusError(f"the same audio has two labels; keep one of each:\n  {_listed(lines)}")


def notes(found: Sequence[Pair], roles: Mapping[str, str]) -> Iterator[str]:
    """Yields a note on the recordings with the same sound within a role, and one on those of two roles."""
    for where, chosen in (
        ("within one role", [p for p in found if roles[p.first.id] == roles[p.second.id]]),
        ("in two roles of the authors' own split", [p for p in found if roles[p.first.id] != roles[p.second.id]]),
    ):
        if chosen:
            lines = [f"{_role(p.first, roles)} and {_role(p.second, roles)}: {p.how}" for p in chosen]
            more = f"; and {len(chosen) - MOST_NOTED} more" if len(chosen) > MOST_NOTED else ""
            have = "1 pair has" if len(chosen) == 1 else f"{len(chosen)} pairs have"
            yield f"{have} the same audio {where}: {'; '.join(lines[:MOST_NOTED])}{more}"


def _overlap(first: Recording, second: Recording, lag_s: float) -> bool:
    ends = [math.inf if end_s is None else end_s for end_s in (first.end_s, second.end_s)]
    return max(first.start_s, second.start_s - lag_s) < min(ends[0], ends[1] - lag_s)


def _role(recording: Recording, roles: Mapping[str, str]) -> str:
    return f"{recording.id} ({roles[recording.id]})"


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n  ".join([*sorted(lines)[:MOST], *more])
