"""Folds: a corpus in several parts, each of which is scored once, by a network that was trained on the others.

A fold is named `published:K` (of the corpus's own), `GROUP:K/N` or `recording:K/N`; K counts from 1 to N.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.engine.corpus import CorpusError, Recording, module, shown

LEAST = 3  # one fold is scored, one chooses the epoch, and one trains
NAME = re.compile(r"(?P<unit>[^:]+):(?P<number>[0-9]+)(/(?P<total>[0-9]+))?")


@dataclass(frozen=True)
class Fold:
    """One of several folds: it is scored, the next one chooses the epoch, and all others train."""

    unit: str  # "published", "recording", or a group whose members share a fold
    number: int  # from 1
    total: int  # the number of folds; 0 for published ones, which their corpus counts


def fold_named(split: str) -> Fold | None:
    """The fold that a split names; None for a split without folds.

    >>> fold_named("speaker:2/6")
    Fold(unit='speaker', number=2, total=6)
    >>> fold_named("speaker")

    Raises:
        CorpusError: if there can be no such fold.
    """
    if ":" not in split:
        return None
    wrong = f"split={shown(split)}:"
    if not (match := NAME.fullmatch(split)):
        raise CorpusError(f"{wrong} is not the name of a fold; write published:1, recording:1/5 or vessel:1/5")
    unit, number, total = match["unit"], int(match["number"]), int(match["total"] or 0)
    published = unit == "published"
    if published and total:
        raise CorpusError(f"{wrong} published folds have a number already; write published:{number or 1}")
    if not published and not match["total"]:
        first = number or 1
        raise CorpusError(
            f"{wrong} does not say of how many folds; write {unit}:{first}/{max(5, number)}, or published:{first}"
        )
    if not published and total < LEAST:
        raise CorpusError(
            f"{wrong} one fold is scored, one chooses the epoch, and the others train; write at least {LEAST}, "
            f"{unit}:1/{LEAST}"
        )
    if not 1 <= number <= (total or number):
        to = f" to {unit}:{total}/{total}" if total else ""
        raise CorpusError(f"{wrong} folds are counted from 1; write {unit}:1{f'/{total}' if total else ''}{to}")
    fold = Fold(unit, number, total)
    if split != (plain := name_of(fold)):
        raise CorpusError(f"{wrong} has zeros in front; write {plain}")
    return fold


def name_of(fold: Fold) -> str:
    """The split that names a fold."""
    return f"{fold.unit}:{fold.number}" + (f"/{fold.total}" if fold.total else "")


def num_published(corpus: str) -> int:
    """The number of a corpus's own folds; 0 if it has none."""
    return getattr(module(corpus), "FOLDS", 0)


def check_published(fold: Fold, corpus: str) -> None:
    """Refuses a published fold that a corpus does not have.

    Raises:
        CorpusError: with those that it has.
    """
    most, wrong = num_published(corpus), f"split={shown(name_of(fold))}: {corpus} has"
    if not most:
        raise CorpusError(f"{wrong} no published folds; write recording:1/5, or a group in the place of recording")
    if fold.number > most:
        raise CorpusError(f"{wrong} {most} published folds; write published:1 to published:{most}")


def of_published(recordings: Sequence[Recording], total: int) -> dict[str, int]:
    """The published fold of each recording, which its group `fold` states.

    Raises:
        CorpusError: if the group of a recording is none of 1 to `total`.
    """
    numbers = {str(number): number for number in range(1, total + 1)}
    if wrong := [r for r in recordings if r.groups.get("fold") not in numbers]:
        value = shown(wrong[0].groups.get("fold"))
        raise CorpusError(f"{wrong[0].id}: its fold is {value}; write a number of 1 to {total} in the corpus's table")
    return {r.id: numbers[r.groups["fold"]] for r in recordings}


def of_groups(groups: Mapping[str, Sequence[Recording]], num_clips: Mapping[str, int], total: int) -> dict[str, int]:
    """The fold of each group, balanced by clips and stratified by class; the same for the same groups in any order.

    Groups with the rarest class come first, and of those the largest. Each goes to the fold that still lacks most of
    its classes, and among equals to the one that has the smallest share of the clips of its classes. Folds are then
    counted by their first groups, so that with one group a fold, fold 2 is the second group.

    Args:
        groups: the recordings of each group; at least `total` groups.
        num_clips: number of clips of each recording.
    """
    clips: dict[str, Counter[str]] = {group: Counter() for group in groups}
    for group, members in groups.items():
        for recording in members:
            clips[group][recording.label] += num_clips[recording.id]
    having = Counter(label for own in clips.values() for label in own)
    whole = sum(clips.values(), Counter[str]())
    folds: list[Counter[str]] = [Counter() for _ in range(total)]
    members_of: list[list[str]] = [[] for _ in folds]
    for group in sorted(groups, key=lambda g: (min(having[label] for label in clips[g]), -clips[g].total(), g)):
        loads = [_load(fold, clips[group], whole) for fold in folds]
        emptiest = loads.index(min(loads))
        folds[emptiest] += clips[group]
        members_of[emptiest].append(group)
    members_of.sort(key=lambda members: min(map(_natural, members)))
    return {group: number for number, members in enumerate(members_of, 1) for group in members}


def _load(fold: Counter[str], own: Counter[str], whole: Counter[str]) -> tuple[int, float, int]:
    """How full a fold is for a group: how many of its classes it has, its share of their clips, and all its clips.

    Args:
        fold: the clips of each class that are in the fold.
        own: those of the group.
        whole: those of the corpus.
    """
    # The sum of squares of all folds' shares grows by this, apart from a constant; rounded, so that equals are equal.
    share = sum(fold[label] * own[label] / whole[label] ** 2 for label in own)
    return sum(label in fold for label in own), round(share, 12), fold.total()


def roles(fold_of: Mapping[str, int], number: int, total: int) -> dict[str, str]:
    """The role of each member of `fold_of`: fold `number` is for test, the next, cyclically, for validation."""
    role_of = {number: "test", number % total + 1: "validation"}
    return {name: role_of.get(fold, "train") for name, fold in fold_of.items()}


def _natural(name: str) -> list[tuple[int, str]]:
    """A key to sort names by, in which 9 comes before 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts]
