"""Where a trial finds what it needs and leaves what it makes. None of it is part of a trial's identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Absolute paths, because a worker runs in a folder of its own."""

    clips: Path  # an entry of the clip cache, at the trial's data rate
    split: Path  # a split manifest
    weights: Path | None  # a checkpoint; None for random weights
    folder: Path  # the trial's own
    num_threads: int = 1  # another number gives other bits on the CPU, so it is set, and recorded
