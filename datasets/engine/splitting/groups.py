"""Groups of recordings: which are known, which are trained on, and which one the recordings were sampled by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from datasets.engine.corpus import UNKNOWN, Corpus, CorpusError, Recording, module
from datasets.engine.splitting.folds import fold_named

JOINT = "+"  # between the groups of a split by several at once
LEAST_VALUES = 6  # of the group that a folder's recordings are taken to be sampled by
NO_SAMPLES = ("label", "fold")  # groups of a folder that nobody draws recordings by
OF_GROUP, SEEN, SAMPLED_BY, FILE = "group_", "seen_", "sampled_by", "file"  # the arrays of `of_clips`
MOST = 10  # names in a message
MOST_GROUPS = 8  # that notes are about


def is_unknown(value: str) -> bool:
    """Whether the value of a group says that nothing is known: `unknown: Tug/3`, or the word alone in a table.

    >>> is_unknown("unknown: Tug/3"), is_unknown("Unknown"), is_unknown("UNKNOWN STAR")
    (True, True, False)
    """
    return value.startswith(UNKNOWN) or value.strip().casefold() == UNKNOWN.strip(": ")


def units_of(split: str, names: Sequence[str] = ()) -> list[str]:
    """The groups that a split keeps together, or its other unit: `vessel` and `day` of `vessel+day:1/5`.

    Args:
        names: the groups of the corpus; one of them may have a plus sign in its name.
    """
    fold = fold_named(split)
    unit = fold.unit if fold else split
    return [unit] if unit in names else unit.split(JOINT)


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
    num_values = {name: len({r.groups[name] for r in corpus.recordings}) for name in _apart_from_class(corpus)}
    stated = getattr(module(corpus.name), "SAMPLED_BY", None)
    if stated is not None:
        return stated if stated in num_values else ""
    by_split = [name for name in units_of(split, corpus.group_names) if name in num_values]
    enough = [name for name, num in num_values.items() if num >= LEAST_VALUES and name not in NO_SAMPLES]
    return min(by_split or enough, key=lambda name: (num_values[name], name), default="")


def _apart_from_class(corpus: Corpus) -> list[str]:
    """The groups that every recording has, without those that are the class in other words."""
    names = []
    for name in corpus.group_names:
        pairs = {(r.groups[name], r.label) for r in corpus.recordings}
        if not len(pairs) == len({value for value, _ in pairs}) == len(corpus.classes):
            names.append(name)
    return names


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
        For each group that all recordings have and that is not the class: `group_NAME`, the value of each clip, and
        `seen_NAME`, whether a training recording has it too, which is no for an unknown value. `file`, the whole file
        of each clip, where clips are of excerpts. `sampled_by`, the group of that name as a single string.
    """
    by_id = {r.id: r for r in corpus.recordings}
    own = [by_id[i] for i in recording]
    arrays = {SAMPLED_BY: np.array(sampled_by(corpus, split))}
    if any(r.file for r in own):
        arrays[FILE] = np.array([r.unit for r in own])
    for name in _apart_from_class(corpus):
        trained_on = _trained_on(corpus, roles, name)
        arrays[OF_GROUP + name] = np.array([r.groups[name] for r in own])
        arrays[SEEN + name] = np.array([r.groups[name] in trained_on for r in own])
    return arrays


def _trained_on(corpus: Corpus, roles: Mapping[str, str], name: str) -> set[str]:
    """The known values of a group that training recordings have."""
    values = {r.groups[name] for r in corpus.recordings if roles.get(r.id) == "train"}
    return {value for value in values if not is_unknown(value)}


