"""A folder of your own: a folder for each class, or a table of files; further columns and folders are groups.

Three layouts are read:

- `CLASS/file.wav`, and `CLASS/.../file.wav`: the folders between class and file are the groups folder1, folder2, ...;
- `metadata.csv`, `.tsv` or `.jsonl` with the columns file_name and label; every further column is a group. Without a
  column label, the class is the first folder. A table of another name is read if it is the only one with file_name;
- any names of files, described by a regular expression (`--groups '(?P<label>\\d)_(?P<speaker>\\w+)_'`), which is
  matched from the start of each file's name. The part named label is the class, the others are groups.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from datasets.engine.corpus import (
    SUFFIXES,
    TAKEN,
    Corpus,
    CorpusError,
    Problem,
    Recording,
    audio_files,
    chosen,
    recording_id,
    shown,
)
from datasets.engine.files import SEPARATORS, BadText, cells, read_lines, separator
from datasets.engine.words.suggest import listed

BY_NAMES = True
LAYOUT = (
    "make a folder for each class in --data-root, or a metadata.csv, or name the label in --groups '(?P<label>...)'"
)
FORMATS = (*SUFFIXES, ".ogg", ".oga")
UNREAD = (".mp3", ".m4a", ".aac", ".opus", ".wma")  # sound that cannot be held against its own header
TABLES = (".csv", ".tsv", ".jsonl")
FILE_COLUMNS = ("file_name", "filename")
EXCERPTS = ("start_s", "end_s")


@dataclass(frozen=True)
class _Item:
    """A file as its table or path describes it."""

    name: str  # path below the corpus, normalised
    path: Path
    label: str  # empty if neither says it
    groups: dict[str, str]


def find(root: Path, classes: Sequence[str] = (), names: re.Pattern[str] | None = None) -> Corpus:
    """The recordings, by the table if there is one, else by class folders.

    Args:
        names: the pattern of the files' names; what it finds goes before columns and folders.

    Raises:
        CorpusError: if there is no audio, the table cannot be used, no name fits the pattern, a class in `classes`
            does not exist, or nothing tells the class of any file.
    """
    paths = audio_files(root, FORMATS)
    if not paths:
        raise CorpusError(f"{root}: there is no audio (WAV, W64, AIFF, FLAC or Ogg); {LAYOUT}")
    by_name = names is not None and "label" in names.groupindex
    notes: list[str] = _unread(root)
    if table := _table(root):
        items, more = _listed(table, paths, by_name)
        notes += more
    else:
        items = [_placed(recording_id(*path.relative_to(root).parts), path, by_name) for path in paths]
    items = _without_single_levels(items)
    recordings, problems = _named(items, names)
    nameless = "is in no class folder; move it into one"
    problems += [Problem(r.path, nameless) for r in recordings if not r.label]
    labels = {r.label for r in recordings if r.label} | (_folders(root) if not by_name and not table else set())
    if not labels:
        raise CorpusError(f"{root}: nothing says the class of a file; {LAYOUT}")
    wanted = chosen(labels, classes)
    of_wanted = sorted((r for r in recordings if r.label in wanted), key=lambda r: (r.id, str(r.path)))
    here = set(paths)
    gone = f"named by {table.name if table else ''} but missing"
    problems += [Problem(r.path, gone) for r in of_wanted if r.path not in here]
    kept = tuple(r for r in of_wanted if r.path in here)
    return Corpus("folder", root, wanted, kept, tuple(notes), tuple(problems))


def _named(items: Sequence[_Item], names: re.Pattern[str] | None) -> tuple[list[Recording], list[Problem]]:
    """The recordings whose names fit the pattern, and the other files."""
    recordings = [r for item in items if (r := _recording(item, names))]
    if names and items and not recordings:
        first = shown(PurePosixPath(items[0].name).name)
        raise CorpusError(f"--groups {shown(names.pattern)}: no file is named so; the first is {first}")
    fitting = {r.path for r in recordings}
    other = "its name is not as --groups says; rename it"
    return recordings, [Problem(item.path, other) for item in items if item.path not in fitting]


def _recording(item: _Item, names: re.Pattern[str] | None) -> Recording | None:
    """A recording, or None if its name does not fit; what a name says goes before what table and folders say."""
    match = names.match(PurePosixPath(item.name).name) if names else None
    if names and not match:
        return None
    told = {name: value for name, value in (match.groupdict() if match else {}).items() if value}
    label = told.pop("label", item.label)
    return Recording(str(PurePosixPath(item.name).with_suffix("")), item.path, label, item.groups | told)


def _placed(name: str, path: Path, by_name: bool) -> _Item:
    """A file as its folders describe it: the first is the class, unless the files' names tell it."""
    *folders, _ = name.split("/")
    label = "" if by_name or not folders else folders.pop(0)
    return _Item(name, path, label, _levels(folders))


def _levels(folders: Sequence[str]) -> dict[str, str]:
    """A group for each folder; `day1` of one speaker is not that of another, so a value has the folders above it."""
    return {f"folder{depth}": "/".join(folders[:depth]) for depth in range(1, len(folders) + 1)}


def _without_single_levels(items: list[_Item]) -> list[_Item]:
    """The files without the levels that are the same for all, such as `wav/`: they cut nothing."""
    values = defaultdict(set)
    for item in items:
        for name in (name for name in item.groups if re.fullmatch(r"folder\d+", name)):
            values[name].add(item.groups[name])
    single = {name for name, seen in values.items() if len(seen) == 1}
    return [replace(item, groups={k: v for k, v in item.groups.items() if k not in single}) for item in items]


