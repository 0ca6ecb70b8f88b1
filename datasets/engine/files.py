"""Reads the files of users: opens regular files only, and reads text in the encodings that programs write."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

NUMBER = r"[0-9]{1,9}"  # a number in a table; Python refuses to convert 5000 digits, and no count or id needs ten
SEPARATORS = ",;\t"
SAVE_AS = "save it as UTF-8 (in Excel: CSV UTF-8)"


class BadText(ValueError):
    """A text file that cannot be read; the message is the reason, without the path."""


def opened(path: Path) -> io.BufferedReader:
    """Opens a regular file, or a link to one, for reading bytes.

    Raises:
        OSError: if it cannot be opened or is not a regular file: a device has no end, and a pipe may block.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.open("rb")


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8, with or without a byte-order mark, or in UTF-16 with one, as Excel writes it.

    Raises:
        BadText: if it is not a file, or not such a text; the message says what to do.
    """
    try:
        with opened(path) as file:
            content = file.read()
    except OSError as error:
        raise BadText(f"cannot be read ({error.strerror})") from None
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        name, line = "UTF-16" if is_utf16 else "UTF-8", content.count(b"\n", 0, error.start) + 1
        raise BadText(
            f"cannot be read as {name} text (byte 0x{content[error.start]:02x} in line {line}); {SAVE_AS}"
        ) from None
    if "\0" in text:
        raise BadText(f"cannot be read as text (it holds zeros: UTF-16 without its mark, or no text); {SAVE_AS}")
    return re.split("\r\n|\r|\n", text)  # not splitlines(), which also splits at characters that names may contain


def separator(line: str) -> str:
    """The separator of a table's cells, judged by one of its lines: a comma, a semicolon or a tab."""
    return max(SEPARATORS, key=line.count)


def cells(line: str, separated_by: str) -> list[str]:
    """The cells of one line of a table, quoted or not; the whole line if a quotation mark is never closed."""
    try:
        return next(csv.reader([line], delimiter=separated_by, strict=True), [])
    except csv.Error:
        return [line]


def rows_of(lines: Sequence[str], columns: Mapping[str, str], needs: str) -> dict[int, dict[str, str]]:
    """The rows of a table with a header, by their line numbers; blank lines are left out.

    Args:
        columns: the columns that every row must fill, each with the pattern of its values.
        needs: what a row must have, in words, for the message.

    Raises:
        BadText: if there are no rows, a column is missing, or a row does not have what it needs.
    """
    head, *others = lines
    separated_by = separator(head)
    names = cells(head, separated_by)
    rows = {
        number: dict(zip(names, cells(line, separated_by), strict=False))
        for number, line in enumerate(others, 2)
        if line.strip(SEPARATORS)
    }
    if not rows or (missing := [name for name in columns if name not in names]):
        fault = f"has no column {', '.join(missing)}" if rows else "has no rows"
        raise BadText(f"{fault}; it needs {', '.join(columns)}")
    for number, row in rows.items():
        if not all(re.fullmatch(pattern, row.get(name, "")) for name, pattern in columns.items()):
            values = ", ".join(f"{name}={row.get(name, '')[:60]!r}" for name in columns)
            raise BadText(f"line {number} has {values}; it needs {needs}")
    return rows
