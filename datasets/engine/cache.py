"""Clips on disk: a corpus is resampled once per rate into one int16 memory map, whose name is a hash of its sources.

Labels, groups and classes are no part of an entry: the same recordings with other labels share it.

An entry is built in a temporary folder and renamed when it is complete. So any number of processes may build the same
entry, and a process that is killed leaves no half-built entry in use.
"""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.clips import Cut
from datasets.engine.corpus import CorpusError, Recording
from datasets.engine.decoding.audio import INT16_MAX, RESAMPLER, BadAudio, decode, resample, to_int16
from datasets.engine.scan import NUM_THREADS, Progress, Scan

if TYPE_CHECKING:
    from jaxtyping import Int16

FORMAT = 2  # raise it when the content or layout of an entry changes


def entry(scan: Scan, rate_hz: int, cut: Cut | float, cache_dir: Path) -> Path:
    """The folder of the clips of `scan` at `rate_hz`; its name is a hash of everything that determines its content."""
    rows = [(r.id, scan.facts[r.id].sha256, r.start_s, r.end_s) for r in scan.corpus.recordings]
    identity = [FORMAT, RESAMPLER, rate_hz, *dataclasses.astuple(Cut.of(cut)), rows]
    return cache_dir / "clips" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def build(
    scan: Scan, rates_hz: Sequence[int], cut: Cut | float, cache_dir: Path, progress: Progress | None = None
) -> dict[int, Path]:
    """Builds the missing entries on all cores; each file is decoded once for all rates.

    Args:
        cut: the way to cut recordings; a number is the length of a clip [s].

    Returns:
        The folder of each rate.

    Raises:
        CorpusError: if the disk is too small or not writable, or if a file has changed since it was scanned.
    """
    folders = {hz: entry(scan, hz, cut, cache_dir) for hz in sorted(set(rates_hz))}
    if all(folder.exists() for folder in folders.values()):
        return folders
    root = cache_dir / "clips"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _one_builder(root):
            missing = {hz: folder for hz, folder in folders.items() if not folder.exists()}
            if missing:  # else another process built them while this one waited
                _build(scan, missing, Cut.of(cut), root, progress or (lambda items, total, what: items))
    except OSError as error:
        raise CorpusError(
            f"--cache-dir {cache_dir}: {error.strerror or error}; choose another, or free some space"
        ) from None
    return folders


