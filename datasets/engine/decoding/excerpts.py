"""Reads annotation tables of sound: Raven's selection tables and Audacity's labels.

Raven's table has a header with `Begin Time (s)` and `End Time (s)`, and is separated by tabs. It names the file of each
row in `Begin Path` or `Begin File`, else it is named after one: `dawn.Table.1.selections.txt` of `dawn.wav`. The label
is the column Annotation, Species, Common Name, Label, Class or Tags, or the only column that is not Raven's own; other
columns of the user's are groups. A sound may be shown in several views, which repeat their rows. Where a table is of
several files, times count from the start of the first, and `File Offset (s)` from that of the row's own file.

Audacity's labels of `dawn.wav` are `dawn.txt`, with lines of start, end and label between tabs; lines that begin with a
backslash have frequencies, and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from datasets.engine.corpus import TAKEN, CorpusError, shown
from datasets.engine.files import BadText, cells, read_lines
from datasets.engine.words.suggest import listed

BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
LABELS = ("annotation", "species", "common name", "label", "class", "tags")
OWN = {"Selection", "View", "Channel", "Begin File", "End File", "Begin Path", "Begin Date Time", "Begin Clock Time"}


@dataclass(frozen=True)
class Row:
    """A row of an annotation table: the times of a sound in a file, and what it is."""

    line: int
    name: str  # of the file, without its folders; empty if the table is named after it
    start: str  # [s], as it stands there
    end: str  # [s]
    label: str
    groups: dict[str, str] = field(default_factory=dict)


def tables(texts: Iterable[Path], audio: Iterable[Path]) -> dict[Path, list[Row]]:
    """The annotation tables among some texts, with their rows; other texts are passed over.

    Raises:
        CorpusError: if a table of Raven's has no column for the label, or several.
    """
    stems = {(path.parent, path.stem) for path in audio}
    found = {}
    for path in texts:
        try:
            lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
        except BadText:
            continue  # a text of something else
        if lines and {BEGIN, END} <= set(cells(lines[0][1], "\t")):
            found[path] = list(_raven(path, lines))
        elif (path.parent, path.stem) in stems and _is_audacity(lines):
            found[path] = list(_audacity(lines))
    return found


def file_of(table: Path, name: str, audio: Iterable[Path]) -> Path | None:
    """The audio that a row is of: the only file of that name, or the one beside the table; None if there is none.

    Args:
        name: the file that the row names; empty for the file after which the table is named.
    """
    if name:
        named = [path for path in audio if path.name == name]
        beside = [path for path in named if path.parent == table.parent]
        return next(iter(beside if len(named) > 1 else named), None)
    beside = [path for path in audio if path.parent == table.parent]
    named = [path for path in beside if table.name.startswith(f"{path.stem}.")]
    return max(named, key=lambda path: len(path.stem), default=None)


def span(start: str, end: str) -> tuple[float, float]:
    """The start and the end of an excerpt [s].

    Raises:
        ValueError: if they are no times, or the end is not after the start; the message is the reason.
    """
    times = []
    for text in (start, end):
        try:
            times.append(float(text.replace(",", ".")))
        except ValueError:
            times.append(math.nan)
        if not 0 <= times[-1] < math.inf:
            raise ValueError(f"{shown(text)} is not a time; write seconds, such as 1.5")
    if times[1] <= times[0]:
        raise ValueError(f"its excerpt ends at {times[1]:g} s, and begins at {times[0]:g} s; correct the times")
    return times[0], times[1]


def _raven(table: Path, lines: list[tuple[int, str]]) -> Iterator[Row]:
    columns = [name.strip() for name in cells(lines[0][1], "\t")]
    further = [name for name in columns if name and name not in OWN and not name.endswith(")")]
    label = next((name for wanted in LABELS for name in further if name.casefold() == wanted), None)
    if label is None and len(further) != 1:
        has = listed(further) or "only Raven's own columns"
        raise CorpusError(f"{table}: no column is the label (it has {has}); name it Annotation")
    label = label or further[0]
    if taken := [name for name in further if name != label and name in TAKEN]:
        raise CorpusError(f"{table}: --split has its own {taken[0]}; rename the column, to source for example")
    seen = set()
    for number, line in lines[1:]:
        row = dict(zip(columns, (cell.strip() for cell in cells(line, "\t")), strict=False))
        name = row.get("Begin Path") or row.get("Begin File") or ""
        start, end = row.get(BEGIN, ""), row.get(END, "")
        if offset := row.get(OFFSET):
            start, end = offset, _moved(start, end, offset)
        groups = {name: row[name] for name in further if name != label and row.get(name)}
        content = Row(0, PurePosixPath(name.replace("\\", "/")).name, start, end, row.get(label, ""), groups)
        if (key := repr(content)) not in seen:  # the same selection in another view
            yield Row(number, content.name, start, end, content.label, groups)
        seen.add(key)


def _moved(start: str, end: str, offset: str) -> str:
    """The end [s] from the start of the row's own file."""
    try:
        return f"{float(offset) + float(end) - float(start):.6f}"
    except ValueError:
        return end


def _is_audacity(lines: list[tuple[int, str]]) -> bool:
    """Whether each line has two numbers before its label."""
    plain = [line.split("\t") for _, line in lines if not line.startswith("\\")]
    return bool(plain) and all(len(parts) >= 2 and _is_number(parts[0]) and _is_number(parts[1]) for parts in plain)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text.replace(",", ".")))
    except ValueError:
        return False


def _audacity(lines: list[tuple[int, str]]) -> Iterator[Row]:
    for number, line in lines:
        if not line.startswith("\\"):
            start, end, *label = line.split("\t")
            yield Row(number, "", start, end, " ".join(label).strip())
