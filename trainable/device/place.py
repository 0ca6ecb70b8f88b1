"""Where a trial finds what it needs and leaves what it makes. None of it is part of a trial's identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Files in a trial's folder.
NO_ROOM = "out-of-memory"  # an attempt at it has run out of memory

STACKS = "stacks.txt"  # a worker that hung has written where it stood


@dataclass(frozen=True)
class Place:
    """Absolute paths, because a worker runs in a folder of its own."""

    clips: Path  # an entry of the node's clip cache, at the trial's data rate
    split: Path  # a split manifest
    weights: Path | None  # a checkpoint; None for random weights
    folder: Path  # the trial's own
    num_threads: int = 1  # another number gives other bits on the CPU, so it is set, and recorded
    tags: Mapping[str, str] = field(default_factory=dict)  # what the record says of sweep, inputs, corpus and code
    hang_s: float = 1_800  # a worker that makes no step for so long is ended, and the trial tried again
    scan: Path | None = None  # from which the entry of the clip cache is built on a node that lacks it
    corpus: str = ""  # URI of what the scan has found, if it is to be brought here before that
    remote: str = ""  # URI of the storage, if it is an object store: `folder` is then this node's own
    epochs: int = 0  # whose checkpoints were in that store when the sweep began
    num_devices: int = 1  # that share every batch of the trial
    gives_up: Callable[[list[dict[str, float]]], bool] | None = None  # whether a search wants no further epoch of it

    @property
    def micro_batches(self) -> int:
        """Parts that a batch is taken in: two once the device has had no room for a whole one."""
        return 2 if (self.folder / NO_ROOM).exists() else 1
