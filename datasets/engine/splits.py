"""Splits of a corpus: each recording is for training, validation or test, deterministically; a split has a hash."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Recording, module, shown
from datasets.engine.words.suggest import did_you_mean

ROLES = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)  # of the clips, in the order of ROLES


@dataclass(frozen=True)
class Split:
    """The role of every recording id. `notes` are facts that a report must repeat."""

    name: str
    roles: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def to_csv(self) -> str:
        """The manifest: `recording,role`, sorted by recording."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("recording", "role"))
        writer.writerows(sorted(self.roles.items()))
        return out.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Hash of the manifest."""
        return hashlib.sha256(self.to_csv().encode()).hexdigest()

    def counts(self, num_clips: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """The numbers of recordings and clips of each role."""
        members = {role: [i for i, assigned in self.roles.items() if assigned == role] for role in ROLES}
        return {role: (len(ids), sum(num_clips[i] for i in ids)) for role, ids in members.items()}


def read(path: Path) -> Split:
    """Reads a split from its manifest.

    Raises:
        CorpusError: if the file is not a split manifest.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path}: the split cannot be read ({error})") from None
    if header != ["recording", "role"] or any(len(row) != 2 or row[1] not in ROLES for row in rows):
        raise CorpusError(f"{path}: not a split manifest (recording,role)")
    if len(roles := dict(rows)) < len(rows):
        raise CorpusError(f"{path}: names a recording twice")
    return Split(path.stem, roles)


