"""Lists of recordings with their roles, `recording,role`, as people publish them.

The first line names the columns, in any order and among others: recording (or file_name, filename, file, path) and role
(or split, subset, set). Cells are separated by commas, semicolons or tabs. A recording is named by its id, or by its
file with or without suffix, and with as much of the path as tells it from others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.engine.corpus import SUFFIXES, Corpus, CorpusError, audio_files, recording_id, shown
from datasets.engine.files import SEPARATORS, BadText, cells, read_lines, separator

RECORDING = ("recording", "file_name", "filename", "file", "path")
ROLE = ("role", "split", "subset", "set")
ROLE_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
AUDIO = (*SUFFIXES, ".ogg", ".oga", ".mp3", ".m4a", ".opus")  # suffixes that a list may name and a copy may lack
MOST = 20  # names in a message
NO_LIST = "its first line must name the columns, recording,role"


def read_list(file: Path) -> dict[str, str] | None:
    """The role of each name in a list; None if its first line does not name the two columns.

    Raises:
        CorpusError: if the file is no text, a line has no role, or a name has two.
    """
    try:
        head, *lines = read_lines(file)
    except BadText as error:
        raise CorpusError(f"--split-file {file}: {error}") from None
    separated_by = separator(head)
    columns = [cell.strip().casefold() for cell in cells(head, separated_by)]
    named = next((columns.index(name) for name in RECORDING if name in columns), None)
    given = next((columns.index(name) for name in ROLE if name in columns), None)
    if named is None or given is None:
        return None
    roles: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        if not line.strip(f" {SEPARATORS}"):
            continue
        row = [cell.strip() for cell in cells(line, separated_by)]
        role = ROLE_OF.get(row[given].casefold()) if len(row) > max(named, given) else None
        if not role or not (name := _plain(row[named])):
            wanted = f"{columns[named]},{columns[given]}"
            raise CorpusError(
                f"--split-file {file}: line {number} is {shown(line)}; it needs {wanted}, and train, validation or test"
            )
        if roles.setdefault(name, role) != role:
            raise CorpusError(
                f"--split-file {file}: line {number} has {name} for {role}, an earlier one for {roles[name]}"
            )
    return roles


def roles_of(listed: Mapping[str, str], corpus: Corpus, file: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """The role of every recording of a corpus, and notes.

    Names of files that are there but no recordings, such as those of classes that were not chosen, are noted.

    Args:
        listed: the result of `read_list`.
        file: the list, for messages.

    Raises:
        CorpusError: if a name fits no file or several, a recording has no role or two, or none is for training or test.
    """
    names, wrong = _Names([(r.id, r.path) for r in corpus.recordings], corpus.root), f"--split-file {file}:"
    roles: dict[str, str] = {}
    unknown = []
    for name, role in listed.items():
        found = names.named(name)
        if len({path for _, path in found}) > 1:
            raise CorpusError(f"{wrong} {name} can be {_some([i for i, _ in found])}; write more of its path")
        for i, _ in found:
            if roles.setdefault(i, role) != role:
                raise CorpusError(f"{wrong} names {i} twice, for {roles[i]} and for {role}; leave one out")
        unknown += [name] * (not found)
    if missing := [r.id for r in corpus.recordings if r.id not in roles]:
        raise CorpusError(f"{wrong} has no role for {_some(missing)}; add them, or take the files out of the folder")
    if absent := [role for role in ("train", "test") if role not in roles.values()]:
        raise CorpusError(f"{wrong} has no recording for {absent[0]}; list some")
    return roles, _left_out(unknown, corpus, wrong)


def _left_out(unknown: Sequence[str], corpus: Corpus, wrong: str) -> tuple[str, ...]:
    """A note on names of files that are no recordings; refuses those of no file."""
    if not unknown:
        return ()
    there = _Names([("", path) for path in audio_files(corpus.root, AUDIO)], corpus.root)
    if nowhere := [name for name in unknown if not there.named(name)]:
        raise CorpusError(
            f"{wrong} names {_some(nowhere)}, which the folder does not have; correct or remove the lines"
        )
    return (f"the published split names {len(unknown)} files more, which are left out here",)


class _Names:
    """The names that a list may have for recordings: their ids, their files' paths, and the ends of both."""

    def __init__(self, recordings: Sequence[tuple[str, Path]], root: Path) -> None:
        self._whole: dict[str, set[tuple[str, Path]]] = defaultdict(set)
        self._ends: dict[str, set[tuple[str, Path]]] = defaultdict(set)
        for i, path in recordings:
            below = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
            for name in filter(None, {i, _without_suffix(recording_id(*below.parts))}):
                self._whole[name].add((i, path))
                for end in _shorter(name):
                    self._ends[end].add((i, path))

    def named(self, name: str) -> list[tuple[str, Path]]:
        """The ids and paths that a name fits; several ids with one path are parts of one file."""
        for whole in (name, _without_suffix(name)):
            if found := self._whole.get(whole) or self._ends.get(whole):
                return sorted(found)
        # A list may have longer paths, such as those of its author's disk; but `Tug/1` must not become `Cargo/1`.
        longer = (self._whole.get(end) for end in _shorter(_without_suffix(name)))
        return sorted(next(filter(None, longer), ()))


def _shorter(name: str) -> list[str]:
    """The ends of a path: `b/c` and `c` of `a/b/c`."""
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]


def _plain(name: str) -> str:
    """A name with the slashes and the Unicode form of ids, without `./` in front."""
    return recording_id(*(part for part in name.replace("\\", "/").split("/") if part not in ("", ".")))


def _without_suffix(name: str) -> str:
    return name[: -len(suffix)] if (suffix := Path(name).suffix) and suffix.lower() in AUDIO else name


def _some(names: Sequence[str]) -> str:
    """Names for a message: the first ones, and how many there are."""
    first = ", ".join(sorted(names)[:MOST])
    return f"{first} and {len(names) - MOST} more" if len(names) > MOST else first
