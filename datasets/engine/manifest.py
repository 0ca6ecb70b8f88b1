"""Stores a scan as a file, so that any node can build clips from the same bytes without scanning the corpus again."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from datasets.engine import cache
from datasets.engine.clips import Cut
from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.scan import Progress, Scan


def write(scan: Scan, folder: Path) -> Path:
    """Stores a scan, with the paths of its files, under its hash; writes all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scan.sha256[:16]}.json"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(dataclasses.asdict(scan), default=str), encoding="utf-8")
    part.replace(path)
    return path


def read(path: Path) -> Scan:
    """The scan that `write` stored.

    Raises:
        CorpusError: if the file is not a stored scan, or its content does not match the hash in its name.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        corpus = document["corpus"]
        scan = Scan(
            Corpus(
                corpus["name"],
                Path(corpus["root"]),
                tuple(corpus["classes"]),
                tuple(Recording(**{**r, "path": Path(r["path"])}) for r in corpus["recordings"]),
                tuple(corpus["notes"]),
            ),
            {name: AudioFacts(**facts) for name, facts in document["facts"].items()},
            tuple(Problem(Path(p["path"]), p["reason"]) for p in document["dropped"]),
        )
        is_intact = scan.sha256[:16] == path.stem
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path}: not a scan of a corpus ({error}); start the sweep again") from None
    if not is_intact:
        raise CorpusError(f"{path}: is damaged; delete it and start the sweep again")
    return scan


def clips_at_hand(folder: Path, manifest: Path | None, cut: Cut | float, rate_hz: int, progress: Progress) -> Path:
    """An entry of this node's clip cache; the first process that needs it builds it while others wait.

    Args:
        folder: the entry.
        manifest: the stored scan from which to build it; None if the entry must already exist.
        cut: the way to cut recordings; a number is the length of a clip [s].

    Raises:
        CorpusError: if it cannot be built: the disk is too small, or a file is missing or has changed.
    """
    if manifest is None or folder.exists():
        return folder
    return cache.build(read(manifest), [rate_hz], cut, folder.parents[1], progress)[rate_hz]
