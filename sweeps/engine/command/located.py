"""Folders that the environment names, and URIs: each has its copy on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from datasets.engine import corpus
from datasets.engine.refusal import Refusal
from datasets.engine.remote import check_address

ROOT = Path(__file__).resolve().parents[3]
COPIES = {"storage": "storage-", "data_root": "corpora/"}  # of what lies in an object store: how their names begin


def from_environment(name: str) -> Path | None:
    """The folder that a cluster's file has set for all its nodes, as in SOUNDINGS_DATA_ROOT; None if it has not."""
    word = os.environ.get(f"SOUNDINGS_{name}")
    return corpus.folder(word, f"SOUNDINGS_{name}=") if word else None


def located(word: str, copies: str) -> tuple[str, Path]:
    """A URI, or none, and the folder; for a URI that of its copy, which has the same path on every node.

    Args:
        copies: how the names of copies begin, below SOUNDINGS_CACHE_DIR.

    Raises:
        Refusal: if the URI holds a secret, or the path cannot be one.
    """
    if "://" not in word:
        return "", corpus.folder(word)
    check_address(word, "it is read from the environment, as pyarrow does")
    uri, cache = word.rstrip("/"), from_environment("CACHE_DIR") or corpus.folder("~/.cache/soundings")
    return uri, cache / f"{copies}{hashlib.sha256(uri.encode()).hexdigest()[:12]}"


def default_storage() -> tuple[str, Path]:
    """Where results are when no flag says so: a URI, or none, and the folder."""
    return _from_environment("SOUNDINGS_STORAGE", COPIES["storage"]) or ("", ROOT / "results")


def default_data() -> tuple[str, Path | None]:
    """Where the corpus is when no flag says so."""
    return _from_environment("SOUNDINGS_DATA_ROOT", COPIES["data_root"]) or ("", None)


def _from_environment(name: str, copies: str) -> tuple[str, Path] | None:
    try:
        return located(word, copies) if (word := os.environ.get(name)) else None
    except Refusal as error:
        raise Refusal(f"{name}: {error}") from None
