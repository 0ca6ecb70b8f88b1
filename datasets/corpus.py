"""The contract of a corpus: a table of labelled recordings, found in a folder by the module of its name.

A corpus is one file in this folder with a function

    find(root: Path, classes: Sequence[str] = ()) -> Corpus

and, where its authors published a split, `published_split(corpus, num_clips, clip_s, file) -> Split`.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType


class CorpusError(ValueError):
    """A corpus, a split or a cache that must not be used; the message names what and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One file that must not be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Recording:
    """One source file: the unit that a split may not cut.

    `id` is the path below the corpus without its suffix, with the class's own name, Unicode-normalised (NFC): the same
    on every machine. `groups` say what else must not straddle two roles: vessel, day, speaker, source.
    """

    id: str
    path: Path
    label: str
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """Labelled recordings: `classes` sorted (a label's index is its place), `recordings` sorted by id."""

    name: str
    root: Path
    classes: tuple[str, ...]
    recordings: tuple[Recording, ...]
    notes: tuple[str, ...] = ()  # what the reader of a report must know: joins that failed, folders ignored
    problems: tuple[Problem, ...] = ()  # files beside the audio that cannot be read

    @property
    def group_names(self) -> tuple[str, ...]:
        """The groups that every recording has a value for."""
        shared = set.intersection(*(set(r.groups) for r in self.recordings)) if self.recordings else set()
        return tuple(sorted(shared))


def module(name: str) -> ModuleType:
    """The module of a corpus.

    Raises:
        CorpusError: if `name` is not a corpus of this package.
    """
    full = f"datasets.{name}"
    try:
        found = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        found = None
    if found is None or not hasattr(found, "find"):
        raise CorpusError(f"corpus={name!r}: there is no corpus datasets/{name}.py")
    return found


def find(name: str, root: Path, classes: Sequence[str] = ()) -> Corpus:
    """Finds the recordings of corpus `name` below `root` and holds them to the contract.

    Args:
        classes: those to keep; empty for all that the corpus has.

    Raises:
        CorpusError: if the folder or a class has no audio, a class is unknown, or two files have one id.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise CorpusError(f"--data-root {root}: there is no such folder")
    corpus: Corpus = module(name).find(root, classes)
    ids = Counter(r.id for r in corpus.recordings)
    if twice := [r for r in corpus.recordings if ids[r.id] > 1]:
        listed = "\n  ".join(str(r.path) for r in twice[:20])
        raise CorpusError(f"{root}: these files are one recording by name; keep one of each:\n  {listed}")
    silent = [c for c in corpus.classes if not any(r.label == c for r in corpus.recordings)]
    if silent:
        there = [c for c in corpus.classes if c not in silent]
        remedy = f", or choose classes: --classes {','.join(there)}" if len(there) > 1 else ""
        raise CorpusError(f"{root}: no audio for class {', '.join(silent)}; add recordings{remedy}")
    return corpus


def chosen(all_classes: Iterable[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes asked for, sorted; all of them when none is.

    Raises:
        CorpusError: if one does not exist.
    """
    known = sorted(set(all_classes))
    if unknown := sorted(set(classes) - set(known)):
        raise CorpusError(f"--classes: there is no class {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(sorted(set(classes))) or tuple(known)


def recording_id(*parts: str) -> str:
    """The parts of a path as one id that does not depend on the file system's Unicode form."""
    return unicodedata.normalize("NFC", "/".join(parts))


def audio_files(folder: Path, suffixes: Sequence[str] = (".wav", ".flac")) -> list[Path]:
    """Audio files below `folder` by suffix, sorted; hidden ones (`._x.wav` of macOS) are not audio."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
