"""Measures the leak check: its cost beside the scan, the copies that it recognises, and the pairs that it accuses.

    python -m benchmarks.leaks [--folder DIR] [--mutants N] [--recordings N] [--seconds S] [--seed N] [--json FILE]

DIR holds corpora, one folder each; without it, recordings of noise are written. From each corpus whose recordings last
two seconds or more, recordings are drawn and stored in the ten ways of `benchmarks.mutants`, and in random mixtures of
one to four of them. Then all files of each corpus are compared with each other, and every pair with the same sound is
named: of recordings that differ, each would be a false alarm, so listen to them. Times are CPU times of one thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import noise
from benchmarks.measured import Row, at_least, at_most, parser, show
from benchmarks.mutants import WAYS, Copy, mixture, write
from datasets.engine.corpus import audio_files
from datasets.engine.decoding.audio import BadAudio, decode
from datasets.engine.twins.finding import Twin, compare
from datasets.engine.twins.landmarks import Landmarks, landmarks

SUFFIXES = (".wav", ".flac", ".ogg")
LEAST_S = 2.0  # of a recording whose copies must be recognised: half of half of it is half a second
SHARE = 0.1  # of the scan's time that the landmarks may take
NAMED = 12  # pairs in a note


@dataclass
class Heard:
    """The files of a corpus, their landmarks, and the time that both took."""

    name: str
    paths: list[Path] = field(default_factory=list)
    made: list[Landmarks] = field(default_factory=list)
    long: list[Path] = field(default_factory=list)  # of at least LEAST_S
    audio_s: float = 0.0
    scan_s: float = 0.0
    landmarks_s: float = 0.0


def heard(name: str, paths: Sequence[Path]) -> Heard:
    """Reads files, and makes their landmarks; bad files are left out."""
    it = Heard(name)
    for path in paths:
        began = time.process_time()
        try:
            wave, facts = decode(path)
        except BadAudio:
            continue
        read = time.process_time()
        it.made.append(landmarks(wave, facts.rate_hz))
        it.landmarks_s += time.process_time() - read
        it.scan_s += read - began
        it.audio_s += facts.duration_s
        it.paths.append(path)
        if facts.duration_s >= LEAST_S:
            it.long.append(path)
    return it


def is_caught(original: Path, copy: Path) -> bool:
    """Whether two files are found to have the same sound; true of a silent copy, which a scan refuses anyway."""
    try:
        decode(copy)
    except BadAudio:
        return True
    files = {"original": original, "copy": copy}
    made = {name: landmarks(wave, facts.rate_hz) for name, (wave, facts) in ((n, decode(p)) for n, p in files.items())}
    return bool(compare(made, files))


def drawn(paths: Sequence[Path], rng: np.random.Generator) -> tuple[Path, Copy]:
    """A recording, ready to be copied, and another one of its corpus that may follow it."""
    one, other = (paths[int(k)] for k in rng.choice(len(paths), 2, replace=False))
    (wave, facts), (following, _) = decode(one), decode(other)
    return one, Copy(wave[:, None], facts.rate_hz, following[:, None])


def ten_ways(it: Heard, num: int, rng: np.random.Generator, folder: Path) -> Counter[str]:
    """The number of `num` recordings whose copy was recognised, for each way."""
    caught: Counter[str] = Counter({way.__name__: 0 for way in WAYS})
    for number in range(num):
        original, copy = drawn(it.long, rng)
        for way in WAYS:
            path = write(way(copy), folder, f"{number}-{way.__name__}")
            caught[way.__name__] += is_caught(original, path)
            path.unlink()
    return caught


def mixtures(it: Heard, num: int, rng: np.random.Generator, folder: Path) -> tuple[int, list[str]]:
    """The number of `num` random copies that were recognised, and the ways of the others."""
    missed = []
    for number in range(num):
        original, copy = drawn(it.long, rng)
        mixed, ways = mixture(copy, rng)
        path = write(mixed, folder, f"mixture-{number}")
        if not is_caught(original, path):
            missed.append(f"{original.stem} by {' and '.join(ways)}")
        path.unlink()
    return num - len(missed), missed


def pairs(it: Heard) -> tuple[Twin, ...]:
    """The pairs of a corpus with the same sound, by their paths."""
    names = [str(path) for path in it.paths]
    return compare(dict(zip(names, it.made, strict=True)), dict(zip(names, it.paths, strict=True)))


def rows(it: Heard, num_mutants: int, rng: np.random.Generator, folder: Path) -> list[Row]:
    """The rows of one corpus."""
    hours = it.audio_s / 3600
    scan, ours = it.scan_s / hours, it.landmarks_s / hours
    cost = f"{ours:.3g} CPU-s per hour of audio beside {scan:.3g}; {len(it.paths):,} files"
    table = [at_most(f"{it.name}: landmarks, of the time of the scan", "", ours / scan, SHARE, cost)]
    if len(it.long) > 1 and num_mutants:
        num = max(1, num_mutants // 20)
        caught = ten_ways(it, num, rng, folder)
        note = ", ".join(f"{way} {number}" for way, number in caught.items())
        least = statistics.fmean(caught.values()) / num
        table.append(at_least(f"{it.name}: copies of {num} recordings in ten ways, recognised", "", least, 1.0, note))
        found, missed = mixtures(it, num_mutants, rng, folder)
        note = "missed: " + "; ".join(missed[:NAMED]) if missed else ""
        table.append(
            at_least(f"{it.name}: {num_mutants} mixtures of them, recognised", "", found / num_mutants, 1.0, note)
        )
    accused = pairs(it)
    named = "; ".join(f"{Path(t.first).stem} and {Path(t.second).stem}, {t.how}" for t in accused[:NAMED])
    table.append(Row(f"{it.name}: pairs with the same sound", "pairs", len(accused), note=named))
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, metavar="DIR", help="corpora, one folder each; by default noise")
    options.add_argument("--mutants", type=int, default=100, metavar="N", help="random copies of each; default 100")
    options.add_argument("--recordings", type=int, default=24, metavar="N", help="of noise; default 24")
    options.add_argument("--seconds", type=float, default=122, metavar="S", help="of each of noise; default 122")
    options.add_argument("--seed", type=int, default=1, metavar="N", help="default 1")
    args = options.parse_args(argv)
    rng = np.random.default_rng(args.seed)
    table = []
    with tempfile.TemporaryDirectory(prefix="leaks-") as temporary:
        folder = Path(temporary)
        if args.folder:
            corpora = sorted(path for path in args.folder.iterdir() if path.is_dir())
        else:
            corpora = [noise.corpus(folder / "noise", args.recordings, args.seconds).root]
        for place in corpora:
            if paths := audio_files(place, SUFFIXES):
                table += rows(heard(place.name, paths), args.mutants, rng, folder / "copies")
                print(f"{place.name}: done", flush=True)
    show(table, args)


if __name__ == "__main__":
    main()
