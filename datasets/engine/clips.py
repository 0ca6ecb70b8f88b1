"""The clips of a corpus at one rate, as a trial opens them: one memory map that all trials of a machine share."""

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


REMEDY = "delete it, and it is built again"


@dataclass(frozen=True)
class Clips:
    """Every clip, in the order of recording ids and of time."""

    wave: Int16[np.ndarray, "clips samples"]  # full scale at 32767
    levels: Int16[np.ndarray, "clips 2"]  # smallest and largest sample of each clip
    recording: np.ndarray  # id, a string for each clip
    number: Int64[np.ndarray, " clips"]  # place of the clip in its recording
    label: Int64[np.ndarray, " clips"]  # place of its class in `classes`
    classes: tuple[str, ...]
    rate_hz: int


def open_clips(folder: Path) -> Clips:
    """Opens one entry of the cache; nothing is read but its manifest.

    Raises:
        CorpusError: if the entry is not whole.
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
        raise CorpusError(f"{folder}: not a whole cache entry ({error}); {REMEDY}") from None
    if not num_clips == len(wave) == len(levels) == len(rows):
        raise CorpusError(f"{folder}: {len(wave)} clips of {num_clips}; {REMEDY}")
    return Clips(wave, levels, recording, number, label, classes, rate_hz)
