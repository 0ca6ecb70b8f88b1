"""The contract of a corpus: a table of labelled recordings, found in a folder by the module of its name.

A corpus is one file in this folder with a function

    find(root: Path, classes: Sequence[str] = ()) -> Corpus

and, where its authors published a split, `published_split(corpus, num_clips, clip_s, file) -> Split`. What holds for
every copy of it, whatever the folder, it may say too, so that a wrong word is refused before a folder is named:
`CLASS_NAMES`, `GROUPS` (of its recordings), and `SPLIT_FILE`, what the file of the published split is called.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from datasets.engine.refusal import Refusal
from datasets.engine.words.suggest import did_you_mean, listed

SUFFIXES = (".wav", ".rf64", ".w64", ".flac", ".aif", ".aiff", ".aifc")
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8

MAX_SHOWN = 80  # characters of a value in a message
MAX_PATH = 400  # and of a path, whose end tells most


class CorpusError(Refusal, ValueError):
    """A corpus, a split or a cache that must not be used; the message names what and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One file that must not be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        shown = UNWRITABLE.sub(lambda found: ascii(found[0])[1:-1], str(self.path))
        return f"{shown}: {self.reason}"


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


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """A value for a message: what cannot be printed is escaped, and what is long is cut."""
    text = ascii(value) if isinstance(value, str) and UNWRITABLE.search(value) else repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def folder(word: str | Path, flag: str = "") -> Path:
    """A path that a user has given, absolute and with its home folder.

    Raises:
        Refusal: if it is empty, cannot be printed, or cannot be a path on this machine; `flag` stands before it.
    """
    if not (text := str(word)) or UNWRITABLE.search(text):
        remedy = "rename the folder, without control characters, in UTF-8" if text else "name a folder or a file"
        raise Refusal(f"{flag}{shown(text, MAX_PATH)}: {remedy}")
    try:
        path = Path(text).expanduser().resolve()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long, not to be looked at, or the home of nobody
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"{flag}{shown(text)}: cannot be used ({reason}); name another") from None
    return path


def module(name: str) -> ModuleType:
    """The module of a corpus.

    Raises:
        CorpusError: if `name` is not a corpus of this package.
    """
    full, found = f"datasets.{name}", None
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        try:
            found = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    if found is None or getattr(found, "find", find) is find:  # which other modules of this folder have too
        there = ", ".join(corpora())
        near = did_you_mean(corpora(), name)
        raise CorpusError(f"corpus={shown(name)}: datasets/ has no corpus of that name; it has {there}{near}")
    return found


def corpora() -> list[str]:
    """The names of all corpora of this package, sorted; the files are read and not run."""
    files = sorted(Path(__file__).parents[1].glob("*.py"))
    return [p.stem for p in files if re.search(r"^def find\(\s*root\b", p.read_text("utf-8"), re.MULTILINE)]


def find(name: str, root: Path, classes: Sequence[str] = ()) -> Corpus:
    """Finds the recordings of corpus `name` below `root` and holds them to the contract.

    Args:
        classes: those to keep; empty for all that the corpus has.

    Returns:
        The corpus; a file whose name no table can hold is among its problems.

    Raises:
        CorpusError: if the folder or a class has no audio, a class is unknown, or two files have one id.
    """
    root = folder(root, "--data-root ")
    if not root.is_dir():
        raise CorpusError(f"--data-root {root}: there is no such folder")
    corpus = _without_unwritable(module(name).find(root, classes))
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
        near = did_you_mean(known, *unknown)
        raise CorpusError(f"--classes: there is no class {', '.join(unknown)}; there are {listed(known)}{near}")
    return tuple(sorted(set(classes))) or tuple(known)


def _without_unwritable(corpus: Corpus) -> Corpus:
    odd = [r for r in corpus.recordings if UNWRITABLE.search(str(r.path))]
    problems = [Problem(r.path, "rename it, without control characters, in UTF-8") for r in odd]
    kept = tuple(r for r in corpus.recordings if r not in odd)
    return dataclasses.replace(corpus, recordings=kept, problems=(*corpus.problems, *problems))


def recording_id(*parts: str) -> str:
    """The parts of a path as one id that does not depend on the file system's Unicode form."""
    return unicodedata.normalize("NFC", "/".join(parts))


def audio_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Whatever below `folder` is named like audio, sorted; hidden ones (`._x.wav` of macOS) are not audio.

    Raises:
        CorpusError: if a folder cannot be read, or a link leads back above itself.
    """
    found = []
    # Links are followed, and an unreadable folder is an error: `Path.rglob` leaves out both without a word.
    for top, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(top)
        if here.is_symlink() and any(here.samefile(parent) for parent in here.parents):
            raise CorpusError(f"{top}: a link to a folder above it; remove the link")
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [here / name for name in folders + files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in suffixes)


def _refuse(error: OSError) -> None:
    raise CorpusError(f"{error.filename}: cannot be read ({error.strerror})") from None
