"""Splits of a corpus: each recording is for training, validation or test, deterministically; a split has a hash."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Recording, module, shown
from datasets.engine.splitting import folds, groups, lists, shares
from datasets.engine.splitting.folds import Fold, fold_named
from datasets.engine.twins import roles as twin_roles
from datasets.engine.twins.finding import Twin
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

    Args:
        num_clips: number of clips of each recording.
        name: "recording"; a group of the corpus, whose members then share a role, or several, joined by plus signs;
            "published", the authors' own; or a fold, as `datasets.engine.splitting.folds` names it.
        clip_s: length of a clip [s]; a published split may require one.
        file: the authors' split file, or a list (`datasets.engine.splitting.lists`), for "published"; where a list has
            no validation, an eighth of training is taken for it.

    Raises:
        CorpusError: if the corpus has no such group or split, the file does not fit it, a class has too few groups, or
            the group of a recording is unknown.
    """
    check_name(name, corpus.name, corpus.group_names, file)
    if name == "published":
        return _published(corpus, num_clips, clip_s, file)
    units = groups.units_of(name, corpus.group_names)
    groups.check_known(corpus.recordings, units, name)
    return _joint(corpus, num_clips, name, units) if len(units) > 1 else _shared_out(corpus, num_clips, name)


def _joint(corpus: Corpus, num_clips: Mapping[str, int], name: str, units: Sequence[str]) -> Split:
    """The split by several groups at once; where it cannot be, the message names the part that cannot be cut."""
    try:
        split = _shared_out(corpus, num_clips, name)
    except CorpusError as error:
        raise CorpusError(f"split={name}: {error}; {groups.largest(corpus.recordings, units, num_clips)}") from None
    for role, labels in _missing(split.roles, corpus).items():
        if labels and (role == "train" or not fold_named(name)):
            why = groups.largest(corpus.recordings, units, num_clips)
            raise CorpusError(f"split={name}: leaves no {', '.join(labels)} for {role}; {why}")
    return split


def _shared_out(corpus: Corpus, num_clips: Mapping[str, int], name: str) -> Split:
    """The split by shares or into folds, by one unit or several."""
    if fold := fold_named(name):
        return _one_fold(corpus, num_clips, fold)
    share_of = dict(zip(ROLES, SHARES, strict=True))
    return Split(name, shares.shared_out(corpus.recordings, corpus.classes, num_clips, name, share_of))


