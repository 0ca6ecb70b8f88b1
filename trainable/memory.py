"""How a process that runs trials holds its memory: it keeps what one step has freed for the next, and no longer."""

from __future__ import annotations

import ctypes

# Settings of the C library's malloc, where that is GNU's. All is in one arena, not one a thread: each trial is a
# thread, and what the last one freed stayed taken. Nothing freed goes back to the system before `give_back`, and pages
# are large: a step frees its activations and takes them again, and what the system does to clear them, page for page,
# made CNN14's steps 1.2 to 1.7 times as long, and others' up to 1.2 times (benchmarks/train.py).
MALLOC = {"arena_max": 1, "mmap_max": 0, "trim_threshold": 2**62, "hugetlb": 1}
# What such a process is started with.
ENVIRONMENT = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items())}


def give_back() -> None:
    """Returns to the system what was freed, where the C library is GNU's; others do so by themselves."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
