"""The contract of a corpus: a table of labelled recordings, found in a folder by the module of the same name.

A corpus is one file in `datasets/` with a function

    find(root: Path, classes: Sequence[str] = ()) -> Corpus

and, if its authors published a split, `published_split(corpus, num_clips, clip_s, file) -> Split`. The file may also
state what is true of every copy of the corpus, so that a wrong class or split is refused before a folder is named:
`CLASS_NAMES`, `GROUPS` (the groups of its recordings), and `SPLIT_FILE` (the name of the published split's file).
`SAMPLED_BY` names the coarsest group that its recordings were sampled by, empty for none: recordings to come are of
other vessels, speakers or sources. `FOLDS = 5` says that the authors published five folds: every recording then has a
group `fold`, 1 to 5, and `published:1` to `published:5` are splits without further code.

A corpus whose files have names of a user's choice says `BY_NAMES = True`, takes two more arguments in `find`: `names`,
the pattern of those names, and `target`, the group that will be the label. It states its `LAYOUT` for the message that
all recordings are of one class.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from datasets.engine.refusal import Refusal
from datasets.engine.words.names import as_list
from datasets.engine.words.suggest import did_you_mean, listed

SUFFIXES = (".wav", ".rf64", ".w64", ".flac", ".aif", ".aiff", ".aifc")
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8

TAKEN = ("recording", "published")  # splits of every corpus, so no names of groups
UNKNOWN = "unknown: "  # begins the value of a group that is not known; the recording's name follows
LABEL = "label"  # the group that has the corpus's own label where another group is the target
MAX_PATTERN = 300  # characters of the pattern of files' names
MAX_SHOWN = 80  # characters of a value in a message
MAX_PATH = 400  # characters of a path in a message; more than of a value, because a path's end says most


class CorpusError(Refusal, ValueError):
    """A corpus, a split or a cache that must not be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One file that must not be used, and the reason."""

    path: Path
    reason: str

    def __str__(self) -> str:
        path = UNWRITABLE.sub(lambda match: ascii(match[0])[1:-1], str(self.path))
        return f"{path}: {self.reason}"


@dataclass(frozen=True)
class Recording:
    """One source file, or an excerpt of it, which a network is given as a recording of its own.

    A split may not divide a file: excerpts of it share a role.

    `id` is the path below the corpus without its suffix, with the class as the corpus spells it and Unicode-normalised
    (NFC): it is the same on every machine. `groups` name what else must not straddle two roles, such as vessel, day,
    speaker or source.
    """

    id: str
    path: Path
    label: str
    groups: Mapping[str, str] = field(default_factory=dict)
    file: str = ""  # of an excerpt, the id that its whole file would have
    start_s: float = 0.0  # of an excerpt, its start in the file [s]
    end_s: float | None = None  # and its end [s]; None for the end of the file

    @property
    def unit(self) -> str:
        """The id of its file, which a split may not divide."""
        return self.file or self.id


@dataclass(frozen=True)
class Corpus:
    """Labelled recordings: `classes` are sorted (a label's index is its position), `recordings` are sorted by id."""

    name: str
    root: Path
    classes: tuple[str, ...]
    recordings: tuple[Recording, ...]
    notes: tuple[str, ...] = ()  # facts that a report must repeat: joins that failed, folders that were ignored
    problems: tuple[Problem, ...] = ()  # files beside the audio that cannot be read

    @property
    def group_names(self) -> tuple[str, ...]:
        """The groups for which every recording has a value."""
        shared = set.intersection(*(set(r.groups) for r in self.recordings)) if self.recordings else set()
        return tuple(sorted(shared))


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """A value for a message: characters that cannot be printed are escaped, and a long value is cut."""
    text = ascii(value) if isinstance(value, str) and UNWRITABLE.search(value) else repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def folder(word: str | Path, flag: str = "") -> Path:
    """A path that a user has given, made absolute, with `~` expanded.

    Args:
        flag: the option that named it; error messages begin with it.

    Raises:
        Refusal: if it is empty, cannot be printed, or cannot be a path on this machine.
    """
    if not (text := str(word)) or UNWRITABLE.search(text):
        remedy = "rename the folder, without control characters, in UTF-8" if text else "name a folder or a file"
        raise Refusal(f"{flag}{shown(text, MAX_PATH)}: {remedy}")
    try:
        path = Path(text).expanduser().resolve()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long, not accessible, or the home of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"{flag}{shown(text)}: cannot be used ({reason}); name another") from None
    return path


