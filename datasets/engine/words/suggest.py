"""Ends for messages that a name does not exist: `did you mean ...?`, and short lists of the names that do exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

MOST = 8  # names in a list; nobody reads a longer one
SHORTEST = 4  # letters at which the beginning of a name is enough to suggest it


def did_you_mean(known: Iterable[str], *words: object, written: Mapping[str, str] | None = None) -> str:
    """The end of a message that `words` are not among the known names, such as `; did you mean mixup?`.

    Args:
        known: the names that exist.
        words: the words that were given instead.
        written: the text to show for a name, if it is not the name itself.

    Returns:
        Text that begins with a semicolon; empty if no name is similar.
    """
    names = [*known]
    matches = (name for word in words for name in nearest(names, str(word), most=1))
    suggestions = dict.fromkeys((written or {}).get(name, name) for name in matches)
    return f"; did you mean {', '.join(suggestions)}?" if suggestions else ""


def listed(names: Collection[str], where: str = "") -> str:
    """Names for a message: the first few, how many more there are, and `where` to read them."""
    first = ", ".join(list(names)[:MOST])
    if len(names) <= MOST:
        return first
    return f"{first} and {len(names) - MOST} more{f' ({where})' if where else ''}"


def nearest(known: Iterable[str], word: str, most: int = 3) -> list[str]:
    """At most `most` names: those most similar to `word`, ignoring case, or else those that begin with it."""
    small: dict[str, str] = {}
    for name in known:
        small.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), small, n=most)
    if not near and len(word) >= SHORTEST:
        near = [name for name in small if name.startswith(word.lower())]
    return [small[name] for name in near[:most]]
