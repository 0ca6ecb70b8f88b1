"""Folders on the command line and in the environment; where a URI is allowed too, its copy on this machine."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

from datasets.engine import corpus
from datasets.engine.corpus import CorpusError
from datasets.engine.remote import check_address

ROOT = Path(__file__).resolve().parents[2]
COPIES = {"storage": "storage-", "data_root": "corpora/"}  # of what lies in an object store: how their names begin


def folder(word: str) -> Path:
    """A path on the command line, absolute: workers run in folders of their own."""
    try:
        return corpus.folder(word)
    except CorpusError as error:  # of a ValueError argparse would not tell the reason
        raise argparse.ArgumentTypeError(str(error)) from None


def from_environment(name: str) -> Path | None:
    """The folder that a cluster's file has set for all its nodes, as in SOUNDINGS_DATA_ROOT; None if it has not."""
    word = os.environ.get(f"SOUNDINGS_{name}")
    return corpus.folder(word, f"SOUNDINGS_{name}=") if word else None


def located(word: str, copies: str) -> tuple[str, Path]:
    """A URI, or none, and the folder; for a URI that of its copy, which has the same path on every node.

    Args:
        copies: how the names of copies begin, below SOUNDINGS_CACHE_DIR.

    Raises:
        CorpusError: if the URI holds a secret, or the path cannot be one.
    """
    if "://" not in word:
        return "", corpus.folder(word)
    check_address(word, "it is read from the environment, as pyarrow does")
    uri, cache = word.rstrip("/"), from_environment("CACHE_DIR") or corpus.folder("~/.cache/soundings")
    return uri, cache / f"{copies}{hashlib.sha256(uri.encode()).hexdigest()[:12]}"


class Located(argparse.Action):
    """Stores the folder, and the URI or none under the name in `const`."""

    def __call__(self, parser: Any, args: argparse.Namespace, word: Any, flag: str | None = None) -> None:
        """Is what argparse calls."""
        try:
            uri, path = located(word, COPIES[self.dest])
        except CorpusError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(args, self.dest, path)
        setattr(args, str(self.const), uri)


def default_storage() -> tuple[str, Path]:
    """Where results are when no flag says so: a URI, or none, and the folder."""
    return _from_environment("SOUNDINGS_STORAGE", COPIES["storage"]) or ("", ROOT / "results")


def default_data() -> tuple[str, Path | None]:
    """Where the corpus is when no flag says so."""
    return _from_environment("SOUNDINGS_DATA_ROOT", COPIES["data_root"]) or ("", None)


def _from_environment(name: str, copies: str) -> tuple[str, Path] | None:
    try:
        return located(word, copies) if (word := os.environ.get(name)) else None
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None
