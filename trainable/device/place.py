"""The place of a trial: where its inputs and results are, and how it runs. This is not part of a trial's identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Files in a trial's folder.
NO_ROOM = "out-of-memory"  # exists if an attempt has run out of memory

STACKS = "stacks.txt"  # the stacks of a worker that hung


@dataclass(frozen=True)
class Place:
    """The paths and limits of a trial; paths are absolute, because a worker runs in a separate folder."""

    clips: Path  # an entry of the node's clip cache, at the trial's data rate
    split: Path  # a split manifest
    weights: Path | None  # a checkpoint; None for random weights
    folder: Path  # of this trial alone
    num_threads: int = 1  # results on the CPU depend on it, so it is set and recorded
    tags: Mapping[str, str] = field(default_factory=dict)  # sweep, inputs, corpus and code, for the record
    hang_s: float = 1_800  # a worker that makes no step for this long is ended, and the trial tried again [s]
    scan: Path | None = None  # the stored scan: the labels, and how a node without the cache's entry builds it
    corpus: str = ""  # URI of the scanned files, if they must be fetched before that
    remote: str = ""  # URI of the storage, if it is an object store; `folder` then belongs to this node alone
    epochs: int = 0  # the number of epochs whose checkpoints were in that store when the sweep began
    num_devices: int = 1  # devices that share every batch of the trial
    gives_up: Callable[[list[dict[str, float]]], bool] | None = None  # whether a search wants no further epochs

    @property
    def micro_batches(self) -> int:
        """The number of parts of a batch: two once the device has been too small for a whole batch."""
        return 2 if (self.folder / NO_ROOM).exists() else 1
