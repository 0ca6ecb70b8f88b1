"""Groups of recordings: which are known, which are trained on, and which one the recordings were sampled by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from datasets.engine.corpus import UNKNOWN, Corpus, module
from datasets.engine.splitting.folds import fold_named

JOINT = "+"  # between the groups of a split by several at once
LEAST_VALUES = 6  # of the group that a folder's recordings are taken to be sampled by
NO_SAMPLES = ("label", "fold")  # groups of a folder that nobody draws recordings by
OF_GROUP, SEEN, SAMPLED_BY, FILE = "group_", "seen_", "sampled_by", "file"  # the arrays of `of_clips`


def is_unknown(value: str) -> bool:
    """Whether the value of a group says that nothing is known: `unknown: Tug/3`, or the word alone in a table.

    >>> is_unknown("unknown: Tug/3"), is_unknown("Unknown"), is_unknown("UNKNOWN STAR")
    (True, True, False)
    """
    return value.startswith(UNKNOWN) or value.strip().casefold() == UNKNOWN.strip(": ")


def sampled_by(corpus: Corpus, split: str = "recording") -> str:
    """The coarsest group that recordings were sampled by: those to come will be of other vessels, speakers or sources.

    A corpus states it (`SAMPLED_BY`). For a user's folder it is

    1. the group by which the split is made, as that says what the network must be new to; of several, the coarsest;
    2. otherwise, of the groups with at least six values, the one with the fewest. Fewer than six say nothing about
       others: the exact test of a difference over five groups has a p of at least 2/32.

    A group that is the class, `label` and `fold` are none.

    Args:
        split: the name of the trial's split.

    Returns:
        Its name; empty if there is none, where recordings stand for themselves.
    """
    values = {name: {r.groups[name] for r in corpus.recordings} for name in corpus.group_names}
    is_class = [
        name
        for name in values
        if len({(r.groups[name], r.label) for r in corpus.recordings}) == len(values[name]) == len(corpus.classes)
    ]
    names = [name for name in values if name not in is_class]
    stated = getattr(module(corpus.name), "SAMPLED_BY", None)
    if stated is not None:
        return stated if stated in names else ""
    by_split = [name for name in units_of(split) if name in names]
    enough = [name for name in names if len(values[name]) >= LEAST_VALUES and name not in NO_SAMPLES]
    return min(by_split or enough, key=lambda name: (len(values[name]), name), default="")


def units_of(split: str) -> list[str]:
    """The groups that a split keeps together, or its other unit: `vessel`, `day` of `vessel+day:1/5`."""
    fold = fold_named(split)
    return (fold.unit if fold else split).split(JOINT)


def of_clips(
    corpus: Corpus, roles: Mapping[str, str], recording: Iterable[str], split: str = "recording"
) -> dict[str, np.ndarray]:
    """The groups of test clips as arrays, to be stored beside their predictions.

    Args:
        corpus: the recordings that were split.
        roles: the role of each recording, by id.
        recording: for each clip, the id of its recording.
        split: the name of the split.

    Returns:
        For each group that all recordings have: `group_NAME`, the value of each clip, and `seen_NAME`, whether a
        training recording has it too. `file`, the whole file of each clip, where clips are of excerpts. `sampled_by`,
        the group of that name as a single string.
    """
    by_id = {r.id: r for r in corpus.recordings}
    own = [by_id[i] for i in recording]
    arrays = {SAMPLED_BY: np.array(sampled_by(corpus, split))}
    if any(r.file for r in own):
        arrays[FILE] = np.array([r.unit for r in own])
    for name in corpus.group_names:
        trained_on = {by_id[i].groups[name] for i, role in roles.items() if role == "train" and i in by_id}
        arrays[OF_GROUP + name] = np.array([r.groups[name] for r in own])
        arrays[SEEN + name] = np.array([r.groups[name] in trained_on for r in own])
    return arrays
