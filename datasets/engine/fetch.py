"""A corpus from an object store, or an invented one, brought to this machine: from then on a folder like any other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from datasets.engine.corpus import CorpusError
from datasets.engine.remote import NUM_AT_ONCE, Found, Remote, one_at_a_time
from datasets.engine.scan import Progress
from datasets.synthetic import writers

SPARE_BYTES = 200_000_000  # that must stay free


def bring(remote: Remote, progress: Progress | None = None, wait: Callable[[], None] = lambda: None) -> None:
    """Makes the copy of a corpus the same as the corpus, by size and time; one process does it while others wait.

    Args:
        wait: called now and then while another process does it.

    Raises:
        RemoteError: if the store cannot be read.
        CorpusError: if there is nothing, or the disk is too small.
    """
    with one_at_a_time(remote.local, wait):
        if remote.uri.startswith(writers.SCHEME):
            writers.write_once(remote.uri, remote.local)
            return
        remote.local.mkdir(exist_ok=True)
        there = remote.files()
        if not there:
            raise CorpusError(f"--data-root {remote.uri}: there is no file; look at the address")
        here = {path.relative_to(remote.local).as_posix(): path for path in remote.local.rglob("*") if path.is_file()}
        missing = [name for name, found in there.items() if name not in here or not _same(here[name], found)]
        needed = sum(there[name].num_bytes for name in missing)
        if missing and (free := shutil.disk_usage(remote.local).free) < needed + SPARE_BYTES:
            raise CorpusError(
                f"{remote.local}: {remote.uri} needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; make "
                "room, or set SOUNDINGS_CACHE_DIR to a larger disk"
            )
        for name in here.keys() - there.keys():  # removed there, or left half-written by a kill
            here[name].unlink()
            with suppress(OSError):  # a folder that is not empty
                here[name].parent.rmdir()

        def copy(name: str) -> None:
            path, time_ns = remote.get(name), there[name].mtime_ns
            if time_ns is not None:
                os.utime(path, ns=(time_ns, time_ns))

        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            for _ in (progress or (lambda items, total, what: items))(
                pool.map(copy, missing), len(missing), f"fetching from {remote.uri}"
            ):
                pass


def _same(path: Path, found: Found) -> bool:
    stat = path.stat()
    return (stat.st_size, found.mtime_ns or stat.st_mtime_ns) == (found.num_bytes, stat.st_mtime_ns)