def module(name: str) -> ModuleType:
    """The module of a corpus.

    Raises:
        CorpusError: if `name` is not a corpus of this package.
    """
    full, corpus = f"datasets.{name}", None
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        try:
            corpus = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    if corpus is None or getattr(corpus, "find", find) is find:  # other modules may import this very function
        names = ", ".join(corpora())
        near = did_you_mean(corpora(), name)
        raise CorpusError(f"corpus={shown(name)}: datasets/ has no corpus of that name; it has {names}{near}")
    return corpus


def corpora() -> list[str]:
    """The names of all corpora of this package, sorted; their files are read but not run."""
    files = sorted(Path(__file__).parents[1].glob("*.py"))
    return [p.stem for p in files if re.search(r"^def find\(\s*root\b", p.read_text("utf-8"), re.MULTILINE)]


def find(name: str, root: Path, classes: Sequence[str] = (), groups: str = "", target: str = "") -> Corpus:
    """Finds the recordings of corpus `name` below `root` and checks them against the contract.

    Args:
        classes: the classes to keep; empty for all classes of the corpus.
        groups: the pattern of the files' names, for a corpus that takes one (`BY_NAMES`); empty for none.
        target: the group that is the label; empty for the corpus's own label.

    Returns:
        The corpus; files whose names no table can hold are among its problems.

    Raises:
        CorpusError: if the folder or a class has no audio, a class or the target is unknown, two files have one id, all
            recordings are of one class though none was chosen, or two classes differ only by case or blanks.
    """
    corpus = look(name, root, classes, groups, target)
    if wrong := faults(corpus, classes):
        raise CorpusError(wrong[0])
    return corpus


def look(name: str, root: Path, classes: Sequence[str] = (), groups: str = "", target: str = "") -> Corpus:
    """The corpus as `find` finds it, before its check by `faults`.

    Raises:
        CorpusError: if the folder has no audio, a class or the target is unknown, or the corpus takes no `groups`.
    """
    root = folder(root, "--data-root ")
    if not root.is_dir():
        raise CorpusError(f"--data-root {root}: there is no such folder")
    check_groups(name, groups)
    by_names = getattr(module(name), "BY_NAMES", False)
    more = (names_pattern(groups) if groups else None, target) if by_names else ()
    corpus = module(name).find(root, () if target else classes, *more)
    return _without_unwritable(_relabelled(corpus, target, classes) if target else corpus)


def _relabelled(corpus: Corpus, target: str, classes: Sequence[str]) -> Corpus:
    """The corpus with a group as its label; its own label becomes the group `label`.

    Recordings without that group are among the problems.

    Raises:
        CorpusError: if no recording has the group, or a class is none of its values.
    """
    labelled = [
        dataclasses.replace(r, label=value, groups={**r.groups, **({LABEL: r.label} if r.label else {})})
        for r in corpus.recordings
        if (value := r.groups.get(target))
    ]
    check_target(corpus.name, target, sorted({name for r in corpus.recordings for name in r.groups}))
    wanted = chosen({r.label for r in labelled}, classes)
    without = f"has no {target}, the target; name it for every file"
    problems = [Problem(r.path, without) for r in corpus.recordings if not r.groups.get(target)]
    kept = tuple(r for r in labelled if r.label in wanted)
    return dataclasses.replace(corpus, classes=wanted, recordings=kept, problems=(*corpus.problems, *problems))


def faults(corpus: Corpus, classes: Sequence[str] = ()) -> list[str]:
    """The faults that a corpus must not have, each with its remedy; the first is the gravest.

    Args:
        classes: the classes that were chosen, if any.
    """
    lines, root = [], corpus.root
    counts, ids = Counter(r.label for r in corpus.recordings), Counter(r.id for r in corpus.recordings)
    if twice := [r for r in corpus.recordings if ids[r.id] > 1]:
        paths = "\n  ".join(str(r.path) for r in twice[:20])
        lines.append(f"{root}: these files have the same recording ids; keep one file for each id:\n  {paths}")
    if empty := [c for c in corpus.classes if not counts[c]]:
        nonempty = [c for c in corpus.classes if c not in empty]
        remedy = f", or choose classes: --classes {shlex.quote(as_list(nonempty))}" if len(nonempty) > 1 else ""
        lines.append(f"{root}: no audio for class {', '.join(empty)}; add recordings{remedy}")
    if len(corpus.classes) == 1 and not classes:
        layout = getattr(module(corpus.name), "LAYOUT", "is --data-root the corpus's own folder?")
        lines.append(f"{root}: all recordings are of class {corpus.classes[0]}; a network needs two classes; {layout}")
    same: dict[str, list[str]] = {}
    for label in corpus.classes:
        same.setdefault(" ".join(label.casefold().split()), []).append(label)
    for labels in (labels for labels in same.values() if len(labels) > 1):
        lines.append(
            f"{root}: classes {' and '.join(map(shown, labels))} differ only by case or blanks; give them one name"
        )
    return lines


