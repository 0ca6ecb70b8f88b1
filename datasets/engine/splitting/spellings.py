"""Names of one group that are near each other: perhaps one vessel, speaker or site under two spellings."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from datasets.engine.corpus import Corpus
from datasets.engine.splitting.groups import is_unknown

LEAST_LETTERS = 6  # of names that may differ by one letter; shorter ones are often two: JOHN and JOAN
MOST = 10  # pairs in a note
ROMAN = re.compile(r"[ivx]+")
Key = tuple[str, ...]


def near_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs of names that may mean the same, sorted.

    Two names are near if they differ in case, accents, punctuation, spaces or zeros in front of a number alone; or, if
    they have at least six letters, by one letter more, less or another, or by two that have changed places. Names with
    other numbers or single letters are never near: `TUG 1` and `TUG 2` are two tugs, as are `STAR II` and `STAR III`.

    >>> near_names(["SEA RAVEN", "Sea-Raven", "SEA RAVENS", "TUG 1", "TUG 2", "TUG 02"])
    [('SEA RAVEN', 'SEA RAVENS'), ('SEA RAVEN', 'Sea-Raven'), ('SEA RAVENS', 'Sea-Raven'), ('TUG 02', 'TUG 2')]
    """
    forms = {name: _form(name) for name in sorted(set(names)) if not is_unknown(name)}
    alike = defaultdict(list)
    for name, (letters, apart) in forms.items():
        long = sum(map(str.isalpha, letters)) >= LEAST_LETTERS
        shorter = (letters[:i] + letters[i + 1 :] for i in range(len(letters))) if long else ()
        for variant in {letters, *shorter}:
            alike[variant, apart].append(name)
    pairs = {(a, b) for its in alike.values() for i, a in enumerate(its) for b in its[i + 1 :]}
    return sorted(pair for pair in pairs if _one_edit(*(forms[name][0] for name in pair)))


def _form(name: str) -> tuple[str, Key]:
    """A name in plain letters and digits; and what tells names apart: its numbers, and its single letters."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = [re.sub("^0+(?=.)", "", word) for word in re.findall(r"[^\W\d_]+|\d+", plain)]
    return "".join(words), tuple(w for w in words if w.isdigit() or len(w) == 1 or ROMAN.fullmatch(w))


def _one_edit(a: str, b: str) -> bool:
    """Whether two words are the same but for one letter, or for two neighbours that have changed places."""
    short, long = sorted((a, b), key=len)
    start = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), len(short))
    short, long = short[start:], long[start:]
    while short and short[-1] == long[-1]:
        short, long = short[:-1], long[:-1]
    return len(long) <= 1 or (len(long) == 2 and short == long[::-1])


def near_notes(corpus: Corpus) -> Iterator[str]:
    """Yields a note on each group of which two names are near each other; they count as two."""
    for group in corpus.group_names:
        if pairs := near_names(r.groups[group] for r in corpus.recordings):
            more = f", and {len(pairs) - MOST} pairs more" if len(pairs) > MOST else ""
            told = "; ".join(f"{a!r} and {b!r}" for a, b in pairs[:MOST])
            yield f"perhaps the same {group} under two spellings, which count as two: {told}{more}"
