"""The clips of a corpus at one rate: a memory map that all trials on a machine share."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.corpus import CorpusError

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
    label: Int64[np.ndarray, " clips"]  # index of its class in `classes`
    classes: tuple[str, ...]
    rate_hz: int


def open_clips(folder: Path) -> Clips:
    """Opens one entry of the cache; the samples are mapped into memory, not read.

    Raises:
        CorpusError: if the entry is incomplete.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        wave, levels = np.load(folder / "clips.npy", mmap_mode="r"), np.load(folder / "levels.npy")
        recording = np.array([row["recording"] for row in rows])
        number = np.array([int(row["clip"]) for row in rows], dtype=np.int64)
        label = np.array([manifest["classes"].index(row["label"]) for row in rows], dtype=np.int64)
        classes, rate_hz, num_clips = tuple(manifest["classes"]), manifest["rate_hz"], manifest["num_clips"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: not a complete cache entry ({error}); {REMEDY}") from None
    if not num_clips == len(wave) == len(levels) == len(rows):
        raise CorpusError(f"{folder}: {len(wave)} clips of {num_clips}; {REMEDY}")
    return Clips(wave, levels, recording, number, label, classes, rate_hz)
