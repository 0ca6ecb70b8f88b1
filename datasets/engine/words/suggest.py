"""`did you mean ...?`, and short lists of what there is: the end of a message that a name does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

MOST = 8  # names in a list; a longer one is not read
SHORTEST = 4  # letters that a name may be told by its beginning


def did_you_mean(known: Iterable[str], *words: object, written: Mapping[str, str] | None = None) -> str:
    """The end of a message that no `known` name is one of `words`, such as `; did you mean mixup?`.

    Args:
        known: the names that there are.
        words: what was written instead.
        written: what a name stands for, where that is to be told in its place.

    Returns:
        Text that begins with a semicolon; empty if nothing is near.
    """
    names = [*known]
    found = (name for word in words for name in nearest(names, str(word), most=1))
    told = dict.fromkeys((written or {}).get(name, name) for name in found)
    return f"; did you mean {', '.join(told)}?" if told else ""


def listed(names: Collection[str], where: str = "") -> str:
    """Names for a message: the first of them, how many more there are, and `where` those can be read."""
    first = ", ".join(list(names)[:MOST])
    if len(names) <= MOST:
        return first
    return f"{first} and {len(names) - MOST} more{f' ({where})' if where else ''}"


def nearest(known: Iterable[str], word: str, most: int = 3) -> list[str]:
    """The names nearest to `word`, capital letters or not, or else those that begin with it; at most `most`."""
    small: dict[str, str] = {}
    for name in known:
        small.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), small, n=most)
    if not near and len(word) >= SHORTEST:
        near = [name for name in small if name.startswith(word.lower())]
    return [small[name] for name in near[:most]]
