"""Shares of a corpus for each role: stratified by class, balanced by clips, and no group in two roles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from datasets.engine.corpus import CorpusError, Recording
from datasets.engine.splitting.groups import components, units_of

Shares = Mapping[str, float]  # of the clips, by role; the first role takes what is left of the places


def members(recordings: Sequence[Recording], unit: str) -> dict[str, list[Recording]]:
    """The recordings of each group; of each file, if the unit is "recording"; of each component, if it is several."""
    groups, units = defaultdict(list), units_of(unit, list(recordings[0].groups) if recordings else ())
    of_each = components(recordings, units) if len(units) > 1 else {}
    for recording in recordings:
        alone = recording.unit if unit == "recording" else recording.groups.get(unit, "")
        groups[of_each.get(recording.id, alone)].append(recording)
    return groups


def shared_out(
    recordings: Sequence[Recording], classes: Sequence[str], num_clips: Mapping[str, int], unit: str, shares: Shares
) -> dict[str, str]:
    """The role of each recording, determined by the sorted ids.

    Groups that have recordings of several classes, such as speakers who all say every word, count for their main class;
    where that leaves a class with too few groups, all groups are shared out together.

    Args:
        classes: all classes, sorted.
        num_clips: number of clips of each recording.
        unit: "recording", or the group or groups whose members share a role.

    Raises:
        CorpusError: if a class has fewer groups than there are roles.
    """
    groups, strata = members(recordings, unit), defaultdict(list)
    for group, its in groups.items():
        strata[_main_class(its, num_clips)].append((group, sum(num_clips[r.id] for r in its)))
    having = groups_of_classes(groups, classes, unit, len(shares))
    assigned: dict[str, str] = {}
    if any(len(strata[label]) < len(shares) for label in classes):
        tries = (_assign_together(groups, having, num_clips, shares, fit) for fit in (True, False))
        assigned = min(tries, key=lambda roles: _num_missing(roles, having, shares))  # the first of equals
    else:
        for label in classes:
            assigned |= _assign(strata[label], shares)
    return {r.id: role for group, role in assigned.items() for r in groups[group]}


def groups_of_classes(
    groups: Mapping[str, Sequence[Recording]], classes: Sequence[str], unit: str, least: int
) -> dict[str, list[str]]:
    """The groups that have recordings of each class, at least `least`.

    Raises:
        CorpusError: if a class has fewer.
    """
    having: dict[str, list[str]] = {label: [] for label in classes}
    for group, its in groups.items():
        for label in {r.label for r in its}:
            having[label].append(group)
    for label, sharing in having.items():
        if len(sharing) < least:
            raise CorpusError(
                f"class {label} has {len(sharing)} {plural(unit)}; a split needs {least}; add recordings, or choose "
                "--classes"
            )
    return having


def plural(unit: str) -> str:
    """A plural for groups of a unit, in messages."""
    return "recordings" if unit == "recording" else f"{unit} groups"


def _main_class(members: list[Recording], num_clips: Mapping[str, int]) -> str:
    """The class of a group with the most clips: a vessel may have two labels, and counts for the larger part."""
    clips: dict[str, int] = defaultdict(int)
    for recording in members:
        clips[recording.label] += num_clips[recording.id]
    return min(clips, key=lambda label: (-clips[label], label))


def _assign(sized: list[tuple[str, int]], shares: Shares) -> dict[str, str]:
    """The roles of the groups of one class: each role has a fixed number of places and a share of the clips to fill.

    From the largest group down, each goes to the role that still needs the most clips per free place, among the roles
    that it does not overfill. Without that condition, ships with many clips swell a small role: on DeepShip by vessel,
    the validation role of Passengership gets 15.8 % instead of 10.0 %.

    Args:
        sized: each group with its number of clips; at least one for each role.
    """
    places = _places(len(sized), shares)
    demand = {role: share * sum(clips for _, clips in sized) for role, share in shares.items()}
    assigned: dict[str, str] = {}
    for group, clips in sorted(sized, key=lambda item: (-item[1], item[0])):
        free = [r for r in shares if places[r]]
        fitting = [r for r in free if demand[r] >= clips]
        role = max(fitting, key=lambda r: demand[r] / places[r]) if fitting else max(free, key=lambda r: demand[r])
        assigned[group] = role
        places[role] -= 1
        demand[role] -= clips
    return assigned


def _assign_together(
    groups: Mapping[str, Sequence[Recording]],
    having: Mapping[str, Sequence[str]],
    num_clips: Mapping[str, int],
    shares: Shares,
    fit: bool,
) -> dict[str, str]:
    """The roles of groups that share their classes: fixed numbers of places, as in `_assign`.

    Groups with the rarest class come first, and of those the largest. Each goes to the role that still lacks most of
    its classes, and among equals to the one that still needs the most clips per free place.

    Args:
        groups: the recordings of each group.
        having: the groups that have recordings of each class; at least one for each role.
        fit: whether to overfill no role where that can be helped; without it, fewer roles lack a class.
    """
    places = _places(len(groups), shares)
    classes_of = {group: {r.label for r in members} for group, members in groups.items()}
    clips_of = {group: sum(num_clips[r.id] for r in members) for group, members in groups.items()}
    rarest = {group: min(len(having[label]) for label in labels) for group, labels in classes_of.items()}
    demand = {role: share * sum(clips_of.values()) for role, share in shares.items()}
    lacking = {role: set(having) for role in shares}
    assigned: dict[str, str] = {}
    for group in sorted(groups, key=lambda g: (rarest[g], -clips_of[g], g)):
        labels = classes_of[group]
        free = [role for role in shares if places[role]]
        free = [role for role in free if fit and demand[role] >= clips_of[group]] or free
        role = max(free, key=lambda role: (len(lacking[role] & labels), demand[role] / places[role]))
        assigned[group] = role
        places[role] -= 1
        demand[role] -= clips_of[group]
        lacking[role] -= labels
    return assigned


def _num_missing(assigned: Mapping[str, str], having: Mapping[str, Sequence[str]], shares: Shares) -> int:
    """How many classes the roles lack."""
    return sum(len(shares) - len({assigned[group] for group in sharing}) for sharing in having.values())


def _places(count: int, shares: Shares) -> dict[str, int]:
    """How many of `count` groups, at least one for each role, each role gets: at least one each."""
    first, *others = shares
    places = {role: max(1, round(shares[role] * count)) for role in others}
    return {first: count - sum(places.values()), **places}
