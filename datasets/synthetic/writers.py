"""The writers of invented corpora by the names of the corpora, and the addresses of what they write: `synthetic://`."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
from pathlib import Path
from types import ModuleType

from datasets.engine.corpus import CorpusError, corpora, shown
from datasets.engine.words.suggest import did_you_mean

SCHEME = "synthetic://"
HERE = Path(__file__).parent


def names() -> list[str]:
    """The corpora that can be invented, sorted."""
    return [name for name in corpora() if (HERE / f"{name}.py").is_file()]


def writer(name: str) -> ModuleType:
    """The module that invents a corpus.

    It has `write(root, ..., seed)`, which returns a sentence on what it wrote; `SMALL`, the arguments for a study in
    miniature; and `add_flags(parser)`.

    Raises:
        CorpusError: if there is none for a corpus of that name.
    """
    if name not in names():
        raise CorpusError(
            f"{shown(name)}: datasets/synthetic/ cannot invent this corpus; it has {', '.join(names())}"
            f"{did_you_mean(names(), name)}"
        )
    return importlib.import_module(f"datasets.synthetic.{name}")


def address(name: str, seed: int = 0) -> str:
    """The URI of a small invented corpus; recordings of another seed are others."""
    return f"{SCHEME}{name}" + (f"?seed={seed}" if seed else "")


def write_once(uri: str, root: Path) -> None:
    """Writes the corpus at a `synthetic://` address, unless it is there as its writer makes it; whole, or not at all.

    Raises:
        CorpusError: if the address names none, or the disk cannot be written.
    """
    match = re.fullmatch(rf"{SCHEME}(\w+)(?:\?seed=(\d{{1,9}}))?", uri, re.ASCII)
    if not match:
        raise CorpusError(f"--data-root {shown(uri)}: write {SCHEME}NAME or {SCHEME}NAME?seed=1")
    made_by = writer(match[1])
    part, stamp = root.with_name(f".{root.name}.part"), root.with_name(f".{root.name}.writer")
    try:
        if root.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _version(made_by):
            return
        for old in (part, root):  # of a writer that was killed, or has been changed
            shutil.rmtree(old, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        made_by.write(part, seed=int(match[2] or 0), **made_by.SMALL)
        part.rename(root)
        stamp.write_text(_version(made_by), encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"{root}: cannot be written ({error.strerror}); name another --cache-dir") from None


def _version(made_by: ModuleType) -> str:
    """A hash of a writer and of its arguments for a miniature."""
    said = Path(str(made_by.__file__)).read_bytes() + repr(sorted(made_by.SMALL.items())).encode()
    return hashlib.sha256(said).hexdigest()