def seen_notes(corpus: Corpus, roles: Mapping[str, str], num_clips: Mapping[str, int]) -> Iterator[str]:
    """Yields, for each group that training and test share, how much of the test is of values that are trained on.

    Args:
        roles: the role of each recording, by id.
        num_clips: number of clips of each recording.
    """
    test = [r for r in corpus.recordings if roles.get(r.id) == "test"]
    total = sum(num_clips[r.id] for r in test)
    names = [name for name in _apart_from_class(corpus) if name not in NO_SAMPLES][:MOST_GROUPS]
    for name in names if total else ():
        trained_on = _trained_on(corpus, roles, name)
        seen = sum(num_clips[r.id] for r in test if r.groups[name] in trained_on)
        unknown = sum(num_clips[r.id] for r in test if is_unknown(r.groups[name]))
        parts = [f"{percent(seen, total)} of test clips are of {an(name)} that is also in training"] * bool(seen)
        parts += [f"the {name} of {percent(unknown, total)} of test clips is unknown"] * bool(unknown)
        if parts:
            yield ", and ".join(parts)


def percent(part: int, total: int) -> str:
    """A share in whole percent, in which 0 and 100 mean none and all.

    >>> percent(1, 1_000), percent(3, 4), percent(999, 1_000)
    ('under 1 %', '75 %', 'over 99 %')
    """
    share = round(100 * part / total)
    return "under 1 %" if not share and part else "over 99 %" if share == 100 and part < total else f"{share} %"


def an(name: str) -> str:
    """A group in a sentence: `a vessel`, `an artist`."""
    return f"{'an' if name[:1].casefold() in ('a', 'e', 'i', 'o', 'u') else 'a'} {name}"


def check_known(recordings: Sequence[Recording], units: Sequence[str], split: str) -> None:
    """Refuses a split by a group that is not known of some recordings, where it would hold trivially.

    Raises:
        CorpusError: with their number, their names and the remedy.
    """
    for unit in units:
        unknown = {r.unit for r in recordings if is_unknown(r.groups.get(unit, ""))}
        if not unknown:
            continue
        none = {r.label for r in recordings} - {r.label for r in recordings if r.unit not in unknown}
        drop = f" (of {', '.join(sorted(none))} none is known)" if none else ", leave them out with --bad-files drop"
        raise CorpusError(
            f"split={split}: the {unit} of {len(unknown)} of {len({r.unit for r in recordings})} recordings is unknown,"
            f" so that they cannot be kept apart: {_some(sorted(unknown))}; add the metafile or table that names it"
            f"{drop}, or choose another split, such as recording"
        )


def components(recordings: Sequence[Recording], units: Sequence[str]) -> dict[str, str]:
    """The component of each recording, by id, where several groups are kept together at once.

    Recordings are in one component if they share a value of any of the groups, or a file, or are joined by others that
    do. Its name is the smallest value that it has of the first group.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    first, *others = sorted(units)
    for r in recordings:
        for node in [*((unit, r.groups[unit]) for unit in others), ("", r.unit)]:
            parent[root(node)] = root((first, r.groups[first]))
    names: dict[tuple[str, str], str] = {}
    for r in sorted(recordings, key=lambda r: r.groups[first]):
        names.setdefault(root((first, r.groups[first])), r.groups[first])
    return {r.id: names[root((first, r.groups[first]))] for r in recordings}


def largest(recordings: Sequence[Recording], units: Sequence[str], num_clips: Mapping[str, int]) -> str:
    """The size of the largest component in words, with what it holds together, and the remedy."""
    of_each = components(recordings, units)
    clips: Counter[str] = Counter()
    members = defaultdict(list)
    for r in recordings:
        clips[of_each[r.id]] += num_clips[r.id]
        members[of_each[r.id]].append(r)
    name = max(sorted(clips), key=lambda component: clips[component])
    values = {unit: sorted({r.groups[unit] for r in members[name]}) for unit in units}
    held = " and ".join(f"{len(its)} of {unit} ({_some(its, 3)})" for unit, its in values.items())
    return (
        f"the largest part that must not be cut has {len(members[name])} of {len(recordings)} recordings, "
        f"{percent(clips[name], clips.total())} of the clips, as they share values one by one: {held}; split by "
        f"{' or '.join(units)} alone, or leave out recordings that join the rest"
    )


def _some(names: Sequence[str], most: int = MOST) -> str:
    """Names for a message: the first ones, and how many there are."""
    first = ", ".join(names[:most])
    return f"{first} and {len(names) - most} more" if len(names) > most else first