def _published(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The split that a file lists, or the corpus's own.

    Raises:
        CorpusError: if the file is no list, or parts of one recording have two roles.
    """
    split = _as_listed(corpus, num_clips, clip_s, file)
    if in_two := _straddling({r.id: r.unit for r in corpus.recordings if r.file and r.id in split.roles}, split):
        told = "\n  ".join(f"{unit}: {where}" for unit, where in sorted(in_two.items()))
        raise CorpusError(f"split=published: these recordings have parts in two roles; give each one role:\n  {told}")
    return split


def _as_listed(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    corpus_module = module(corpus.name)
    listed = lists.read_list(file) if file else None
    if file is None or (listed is None and hasattr(corpus_module, "SPLIT_FILE")):
        own: Split = corpus_module.published_split(corpus, num_clips, clip_s, file)
        return own
    if listed is None:
        raise CorpusError(f"--split-file {file}: {lists.NO_LIST}")
    roles, notes = lists.roles_of(listed, corpus, file)
    if "validation" in roles.values():
        return Split("published", roles, notes)
    train = [r for r in corpus.recordings if roles[r.id] == "train"]
    unit = _coarsest(train, [r for r in corpus.recordings if roles[r.id] == "test"], corpus)
    share = SHARES[1] / (SHARES[0] + SHARES[1])
    cut = shares.shared_out(train, corpus.classes, num_clips, unit, {"train": 1 - share, "validation": share})
    taken = sum(role == "validation" for role in cut.values())
    by = "" if unit == "recording" else f", whole {unit} groups"
    note = (
        f"the published split has no validation: {taken} of its {len(train)} training recordings are taken for it{by}"
    )
    return Split("published", roles | cut, (*notes, note))


def _coarsest(train: Sequence[Recording], test: Sequence[Recording], corpus: Corpus) -> str:
    """The unit by which validation is cut out of training: the group with the fewest members that the list keeps apart.

    A group that stands in training and in test must not be kept apart in validation either, which would be harder than
    the test. Groups of which training has fewer than four, or a class fewer than two, cannot give a part of it.
    """
    choice = []
    for name in corpus.group_names:
        having = Counter(label for _, label in {(r.groups[name], r.label) for r in train})
        values = {r.groups[name] for r in train}
        if (
            len(values) >= 4
            and min(having.values()) >= 2
            and values.isdisjoint(r.groups[name] for r in test)
            and not any(map(groups.is_unknown, values))
        ):
            choice.append((len(values), name))
    return min(choice)[1] if choice else "recording"


def _one_fold(corpus: Corpus, num_clips: Mapping[str, int], fold: Fold) -> Split:
    """The split that scores one fold; its notes say which classes the smaller roles lack."""
    name, total = folds.name_of(fold), fold.total
    if fold.unit == "published":
        total = folds.num_published(corpus.name)
        number_of = folds.of_published(corpus.recordings, total)
    else:
        members_of = shares.members(corpus.recordings, fold.unit)
        shares.groups_of_classes(members_of, corpus.classes, fold.unit, len(ROLES))
        if len(members_of) < total:
            most, unit = len(members_of), shares.plural(fold.unit)
            raise CorpusError(f"split={name}: there are {most} {unit}; write {fold.unit}:1/{most}, or a smaller number")
        of_group = folds.of_groups(members_of, num_clips, total)
        number_of = {r.id: of_group[group] for group, members in members_of.items() for r in members}
    roles = folds.roles(number_of, fold.number, total)
    missing = _missing(roles, corpus)
    return Split(name, roles, tuple(f"split={name}: no {', '.join(missing[r])} in {r}" for r in ROLES if missing[r]))


def _missing(roles: Mapping[str, str], corpus: Corpus) -> dict[str, list[str]]:
    """The classes that each role lacks."""
    having = {(r.label, roles[r.id]) for r in corpus.recordings if r.id in roles}
    return {role: [label for label in corpus.classes if (label, role) not in having] for role in ROLES}


def check_name(name: str, corpus: str, own: Sequence[str] | None = None, file: Path | None = None) -> None:
    """Refuses a split that a corpus cannot have, or that needs the authors' file.

    Args:
        own: the groups of the recordings; None for those that the module of the corpus declares, if any.

    Raises:
        CorpusError: with the splits that exist.
    """
    corpus_module, fold = module(corpus), fold_named(name)
    if fold and fold.unit == "published":
        folds.check_published(fold, corpus)
        return
    unit = fold.unit if fold else name
    own = getattr(corpus_module, "GROUPS", None) if own is None else own
    published = ("published",) * (hasattr(corpus_module, "published_split") or file is not None)
    if unit == "recording" or (unit != "published" and own is None):
        return
    if len(units := groups.units_of(unit, own or ())) > 1:
        _check_joint(name, corpus, units, own or ())
    elif unit not in (*published, *(own or ())):
        choice = ("recording", *published, *(own or ("a group of its recordings",)))
        near = did_you_mean(choice, unit)
        if unit == "published":
            most = folds.num_published(corpus)
            own = f"choose a fold, published:1 to published:{most}, or " if most else "for published, "
            near = f"; {own}list the roles in a file, recording,role, and name it with --split-file"
        raise CorpusError(f"split={shown(name)}: {corpus} can be split by {', '.join(choice)}{near}")
    if unit == "published" and file is None and (needed := getattr(corpus_module, "SPLIT_FILE", "")):
        raise CorpusError(f"split=published: name the authors' file with --split-file {needed}")


def _check_joint(name: str, corpus: str, units: Sequence[str], own: Sequence[str]) -> None:
    """Refuses a split by several groups at once that are not different groups of the corpus."""
    wrong = [unit for unit in units if unit not in own or units.count(unit) > 1]
    if wrong:
        why = f"names {wrong[0]} twice" if wrong[0] in own else f"{corpus} has no group {shown(wrong[0])}"
        near = did_you_mean(own, wrong[0]) if wrong[0] not in own else ""
        raise CorpusError(f"split={shown(name)}: {why}; join different ones of {', '.join(own) or 'none'}{near}")


def check(split: Split, corpus: Corpus, sha256_of: Mapping[str, str], twins: Sequence[Twin] = ()) -> None:
    """Refuses a split in which one group or the same audio has two roles, or a role lacks a class.

    The same audio must not have two labels either; excerpts of a file may. In the authors' own split, the same sound in
    other bytes is noted (`twin_notes`) and not refused, so that their numbers can be compared.

    The validation and test of a fold may lack a class, as where a speaker leaves a word out.

    Args:
        sha256_of: the hash of each recording's file, by recording id.
        twins: the files with the same sound in other bytes.

    Raises:
        CorpusError: with the names of what straddles two roles or has two labels, or of the missing class.
    """
    by_id = {r.id: r for r in corpus.recordings}
    straddling = _straddling({i: sha256_of[i] for i in split.roles}, split)
    if straddling:
        raise CorpusError(
            "the same audio is in two roles; remove one of each pair:\n  " + "\n  ".join(sorted(straddling.values()))
        )
    whole = [r for r in corpus.recordings if not r.file or (not r.start_s and r.end_s is None)]  # pieces, not excerpts
    _check_labels([r for r in whole if r.id in split.roles], sha256_of)
    fold = fold_named(split.name)
    if not _is_the_authors(split, corpus):
        twin_roles.check(_twins(split, corpus, sha256_of, twins), split.roles)
    unit = fold.unit if fold else split.name
    if unit in corpus.group_names:
        in_two = _straddling({i: by_id[i].groups[unit] for i in split.roles}, split)
        if in_two:
            straddlers = "\n  ".join(f"{group}: {where}" for group, where in sorted(in_two.items()))
            raise CorpusError(f"split={split.name}: these groups are in two roles:\n  {straddlers}")
    for role, labels in _missing(split.roles, corpus).items():
        none_at_all = len(labels) == len(corpus.classes)
        if labels and (role == "train" or none_at_all or not fold):
            raise CorpusError(
                f"split={split.name}: no {', '.join(labels)} in {role}; add recordings, or choose --classes"
            )


def twin_notes(split: Split, corpus: Corpus, sha256_of: Mapping[str, str], twins: Sequence[Twin]) -> tuple[str, ...]:
    """Notes on the recordings of a checked split that have the same sound in other bytes."""
    return tuple(twin_roles.notes(_twins(split, corpus, sha256_of, twins), split.roles))


def _twins(split: Split, corpus: Corpus, sha256_of: Mapping[str, str], twins: Sequence[Twin]) -> list[twin_roles.Pair]:
    return list(twin_roles.pairs([r for r in corpus.recordings if r.id in split.roles], sha256_of, twins))


def _is_the_authors(split: Split, corpus: Corpus) -> bool:
    """Whether a split is one that the authors of the corpus published."""
    fold = fold_named(split.name)
    if fold:
        return fold.unit == "published"
    return split.name == "published" and hasattr(module(corpus.name), "published_split")


def _check_labels(recordings: Sequence[Recording], sha256_of: Mapping[str, str]) -> None:
    labels_of: dict[str, dict[str, str]] = defaultdict(dict)
    for recording in recordings:
        labels_of[sha256_of[recording.id]].setdefault(recording.label, recording.id)
    if twice := [" and ".join(ids.values()) for ids in labels_of.values() if len(ids) > 1]:
        raise CorpusError("the same audio has two labels; keep one of each:\n  " + "\n  ".join(sorted(twice)))


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
