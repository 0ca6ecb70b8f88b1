"""Lists the corpora, their classes and the ways to split each.

python -m datasets
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from datasets.engine.corpus import corpora, module
from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags

FURTHER = """
python -m datasets.check NAME --data-root DIR
                                shows how a folder is understood
python -m sweeps.STUDY --set corpus=NAME --split SPLIT --data-root DIR
                                a study on another corpus
    --split recording:2/5       fold 2 of 5 of its recordings, or of a group
python -m datasets.synthetic    writes an invented one in a real one's layout"""


def listing() -> str:
    """Describes each corpus, with its classes and splits as far as they are known without its folder."""
    rows = [("corpus", "what it is")]
    for name in corpora():
        corpus = module(name)
        title = (corpus.__doc__ or "").partition("\n")[0]
        rows.append((name, f"{title}\nclasses: {_classes(corpus)}\nsplits: {_splits(corpus)}"))
    return f"{aligned(rows)}\n{FURTHER}"


def _classes(corpus: ModuleType) -> str:
    return ", ".join(getattr(corpus, "CLASS_NAMES", ())) or "those that are in the folder"


def _splits(corpus: ModuleType) -> str:
    """The splits of a corpus, as --split takes them."""
    if getattr(corpus, "BY_NAMES", False):
        return "recording, and its columns, folders and parts of names (--groups)"
    published = ["published"] * hasattr(corpus, "published_split")
    if file := getattr(corpus, "SPLIT_FILE", ""):
        published = [f"published (with --split-file {file})"]
    groups = getattr(corpus, "GROUPS", ["a group that the folder tells"])
    if most := getattr(corpus, "FOLDS", 0):
        published += [f"published:1 to published:{most}"]
    return ", ".join(["recording", *groups, *published])


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the corpora."""
    Flags("python -m datasets", __doc__).parse_args(argv)
    print(listing())


if __name__ == "__main__":
    main()
