"""How a process that runs trials holds its memory: it keeps what one step has freed for the next, and no longer."""

from __future__ import annotations

import ctypes
import gc
import os

VARIABLE = "GLIBC_TUNABLES"
# Settings of malloc, where the C library is GNU's. All is in one arena, not one a thread: each trial is a thread, and
# what the last one freed stayed taken. Nothing freed goes back to the system before `give_back`, and pages are large
# (from version 2.35 of the library on): a step frees its activations and takes them again, and the system clears them
# page for page. On a CPU CNN14's steps take 1.2 to 1.7 times as long without, and others' up to 1.2 times
# (benchmarks/train.py).
MALLOC = {"arena_max": 1, "mmap_max": 0, "trim_threshold": 2**62, "hugetlb": 1}


def environment() -> dict[str, str]:
    """What such a process is started with; the user's other settings of the library stay."""
    ours = {f"glibc.malloc.{name}": str(value) for name, value in MALLOC.items()}
    there = os.environ.get(VARIABLE, "").split(":")
    others = [word for word in there if word and word.partition("=")[0] not in ours]
    return {VARIABLE: ":".join([*others, *("=".join(setting) for setting in ours.items())])}


def give_back() -> None:
    """Returns to the system what was freed, where the C library is GNU's; others do so by themselves."""
    gc.collect()  # networks and optimizers can be in cycles
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
