"""Memory settings of a process that runs trials: memory freed by a step is kept for the next, but not for longer."""

from __future__ import annotations

import ctypes
import gc
import os

VARIABLE = "GLIBC_TUNABLES"
# Settings of malloc in the GNU C library. All threads share one arena: each trial is a thread, and with an arena per
# thread the memory freed by the last trial would stay allocated. Freed memory stays in the process until `give_back`,
# and pages are large (since version 2.35 of the library): a step frees its activations and allocates them again, and
# the system would clear them page by page. Without these settings, a step on a CPU takes 1.2 to 1.7 times as long for
# CNN14, and up to 1.2 times for other networks (benchmarks/train.py).
MALLOC = {"arena_max": 1, "mmap_max": 0, "trim_threshold": 2**62, "hugetlb": 1}


def environment() -> dict[str, str]:
    """The environment variables with which to start such a process; the user's other settings of malloc stay."""
    settings = {f"glibc.malloc.{name}": str(value) for name, value in MALLOC.items()}
    words = os.environ.get(VARIABLE, "").split(":")
    others = [word for word in words if word and word.partition("=")[0] not in settings]
    return {VARIABLE: ":".join([*others, *("=".join(setting) for setting in settings.items())])}


def give_back() -> None:
    """Returns freed memory to the system with the GNU C library; other libraries do so by themselves."""
    gc.collect()  # networks and optimizers can be in reference cycles
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
