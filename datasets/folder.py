"""A folder of your own: a folder for each class, or a table of files; further columns and folders are groups.

Four layouts are read:

- `CLASS/file.wav`, and `CLASS/.../file.wav`: the folders between class and file are the groups folder1, folder2, ...;
- `metadata.csv`, `.tsv` or `.jsonl` with the columns file_name and label; every further column is a group. Without a
  column label, the class is the first folder. A table of another name is read if it is the only one with file_name.
  With the columns start_s and end_s, a row is an excerpt of its file [s], and several rows may name one file;
- Raven's selection tables and Audacity's labels beside the audio (`datasets.engine.decoding.excerpts`): each row is
  an excerpt;
- any names of files, described by a regular expression (`--groups '(?P<label>\\d)_(?P<speaker>\\w+)_'`), which is
  matched from the start of each file's name. The part named label is the class, the others are groups.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
from datasets.engine.decoding import excerpts
from datasets.engine.decoding.audio import duration_s
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
ROUNDING_S = 0.01  # an excerpt may end this much after its file, as tables have rounded times


@dataclass(frozen=True)
class _Item:
    """A file as its table or path describes it."""

    name: str  # path below the corpus, normalised
    path: Path
    label: str  # empty if neither says it
    groups: dict[str, str]
    span: tuple[float, float] | None = None  # of an excerpt: start and end [s]
    row: tuple[Path, int] | None = None  # of an excerpt: the table and its line

    def bad(self, reason: str) -> Problem:
        """The row as a problem."""
        table, line = self.row or (self.path, 0)
        return Problem(table, f"line {line}: {reason}")

    def cut(self, start: str, end: str) -> _Item | Problem:
        """The excerpt between two times [s], or what is wrong with them."""
        try:
            return replace(self, span=excerpts.span(start, end))
        except ValueError as error:
            return self.bad(str(error))


def find(root: Path, classes: Sequence[str] = (), names: re.Pattern[str] | None = None, target: str = "") -> Corpus:
    """The recordings, by the table if there is one, else by class folders.

    Args:
        names: the pattern of the files' names; what it finds goes before columns and folders.
        target: the group that will be the label; a file that has it needs no other label, which is then empty.

    Raises:
        CorpusError: if there is no audio, the table cannot be used, no name fits the pattern, a class in `classes`
            does not exist, or nothing tells the class of any file.
    """
    paths = audio_files(root, FORMATS)
    if not paths:
        raise CorpusError(f"{root}: there is no audio (WAV, W64, AIFF, FLAC or Ogg); {LAYOUT}")
    by_name = names is not None and "label" in names.groupindex
    items, notes, bad_rows, table = _described(root, paths, by_name, target)
    recordings, problems = _named(items, names)
    nameless, unlabelled = "is in no class folder; move it into one", [r for r in recordings if not r.label]
    problems += [*bad_rows, *(Problem(r.path, nameless) for r in unlabelled if target not in r.groups)]
    labels = {r.label for r in recordings if r.label} | (_folders(root) if not by_name and not table else set())
    if not labels and not target:
        raise CorpusError(f"{root}: nothing says the class of a file; {LAYOUT}")
    wanted = chosen(labels, classes)
    told = [r for r in recordings if r.label in wanted or (not r.label and target in r.groups)]
    of_wanted = sorted(told, key=lambda r: (r.id, str(r.path)))
    here = set(paths)
    gone = f"named by {table} but missing"
    problems += [Problem(r.path, gone) for r in of_wanted if r.path not in here]
    kept = tuple(r for r in of_wanted if r.path in here)
    return Corpus("folder", root, wanted, kept, (*_unread(root), *notes), tuple(problems))


def _described(
    root: Path, paths: Sequence[Path], by_name: bool, target: str
) -> tuple[list[_Item], list[str], list[Problem], str]:
    """The files and excerpts by the table if there is one, else by annotations, else by their folders.

    Returns:
        Them, notes on what is left open, the bad rows, and what names the files; empty for folders.
    """
    table, annotated = _table(root), excerpts.tables(audio_files(root, (".txt",)), paths)
    notes: list[str] = []
    bad: list[Problem] = []
    if table:
        items, notes, bad = _listed(table, paths, by_name, target)
        if annotated:
            notes.append(f"{len(annotated)} annotation tables are left out, as {table.name} names the files")
    elif annotated:
        items, notes, bad = _annotated(root, annotated, paths)
    else:
        items = [_placed(recording_id(*path.relative_to(root).parts), path, by_name) for path in paths]
    items, again = _once(_without_single_levels(items))
    items, beyond = _within(items)
    named_by = table.name if table else "annotations" * bool(annotated)
    return items, [*notes, *_overlapping(items)], [*bad, *again, *beyond], named_by


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
    name, groups = str(PurePosixPath(item.name).with_suffix("")), item.groups | told
    if item.span is None:
        return Recording(name, item.path, label, groups)
    return Recording(f"{name}@{_times(item.span)}", item.path, label, groups, name, *item.span)


def _times(span: tuple[float, float]) -> str:
    """The times of an excerpt for its id, in seconds: `1.5-3.25`."""
    return "-".join(f"{seconds:.6f}".rstrip("0").rstrip(".") for seconds in span)


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


def _listed(
    table: Path, paths: Sequence[Path], by_name: bool, target: str
) -> tuple[list[_Item], list[str], list[Problem]]:
    """The files that a table names, also those that are missing; notes on what it leaves open, and its bad rows."""
    files = {recording_id(*path.relative_to(table.parent).parts): path for path in paths}
    rows = list(_rows(table))
    column, labelled = _columns(table, [row for _, row in rows])
    needs_none = by_name or any(target in row for _, row in rows)
    described = [_of_row(table, number, row, column, labelled, needs_none) for number, row in rows]
    items = [replace(item, path=files.get(item.name, item.path)) for item in described if isinstance(item, _Item)]
    bad = [row for row in described if isinstance(row, Problem)]
    lines: dict[str, int] = {}
    for item, number in ((item, item.row[1]) for item in items if item.row and item.span is None):
        if (first := lines.setdefault(item.name, number)) != number:
            raise CorpusError(f"{table}: lines {first} and {number} name {shown(item.name)}; keep one")
    names = {item.name for item in items}
    if files.keys().isdisjoint(names):
        if bad:
            raise CorpusError(str(bad[0]))
        raise CorpusError(f"{table}: none of its {len(rows)} files is there; {column} is a path below {table.parent}")
    named = dict.fromkeys(name for _, row in rows for name in row)
    gaps = [name for name in named if any(name not in item.groups for item in items)]
    notes = [f"{table.name}: {listed(gaps)} is not in every row, so no group"] if gaps else []
    if beyond := len(files.keys() - names):
        notes.append(f"{beyond} audio files are left out, as {table.name} does not name them")
    return items, notes, bad


def _of_row(
    table: Path, number: int, row: dict[str, str], column: str, labelled: bool, by_name: bool
) -> _Item | Problem:
    """A file or an excerpt as its row describes it, or what is wrong with the times; leaves the groups in the row.

    Raises:
        CorpusError: if the row names no file, or has no label.
    """
    name = recording_id(str(PurePosixPath(row.pop(column, "").replace("\\", "/"))))
    if name == ".":
        raise CorpusError(f"{table}: line {number} names no file; fill in {column}")
    times, folders = [row.pop(key, "") for key in EXCERPTS], name.split("/")[:-1]
    label = recording_id(row.pop("label", "")) if labelled else "/".join(folders[:1])
    if not label and not by_name:
        tells = ", ".join(row) or "nothing else"
        raise CorpusError(
            f"{table}: line {number} has no label (it has {tells}); name the label's column label, or --target COLUMN"
        )
    groups = _levels(folders if labelled or by_name else folders[1:]) | {k: v for k, v in row.items() if v}
    groups = {k: recording_id(v) for k, v in groups.items()}
    item = _Item(name, table.parent / name, label, groups, row=(table, number))
    return item.cut(*times) if any(times) else item


def _annotated(
    root: Path, tables: Mapping[Path, Sequence[excerpts.Row]], paths: Sequence[Path]
) -> tuple[list[_Item], list[str], list[Problem]]:
    """The excerpts of annotation tables; notes on what they leave open, and their bad rows.

    Raises:
        CorpusError: if no row can be used.
    """
    pairs = [(table, row) for table, rows in tables.items() for row in rows]
    files = {(table, name): excerpts.file_of(table, name, paths) for table, name in {(t, row.name) for t, row in pairs}}
    described = [_of_annotation(root, table, row, files[table, row.name]) for table, row in pairs]
    items = [item for item in described if isinstance(item, _Item)]
    bad = [row for row in described if isinstance(row, Problem)]
    if not items:
        first = str(bad[0]) if bad else f"{root}: its annotation tables have no rows"
        raise CorpusError(f"{first}; no other row can be used either")
    notes = [f"excerpts by {len(tables)} annotation tables"]
    if left := len(set(paths) - {item.path for item in items}):
        notes.append(f"{left} audio files are left out, as no annotation is of them")
    return items, notes, bad


def _of_annotation(root: Path, table: Path, row: excerpts.Row, path: Path | None) -> _Item | Problem:
    """An excerpt of the file at `path` as its annotation describes it, or what is wrong with the row."""
    name = recording_id(*(path or table).relative_to(root).parts)
    groups = _levels(name.split("/")[:-1]) | {k: recording_id(v) for k, v in row.groups.items()}
    item = _Item(name, path or table, recording_id(row.label), groups, row=(table, row.line))
    if path is None:
        return item.bad(f"there is no {row.name or 'audio after which the table is named'}; put it into the folder")
    return item.cut(row.start, row.end) if row.label else item.bad("has no label; fill it in")


def _once(items: Sequence[_Item]) -> tuple[list[_Item], list[Problem]]:
    """The items without the excerpts that another row has already, and those."""
    first: dict[tuple[Path, object], _Item] = {}
    good, bad = [], []
    for item in items:
        other = first.setdefault((item.path, item.span), item)
        if item.span and other is not item and other.row:
            bad.append(item.bad(f"is the excerpt of line {other.row[1]} of {other.row[0].name} again; keep one"))
        else:
            good.append(item)
    return good, bad


def _within(items: Sequence[_Item]) -> tuple[list[_Item], list[Problem]]:
    """The items without the excerpts that lie beyond the end of their files, and those."""
    ends = {path: duration_s(path) for path in {item.path for item in items if item.span}}
    good, bad = [], []
    for item in items:
        end = ends.get(item.path)
        if item.span and end is not None and item.span[1] > end + ROUNDING_S:
            bad.append(item.bad(f"its excerpt ends at {item.span[1]:g} s, and {item.path.name} at {end:.2f} s"))
        else:
            good.append(item)
    return good, bad


def _overlapping(items: Sequence[_Item]) -> list[str]:
    """A note on excerpts that overlap with one of another class, as a clip has one label."""
    of_file, num = defaultdict(list), 0
    for item in items:
        if item.span:
            of_file[item.path].append((*item.span, item.label))
    for spans in of_file.values():
        open_ones: list[tuple[float, float, str]] = []
        for start, end, label in sorted(spans):
            open_ones = [other for other in open_ones if other[1] > start]
            num += any(other[2] != label for other in open_ones)
            open_ones.append((start, end, label))
    return [f"{num} excerpts overlap with one of another class; both are used, each with its label"] if num else []


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
    if len(times := [name for name in EXCERPTS if name in columns]) == 1:
        (other,) = set(EXCERPTS) - set(times)
        raise CorpusError(f"{table}: has {times[0]} and not {other}; add that column, for excerpts")
    if taken := [name for name in TAKEN if name in columns]:
        raise CorpusError(f"{table}: --split has its own {taken[0]}; rename the column, to source for example")
    return column, "label" in columns