def _folders(root: Path) -> set[str]:
    """The class folders, also those without audio."""
    return {recording_id(p.name) for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}


def _unread(root: Path) -> list[str]:
    """A note on files whose format is not read."""
    paths = audio_files(root, UNREAD)
    formats = ", ".join(sorted({path.suffix.lower() for path in paths}))
    return [f"{len(paths)} files are left out, as {formats} is not read; convert them to FLAC"] if paths else []


def _table(root: Path) -> Path | None:
    """The table of the corpus: metadata.*, or the only other table with a column file_name; None if there is none."""
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() in TABLES and not p.name.startswith("."))
    candidates = [p for p in tables if p.stem == "metadata"] or [p for p in tables if _names_files(p)]
    if len(candidates) > 1:
        raise CorpusError(
            f"{root}: {' and '.join(p.name for p in candidates)} are both tables of files; keep one, as metadata.csv"
        )
    return candidates[0] if candidates else None


def _names_files(path: Path) -> bool:
    try:
        first = next((row for _, row in _rows(path)), {})
        return not set(first).isdisjoint(FILE_COLUMNS)
    except CorpusError:
        return False  # a table of something else


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table, with their line numbers; columns without a name are left out.

    Raises:
        CorpusError: if it is no text, a line of `.jsonl` is no object, or a row has other cells than the header.
    """
    try:
        lines = [(number, line) for number, line in enumerate(read_lines(table), 1) if line.strip(f"{SEPARATORS} ")]
    except BadText as error:
        raise CorpusError(f"{table}: {error}") from None
    if table.suffix.lower() == ".jsonl":
        for number, line in lines:
            yield number, _object(table, number, line)
        return
    separated_by = separator(lines[0][1]) if lines else ","
    columns = [name.strip() for name in cells(lines[0][1], separated_by)] if lines else []
    if twice := [name for name, times in Counter(filter(None, columns)).items() if times > 1]:
        raise CorpusError(f"{table}: has two columns {twice[0]}; rename one")
    for number, line in lines[1:]:
        values = [cell.strip() for cell in cells(line, separated_by)]
        if len(values) != len(columns):
            raise CorpusError(
                f"{table}: line {number} has {len(values)} cells and the header has {len(columns)}; quote a cell that "
                f"has {shown(separated_by)} in it"
            )
        yield number, {name: value for name, value in zip(columns, values, strict=True) if name}


def _object(table: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise CorpusError(f'{table}: line {number} is not an object of JSON; write {{"file_name": ..., "label": ...}}')
    simple = {name: value for name, value in row.items() if isinstance(value, str | int | float)}
    return {name.strip(): str(value).strip() for name, value in simple.items()}


def _listed(table: Path, paths: Sequence[Path], by_name: bool) -> tuple[list[_Item], list[str]]:
    """The files that a table names, also those that are missing, and notes on what it leaves open."""
    root, items = table.parent, []
    files = {recording_id(*path.relative_to(root).parts): path for path in paths}
    rows = list(_rows(table))
    column, labelled = _columns(table, [row for _, row in rows])
    lines: dict[str, int] = {}
    for number, row in rows:
        name = recording_id(str(PurePosixPath(row.pop(column, "").replace("\\", "/"))))
        if name == ".":
            raise CorpusError(f"{table}: line {number} names no file; fill in {column}")
        if name in lines:
            raise CorpusError(f"{table}: lines {lines[name]} and {number} name {shown(name)}; keep one")
        lines[name] = number
        folders = name.split("/")[:-1]
        label = recording_id(row.pop("label", "")) if labelled else "/".join(folders[:1])
        if not label and not by_name:
            tells = ", ".join(row) or "nothing else"
            raise CorpusError(f"{table}: line {number} has no label (it has {tells}); name the label's column label")
        groups = _levels(folders if labelled or by_name else folders[1:]) | {k: v for k, v in row.items() if v}
        items.append(_Item(name, files.get(name, root / name), label, {k: recording_id(v) for k, v in groups.items()}))
    if files.keys().isdisjoint(lines):
        raise CorpusError(f"{table}: none of its {len(rows)} files is there; {column} is a path below {root}")
    named = dict.fromkeys(name for _, row in rows for name in row)
    gaps = [name for name in named if any(name not in item.groups for item in items)]
    notes = [f"{table.name}: {listed(gaps)} is not in every row, so no group"] if gaps else []
    if beyond := len(files.keys() - lines.keys()):
        notes.append(f"{beyond} audio files are left out, as {table.name} does not name them")
    return items, notes


def _columns(table: Path, rows: Sequence[dict[str, str]]) -> tuple[str, bool]:
    """The column that names the files, and whether there is one for labels.

    Raises:
        CorpusError: if there is none, or a column has a name or a meaning that cannot be had.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    column = next((name for name in FILE_COLUMNS if name in columns), None)
    if column is None:
        has = listed(columns) or "no rows"
        raise CorpusError(f"{table}: has no column file_name; it has {has}; give the column of the files that name")
    if excerpts := [name for name in EXCERPTS if name in columns]:
        raise CorpusError(f"{table}: excerpts ({excerpts[0]}) are not read; cut them into files of their own")
    if taken := [name for name in TAKEN if name in columns]:
        raise CorpusError(f"{table}: --split has its own {taken[0]}; rename the column, to source for example")
    return column, "label" in columns
