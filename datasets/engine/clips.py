"""The clips of a corpus at one rate: a memory map that all trials on a machine share.

The map depends on no label: it gets them from the corpus with which it is opened. So recordings with other labels, or
with other groups, are not resampled again.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.corpus import Corpus, CorpusError

if TYPE_CHECKING:
    from jaxtyping import Int16, Int64


REMEDY = "delete it, and it is built again"  # of a damaged entry


@dataclass(frozen=True)
class Clips:
    """All clips, ordered by recording id and then by time."""

    wave: Int16[np.ndarray, "clips samples"]  # full scale at 32767
    levels: Int16[np.ndarray, "clips 2"]  # smallest and largest sample of each clip
    recording: np.ndarray  # for each clip, the id of its recording (a string)
    number: Int64[np.ndarray, " clips"]  # position of the clip in its recording
    label: Int64[np.ndarray, " clips"]  # index of its class in `classes`; -1 without a corpus
    classes: tuple[str, ...]  # none without a corpus
    rate_hz: int


def open_clips(folder: Path, corpus: Corpus | None = None) -> Clips:
    """Opens one entry of the cache; the samples are mapped into memory, not read.

    Args:
        corpus: the recordings of the entry with their labels; None for clips without labels.

    Raises:
        CorpusError: if the entry is incomplete, or has a recording that is not in the corpus.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        wave, levels = np.load(folder / "clips.npy", mmap_mode="r"), np.load(folder / "levels.npy")
        recording = np.array([row["recording"] for row in rows])
        number = np.array([int(row["clip"]) for row in rows], dtype=np.int64)
        rate_hz, num_clips = manifest["rate_hz"], manifest["num_clips"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: not a complete cache entry ({error}); {REMEDY}") from None
    if not num_clips == len(wave) == len(levels) == len(rows):
        raise CorpusError(f"{folder}: {len(wave)} clips of {num_clips}; {REMEDY}")
    if corpus is None:
        return Clips(wave, levels, recording, number, np.full(len(rows), -1, dtype=np.int64), (), rate_hz)
    label_of = {r.id: corpus.classes.index(r.label) for r in corpus.recordings}
    if missing := sorted(set(recording) - set(label_of)):
        raise CorpusError(f"{folder}: {missing[0]} is not a recording of the corpus; {REMEDY}")
    label = np.array([label_of[name] for name in recording], dtype=np.int64)
    return Clips(wave, levels, recording, number, label, corpus.classes, rate_hz)
