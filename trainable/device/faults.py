"""Named places in the code at which a test can make a process fail. Unless one is enabled, reaching it does nothing.

    SOUNDINGS_FAULT="record is committed"  SOUNDINGS_FAULT_TIMES=1,2  SOUNDINGS_FAULT_LOG=/a/folder

kills the process with SIGKILL the first and the second time that any process of the sweep reaches the place. With
SOUNDINGS_FAULT_HOW="out of memory" it raises a MemoryError instead. With SOUNDINGS_FAULT_HOW="wait 0.2" it waits 0.2
seconds every time, so that a trial is still running when a test on a busy machine disturbs it. The folder gets one file
for every time the place is reached, so that a test can show that its fault happened.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PLACES = (
    "trial begins",
    "epoch is trained",
    "best weights are written",
    "checkpoint hash is written",
    "checkpoint is written",
    "training has ended",
    "results are written",
    "record is written aside",
    "record is committed",
    "results are in place",
    "run is opened",
    "epoch is in the store",
    "artefacts are in the store",
    "scores are in the store",
    "run is finished",
)
AT_A_URI = (  # places that are only reached if the storage is an object store
    "files are sent",
    "checkpoint is half sent",
    "checkpoints are sent",
    "attempt is sent",
    "attempt is here",
    "attempt is committed here",
    "trial is marked",
    "rest is removed",
    "record is set aside",
)


def reach(place: str) -> None:
    """Marks that the process is at `place`, one of `PLACES` or `AT_A_URI`, and fails if a test wants it to."""
    if os.environ.get("SOUNDINGS_FAULT") != place:
        return
    fault, _, wait_s = os.environ.get("SOUNDINGS_FAULT_HOW", "").partition("wait ")
    log, times = Path(os.environ["SOUNDINGS_FAULT_LOG"]), os.environ.get("SOUNDINGS_FAULT_TIMES", "1").split(",")
    for number in range(1, 10_000):
        try:
            (log / f"{place} {number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        if wait_s:
            time.sleep(float(wait_s))
        if wait_s or str(number) not in times:
            return
        if fault == "out of memory":
            raise MemoryError(f"out of memory, as asked, at: {place}")
        os.kill(os.getpid(), signal.SIGKILL)
        return