def write(split: Split, folder: Path) -> Path:
    """Stores the manifest under its hash; writes all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split.sha256[:16]}.csv"
    if not path.exists():
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(split.to_csv(), encoding="utf-8")
        part.replace(path)
    return path


def make(
    corpus: Corpus, num_clips: Mapping[str, int], name: str = "recording", clip_s: float = 5.0, file: Path | None = None
) -> Split:
    """The split `name` of a corpus: 70/10/20, stratified by class, balanced by clips, determined by the sorted ids.

    Groups that have recordings of several classes, such as speakers who all say every word, count for their main class;
    where that leaves a class with too few groups, all groups are shared out together.

    Args:
        num_clips: number of clips of each recording.
        name: "recording"; a group of the corpus, whose members then share a role; or "published", the authors' own.
        clip_s: length of a clip [s]; a published split may require one.
        file: the authors' split file, for "published".

    Raises:
        CorpusError: if the corpus has no such group or split, or if a class has too few groups for three roles.
    """
    check_name(name, corpus.name, corpus.group_names, file)
    if name == "published":
        published: Split = module(corpus.name).published_split(corpus, num_clips, clip_s, file)
        return published
    groups = defaultdict(list)
    for recording in corpus.recordings:
        groups[recording.unit if name == "recording" else recording.groups[name]].append(recording)
    strata = defaultdict(list)
    for group, members in groups.items():
        strata[_main_class(members, num_clips)].append((group, sum(num_clips[r.id] for r in members)))
    having = _groups_of_classes(corpus, groups, name)
    if any(len(strata[label]) < len(ROLES) for label in corpus.classes):
        tries = (_assign_together(groups, having, num_clips, fit) for fit in (True, False))
        together = min(tries, key=lambda assigned: _num_missing(assigned, having))  # the first of equals
        return Split(name, {r.id: role for group, role in together.items() for r in groups[group]})
    roles: dict[str, str] = {}
    for label in corpus.classes:
        assigned = _assign(strata[label])
        roles |= {r.id: role for group, role in assigned.items() for r in groups[group]}
    return Split(name, roles)


def check_name(name: str, corpus: str, groups: Sequence[str] | None = None, file: Path | None = None) -> None:
    """Refuses a split that a corpus cannot have, or that needs the authors' file.

    Args:
        groups: the groups of the recordings; None for those that the module of the corpus declares, if any.

    Raises:
        CorpusError: with the splits that exist.
    """
    corpus_module = module(corpus)
    groups = getattr(corpus_module, "GROUPS", None) if groups is None else groups
    published = ("published",) * hasattr(corpus_module, "published_split")
    if name == "recording" or (name != "published" and groups is None):
        return
    if name not in (*published, *(groups or ())):
        choice = ("recording", *published, *(groups or ("a group of its recordings",)))
        near = did_you_mean(choice, name)
        raise CorpusError(f"split={shown(name)}: {corpus} can be split by {', '.join(choice)}{near}")
    if name == "published" and file is None and (needed := getattr(corpus_module, "SPLIT_FILE", "")):
        raise CorpusError(f"split=published: name the authors' file with --split-file {needed}")


def check(split: Split, corpus: Corpus, sha256_of: Mapping[str, str]) -> None:
    """Refuses a split in which one group or the same audio has two roles, or a role lacks a class.

    Args:
        sha256_of: the hash of each recording's file, by recording id.

    Raises:
        CorpusError: with the names of what straddles two roles, or of the missing class.
    """
    by_id = {r.id: r for r in corpus.recordings}
    straddling = _straddling({i: sha256_of[i] for i in split.roles}, split)
    if straddling:
        raise CorpusError(
            "the same audio is in two roles; remove one of each pair:\n  " + "\n  ".join(sorted(straddling.values()))
        )
    if split.name in corpus.group_names:
        groups = _straddling({i: by_id[i].groups[split.name] for i in split.roles}, split)
        if groups:
            straddlers = "\n  ".join(f"{group}: {where}" for group, where in sorted(groups.items()))
            raise CorpusError(f"split={split.name}: these groups are in two roles:\n  {straddlers}")
    for role in ROLES:
        labels = {by_id[i].label for i, assigned in split.roles.items() if assigned == role}
        if missing := sorted(set(corpus.classes) - labels):
            raise CorpusError(
                f"split={split.name}: no {', '.join(missing)} in {role}; add recordings, or choose --classes"
            )


def _straddling(group_of: Mapping[str, str], split: Split) -> dict[str, str]:
    """The groups that have two roles, each with its recordings and their roles."""
    members = defaultdict(list)
    for recording, group in group_of.items():
        members[group].append(recording)
    return {
        group: ", ".join(f"{i} ({split.roles[i]})" for i in sorted(ids))
        for group, ids in members.items()
        if len({split.roles[i] for i in ids}) > 1
    }


def _main_class(members: list[Recording], num_clips: Mapping[str, int]) -> str:
    """The class of a group with the most clips: a vessel may have two labels, and counts for the larger part."""
    clips: dict[str, int] = defaultdict(int)
    for recording in members:
        clips[recording.label] += num_clips[recording.id]
    return min(clips, key=lambda label: (-clips[label], label))


def _assign(sized: list[tuple[str, int]]) -> dict[str, str]:
    """The roles of the groups of one class: each role has a fixed number of places and a share of the clips to fill.

    From the largest group down, each goes to the role that still needs the most clips per free place, among the roles
    that it does not overfill. Without that condition, ships with many clips swell a small role: on DeepShip by vessel,
    the validation role of Passengership gets 15.8 % instead of 10.0 %.

    Args:
        sized: each group with its number of clips; at least three.
    """
    places = _places(len(sized))
    demand = {role: share * sum(clips for _, clips in sized) for role, share in zip(ROLES, SHARES, strict=True)}
    assigned: dict[str, str] = {}
    for group, clips in sorted(sized, key=lambda item: (-item[1], item[0])):
        free = [r for r in ROLES if places[r]]
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
    fit: bool,
) -> dict[str, str]:
    """The roles of groups that share their classes: fixed numbers of places, as in `_assign`.

    Groups with the rarest class come first, and of those the largest. Each goes to the role that still lacks most of
    its classes, and among equals to the one that still needs the most clips per free place.

    Args:
        groups: the recordings of each group.
        having: the groups that have recordings of each class; at least three.
        fit: whether to overfill no role where that can be helped; without it, fewer roles lack a class.
    """
    places = _places(len(groups))
    classes_of = {group: {r.label for r in members} for group, members in groups.items()}
    clips_of = {group: sum(num_clips[r.id] for r in members) for group, members in groups.items()}
    rarest = {group: min(len(having[label]) for label in labels) for group, labels in classes_of.items()}
    demand = {role: share * sum(clips_of.values()) for role, share in zip(ROLES, SHARES, strict=True)}
    lacking = {role: set(having) for role in ROLES}
    assigned: dict[str, str] = {}
    for group in sorted(groups, key=lambda g: (rarest[g], -clips_of[g], g)):
        labels = classes_of[group]
        free = [role for role in ROLES if places[role]]
        free = [role for role in free if fit and demand[role] >= clips_of[group]] or free
        role = max(free, key=lambda role: (len(lacking[role] & labels), demand[role] / places[role]))
        assigned[group] = role
        places[role] -= 1
        demand[role] -= clips_of[group]
        lacking[role] -= labels
    return assigned


def _groups_of_classes(corpus: Corpus, groups: Mapping[str, Sequence[Recording]], name: str) -> dict[str, list[str]]:
    """The groups that have recordings of each class, at least three.

    Args:
        name: the split, for messages.

    Raises:
        CorpusError: if a class has fewer.
    """
    having: dict[str, list[str]] = {label: [] for label in corpus.classes}
    for group, members in groups.items():
        for label in {r.label for r in members}:
            having[label].append(group)
    for label, sharing in having.items():
        if len(sharing) < len(ROLES):
            unit = "recordings" if name == "recording" else f"{name} groups"
            raise CorpusError(
                f"class {label} has {len(sharing)} {unit}; a split needs 3; add recordings, or choose --classes"
            )
    return having


def _num_missing(assigned: Mapping[str, str], having: Mapping[str, Sequence[str]]) -> int:
    """How many classes the roles lack."""
    return sum(len(ROLES) - len({assigned[group] for group in sharing}) for sharing in having.values())


def _places(count: int) -> dict[str, int]:
    """How many of `count` groups, at least three, each role gets: at least one each."""
    validation, test = (max(1, round(share * count)) for share in SHARES[1:])
    return dict(zip(ROLES, (count - validation - test, validation, test), strict=True))
