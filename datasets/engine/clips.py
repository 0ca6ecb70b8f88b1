"""The clips of a corpus at one rate: a memory map that all trials on a machine share.

The map depends on no label: it gets them from the corpus with which it is opened. So recordings with other labels, or
with other groups, are not resampled again.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from datasets.engine.corpus import Corpus, CorpusError

if TYPE_CHECKING:
    from jaxtyping import Int16, Int64


REMEDY = "delete it, and it is built again"  # of a damaged entry
Short = Literal["refuse", "pad", "repeat"]
SHORT: tuple[Short, ...] = get_args(Short)


@dataclass(frozen=True)
class Cut:
    """The way in which recordings are cut into clips.

    A recording that is shorter than a clip is refused, or it becomes one clip, which zeros at its end ("pad") or the
    sound again ("repeat") fill up. The remainder of a longer recording is dropped, whatever `short` is: a last clip
    that is mostly filled up would have the label of a sound that may not be in it.
    """

    clip_s: float  # length of a clip [s]
    short: Short = "refuse"
    overlap: float = 0.0  # the part of a clip that the next one has too, at least 0 and below 1

    @classmethod
    def of(cls, cut: Cut | float) -> Cut:
        """The cut itself, or that into clips of a length [s], which begin where the last ends."""
        return cut if isinstance(cut, Cut) else cls(float(cut))

    @property
    def hop_s(self) -> float:
        """The time from the start of a clip to that of the next [s]."""
        return self.clip_s * (1 - self.overlap)

    def takes(self, duration_s: float) -> bool:
        """Whether a recording of this length [s] gives a clip."""
        return self.short != "refuse" or duration_s >= self.clip_s

    def number(self, num_frames: int, rate_hz: int) -> int:
        """The number of clips of a recording with `num_frames` samples."""
        beyond_first = num_frames / (rate_hz * self.clip_s) - 1
        whole = max(0, math.floor(beyond_first / (1 - self.overlap) + 1e-9) + 1)
        return whole or int(self.short != "refuse")

    def cut(
        self, samples: Int16[np.ndarray, " samples"], rate_hz: int, num_clips: int
    ) -> tuple[Int16[np.ndarray, "clips length"], Int64[np.ndarray, " clips"]]:
        """The first `num_clips` clips of a recording, and how many samples of each are its own."""
        length = round(self.clip_s * rate_hz)
        starts = np.rint(np.arange(num_clips) * length * (1 - self.overlap)).astype(np.int64)
        own = np.clip(len(samples) - starts, 0, length)
        if self.short == "repeat" and len(samples) < length:
            samples = np.resize(samples, length)
        # Rounding the length of a clip loses at most half a sample per clip.
        missing = max(0, starts[-1] + length - len(samples))
        views = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, missing)), length)
        return views[starts], own


@dataclass(frozen=True)
class Clips:
    """All clips, ordered by recording id and then by time."""

    wave: Int16[np.ndarray, "clips samples"]  # full scale at 32767
    levels: Int16[np.ndarray, "clips 2"]  # smallest and largest sample of each clip
    lengths: Int64[np.ndarray, " clips"]  # samples that are the recording's own, before those that fill up the clip
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
        wave = np.load(folder / "clips.npy", mmap_mode="r")
        levels, lengths = np.load(folder / "levels.npy"), np.load(folder / "lengths.npy")
        recording = np.array([row["recording"] for row in rows])
        number = np.array([int(row["clip"]) for row in rows], dtype=np.int64)
        rate_hz, num_clips = manifest["rate_hz"], manifest["num_clips"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: not a complete cache entry ({error}); {REMEDY}") from None
    if not num_clips == len(wave) == len(levels) == len(lengths) == len(rows):
        raise CorpusError(f"{folder}: {len(wave)} clips of {num_clips}; {REMEDY}")
    if corpus is None:
        none = np.full(len(rows), -1, dtype=np.int64)
        return Clips(wave, levels, lengths, recording, number, none, (), rate_hz)
    label_of = {r.id: corpus.classes.index(r.label) for r in corpus.recordings}
    if missing := sorted(set(recording) - set(label_of)):
        raise CorpusError(f"{folder}: {missing[0]} is not a recording of the corpus; {REMEDY}")
    label = np.array([label_of[name] for name in recording], dtype=np.int64)
    return Clips(wave, levels, lengths, recording, number, label, corpus.classes, rate_hz)