def _build(scan: Scan, missing: dict[int, Path], cut: Cut, root: Path, progress: Progress) -> None:
    num_clips = scan.num_clips(cut)
    total = sum(num_clips.values())
    first = dict(zip(num_clips, np.cumsum([0, *num_clips.values()]), strict=False))
    needed = sum(2 * total * round(cut.clip_s * hz) for hz in missing)
    if (free := shutil.disk_usage(root).free) < needed * 1.02:
        raise CorpusError(
            f"--cache-dir {root.parent}: needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; choose another"
        )
    # The name holds host and process, so that the remains of a dead builder can be told from the work of a live one.
    part = Path(tempfile.mkdtemp(prefix=f".part-{os.getpid()}-", suffix=f"@{socket.gethostname()}", dir=root))
    try:
        waves = {hz: _reserve(part / str(hz), (total, round(cut.clip_s * hz))) for hz in missing}
        levels = {hz: np.zeros((total, 2), np.int16) for hz in missing}
        lengths = {hz: np.zeros(total, np.int64) for hz in missing}

        of_file: dict[Path, list[Recording]] = {}
        for recording in scan.corpus.recordings:
            of_file.setdefault(recording.path, []).append(recording)

        def fill(recordings: Sequence[Recording]) -> None:
            for hz, samples in _samples(recordings[0], scan, missing):
                for recording in recordings:
                    num = num_clips[recording.id]
                    place = slice(first[recording.id], first[recording.id] + num)
                    clips, lengths[hz][place] = cut.cut(excerpt(recording, samples, hz), hz, num)
                    waves[hz][place] = clips
                    levels[hz][place] = np.stack([clips.min(axis=1), clips.max(axis=1)], axis=1)

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            title = "resampling to " + ", ".join(f"{hz / 1000:g}" for hz in missing) + " kHz"
            for _ in progress(pool.map(fill, of_file.values()), len(of_file), title):
                pass
        for hz, folder in missing.items():
            np.save(part / str(hz) / "lengths.npy", lengths[hz])
            _finish(part / str(hz), waves[hz], levels[hz], scan, hz, cut)
            _publish(part / str(hz), folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _reserve(folder: Path, shape: tuple[int, int]) -> np.memmap:
    """A memory map with its disk space reserved: a full disk is an error here, but kills the process (SIGBUS) later."""
    folder.mkdir()
    wave: np.memmap = np.lib.format.open_memmap(folder / "clips.npy", mode="w+", dtype=np.int16, shape=shape)
    with (folder / "clips.npy").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return wave


def _samples(
    recording: Recording, scan: Scan, rates_hz: Iterable[int]
) -> Iterator[tuple[int, Int16[np.ndarray, " samples"]]]:
    """Yields each rate with the whole file of a recording at that rate."""
    try:
        wave, facts = decode(recording.path, "allow")
    except BadAudio as error:
        raise CorpusError(f"{recording.path}: {error}; it was good when it was scanned a moment ago") from None
    if facts.sha256 != scan.facts[recording.id].sha256:
        raise CorpusError(
            f"{recording.path}: changed since it was scanned; touch it, so that it is read anew, and start again"
        )
    for hz in rates_hz:
        yield hz, to_int16(resample(wave, facts.rate_hz, hz))


def excerpt(
    recording: Recording, samples: Int16[np.ndarray, " samples"], rate_hz: int
) -> Int16[np.ndarray, " excerpt"]:
    """A recording's samples of those of its file."""
    end = None if recording.end_s is None else round(recording.end_s * rate_hz)
    return samples[round(recording.start_s * rate_hz) : end]


def _finish(folder: Path, wave: np.memmap, levels: np.ndarray, scan: Scan, rate_hz: int, cut: Cut) -> None:
    """Writes levels, tables and manifest beside the clips, and flushes everything to the disk."""
    np.save(folder / "levels.npy", levels)
    num_clips = scan.num_clips(cut)
    recordings = [
        {
            "recording": r.id,
            "path": str(r.path),
            "start_s": r.start_s,
            "end_s": r.end_s,
            **dataclasses.asdict(scan.facts[r.id]),
        }
        for r in scan.corpus.recordings
    ]
    clips = [
        {"clip": n, "recording": r.id, "start_s": r.start_s + n * cut.hop_s}
        for r in scan.corpus.recordings
        for n in range(num_clips[r.id])
    ]
    for name, rows in (("recordings.csv", recordings), ("clips.csv", clips)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    manifest = {
        "format": FORMAT,
        "rate_hz": rate_hz,
        **dataclasses.asdict(cut),
        "resampler": RESAMPLER,
        "num_clips": len(wave),
        "num_clipped": int(((levels[:, 0] == -INT16_MAX - 1) | (levels[:, 1] == INT16_MAX)).sum()),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    wave.flush()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _publish(part: Path, folder: Path) -> None:
    """Renames a complete entry into place; if another process was faster, its entry is the same and stays."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _dead(part: Path) -> bool:
    """Whether the builder of this folder is dead: its process is gone or, on another host, the folder is a day old."""
    builder, _, host = part.name.partition("@")
    if host == socket.gethostname():
        return not Path("/proc", builder.split("-")[1]).exists()
    with suppress(OSError):
        return time.time() - part.stat().st_mtime > 86_400  # no build takes a day
    return False


@contextmanager
def _one_builder(root: Path) -> Iterator[None]:
    """Lets one process build at a time. This only saves work: entries stay complete even on disks without locks."""
    with (root / ".lock").open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in filter(_dead, root.glob(".part-*")):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
