"""Lists of names in one text, separated by commas; a name with a comma in it stands in quotation marks, as in a csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable


def names_in(text: str) -> list[str]:
    """The names of a list, without blanks around them and without empty ones.

    >>> names_in('"Dog, bark", Cat,')
    ['Dog, bark', 'Cat']
    """
    try:
        cells = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:  # a quotation mark that is never closed is a character like any other
        cells = text.split(",")
    return [name for name in map(str.strip, cells) if name]


def as_list(names: Iterable[str]) -> str:
    """The list of these names, which `names_in` reads again.

    >>> as_list(["Cat", "Dog, bark"])
    'Cat,"Dog, bark"'
    """
    return ",".join(map(_quoted, names))


def _quoted(name: str) -> str:
    """The name as it stands in a list."""
    if "," not in name and not name.startswith('"'):
        return name
    inside = name.replace('"', '""')
    return f'"{inside}"'