def check_groups(name: str, groups: str) -> None:
    """Refuses a pattern of names for a corpus that reads its names itself.

    Raises:
        CorpusError: with the remedy.
    """
    if groups and not getattr(module(name), "BY_NAMES", False):
        raise CorpusError(f"groups={shown(groups)}: {name} reads its names itself; leave it out, or set corpus=folder")


def check_target(name: str, target: str, groups: Sequence[str]) -> None:
    """Refuses a target that is no group of the corpus.

    Raises:
        CorpusError: with the groups that it has.
    """
    if target not in groups:
        near = did_you_mean(groups, target)
        remedy = f"choose {listed(groups)}, or leave it out" if groups else "leave it out"
        raise CorpusError(f"target={shown(target)}: {name} has no such group; {remedy}{near}")


def names_pattern(groups: str) -> re.Pattern[str]:
    """The pattern of files' names, from a trial's `groups`.

    Raises:
        CorpusError: if it is no regular expression, names no group, or names one by a word that --split has taken.
    """
    example = r"such as '(?P<label>\d)_(?P<speaker>\w+)_'"
    if len(groups) > MAX_PATTERN or UNWRITABLE.search(groups):
        raise CorpusError(f"groups={shown(groups)}: write at most {MAX_PATTERN} printable characters, {example}")
    try:
        compiled = re.compile(groups)
    except (re.error, RecursionError, OverflowError) as error:
        raise CorpusError(f"groups={shown(groups)}: not a regular expression ({error}); write one, {example}") from None
    if not compiled.groupindex:
        raise CorpusError(f"groups={shown(groups)}: names no group; name the label and the groups, {example}")
    if taken := set(TAKEN).intersection(compiled.groupindex):
        raise CorpusError(f"groups={shown(groups)}: --split has its own {min(taken)}; choose another name")
    return compiled


def chosen(all_classes: Iterable[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The requested classes, sorted; all classes if none is requested.

    Raises:
        CorpusError: if a requested class does not exist.
    """
    names = sorted(set(all_classes))
    if unknown := sorted(set(classes) - set(names)):
        near, said = did_you_mean(names, *unknown), [as_list([name]) for name in names]
        if with_comma := [name for name in names if "," in name]:
            near = f"; quote a class with a comma: --classes {shlex.quote(as_list(with_comma[:1]))}"
        raise CorpusError(f"--classes: there is no class {', '.join(unknown)}; there are {listed(said)}{near}")
    return tuple(sorted(set(classes))) or tuple(names)


def _without_unwritable(corpus: Corpus) -> Corpus:
    unwritable = [r for r in corpus.recordings if UNWRITABLE.search(str(r.path))]
    problems = [Problem(r.path, "rename it, without control characters, in UTF-8") for r in unwritable]
    writable = tuple(r for r in corpus.recordings if r not in unwritable)
    return dataclasses.replace(corpus, recordings=writable, problems=(*corpus.problems, *problems))


def recording_id(*parts: str) -> str:
    """The parts of a path, joined to one id that does not depend on the file system's Unicode form."""
    return unicodedata.normalize("NFC", "/".join(parts))


def audio_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Every path below `folder` that is named like audio, sorted; hidden files (`._x.wav` of macOS) are left out.

    Raises:
        CorpusError: if a folder cannot be read, or a link leads back above itself.
    """
    paths = []
    # Links are followed, and an unreadable folder is an error: `Path.rglob` silently leaves out both.
    for top, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        parent_folder = Path(top)
        if parent_folder.is_symlink() and any(parent_folder.samefile(parent) for parent in parent_folder.parents):
            raise CorpusError(f"{top}: a link to a folder above it; remove the link")
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [parent_folder / name for name in folders + files if not name.startswith(".")]
    return sorted(path for path in paths if path.suffix.lower() in suffixes)


def _refuse(error: OSError) -> None:
    raise CorpusError(f"{error.filename}: cannot be read ({error.strerror})") from None
