"""Brings a corpus from an object store, or an invented one, to this machine; then it is a folder like any other."""

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

SPARE_BYTES = 200_000_000  # of disk space that must stay free


def bring(remote: Remote, progress: Progress | None = None, wait: Callable[[], None] = lambda: None) -> None:
    """Makes the local copy of a corpus match it in file sizes and times; one process copies while others wait.

    Args:
        wait: called every half second while another process copies.

    Raises:
        RemoteError: if the store cannot be read.
        CorpusError: if the store holds no files, or the disk is too small.
    """
    with one_at_a_time(remote.local, wait):
        if remote.uri.startswith(writers.SCHEME):
            writers.write_once(remote.uri, remote.local)
        else:
            _copy(remote, progress)


def _copy(remote: Remote, progress: Progress | None) -> None:
    remote.local.mkdir(exist_ok=True)
    listing = remote.files()
    if not listing:
        raise CorpusError(f"--data-root {remote.uri}: there are no files; check the address")
    copies = {path.relative_to(remote.local).as_posix(): path for path in remote.local.rglob("*") if path.is_file()}
    missing = [name for name, file in listing.items() if name not in copies or not _same(copies[name], file)]
    needed = sum(listing[name].num_bytes for name in missing)
    if missing and (free := shutil.disk_usage(remote.local).free) < needed + SPARE_BYTES:
        raise CorpusError(
            f"{remote.local}: {remote.uri} needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; make "
            "room, or set SOUNDINGS_CACHE_DIR to a larger disk"
        )
    for name in copies.keys() - listing.keys():  # removed from the store, or half-written
        copies[name].unlink()
        with suppress(OSError):  # the folder is not empty
            copies[name].parent.rmdir()

    def copy(name: str) -> None:
        path, time_ns = remote.get(name), listing[name].mtime_ns
        if time_ns is not None:
            os.utime(path, ns=(time_ns, time_ns))

    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        for _ in (progress or (lambda items, total, what: items))(
            pool.map(copy, missing), len(missing), f"fetching from {remote.uri}"
        ):
            pass


def _same(path: Path, file: Found) -> bool:
    stat = path.stat()
    return (stat.st_size, file.mtime_ns or stat.st_mtime_ns) == (file.num_bytes, stat.st_mtime_ns)
