"""Measures making clips at six rates from recordings, against one WAV file for each clip.

    python -m benchmarks.prepare [--recordings N] [--seconds S] [--rounds N] [--folder DIR] [--json FILE]

The peer works like the code of Mohammadi et al. 2024: for every rate `librosa.load`, `librosa.resample` (soxr HQ), and
a 16-bit WAV file for every five seconds. Both turn the same recordings of noise into the same samples, except that
soundfile rounds down and ours rounds to nearest. The figures are CPU times of all threads; the sides take turns, and
medians are taken over the rounds after a small one that loads the libraries. The later work of the kernel to write
everything to the disk is in neither figure.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

from benchmarks import noise
from benchmarks.measured import Row, against, at_most, parser, show
from datasets.engine import cache
from datasets.engine.clips import open_clips
from datasets.engine.corpus import Corpus
from datasets.engine.scan import scan

RATES_HZ = (2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
PEER = "WAV per clip"
DEEPSHIP_CLIPS = 33_770


@dataclass
class Measured:
    """CPU time of each round [s], and counts of the files that the first round wrote."""

    peer_s: list[float] = field(default_factory=list)
    scan_s: list[float] = field(default_factory=list)
    build_s: list[float] = field(default_factory=list)
    peer_files: int = 0
    clip_files: int = 0
    all_files: int = 0
    num_clips: int = 0
    differ_by: int = 0


def wav_per_clip(corpus: Corpus, folder: Path) -> None:
    """Writes a tree of WAV files for each rate, as the peer does."""
    for hz in RATES_HZ:
        length = round(noise.CLIP_S * hz)
        for recording in corpus.recordings:
            wave, from_hz = librosa.load(recording.path, sr=None)
            wave = librosa.resample(wave, orig_sr=from_hz, target_sr=hz)
            for number in range(len(wave) // length):
                path = wav_file(folder, hz, recording.id, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, wave[number * length : (number + 1) * length], hz, subtype="PCM_16")


def wav_file(folder: Path, rate_hz: int, recording: str, number: int) -> Path:
    """The file of the peer for a clip."""
    return folder / str(rate_hz) / recording / f"{number}.wav"


def compare(folder: Path, entries: dict[int, Path]) -> tuple[int, int]:
    """The number of clips, and the largest difference between our samples and the peer's [16-bit steps].

    Raises:
        ValueError: if a clip of the peer has another rate or length.
    """
    num_clips, most = 0, 0
    for hz, entry in entries.items():
        clips = open_clips(entry)
        for wave, recording, number in zip(clips.wave, clips.recording, clips.number, strict=True):
            peers, rate_hz = soundfile.read(wav_file(folder, hz, str(recording), int(number)), dtype="int16")
            if (rate_hz, peers.shape) != (hz, wave.shape):
                raise ValueError(f"{recording}, clip {number}: {wave.shape} at {hz} Hz, {peers.shape} at {rate_hz} Hz")
            most = max(most, int(np.abs(wave.astype(np.int32) - peers).max()))
            num_clips += 1
    return num_clips, most


def cpu_s(work: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """The result of `work`, and the CPU time that it took in all threads [s]."""
    began = time.process_time()
    return work(*args), time.process_time() - began


def measure(corpus: Corpus, folder: Path, num_rounds: int) -> Measured:
    """Prepares the corpus in both ways, `num_rounds` times."""
    measured = Measured()
    for number in range(num_rounds):
        wavs, store = folder / "wavs", folder / "cache"
        measured.peer_s.append(cpu_s(wav_per_clip, corpus, wavs)[1])
        scanned, scan_s = cpu_s(scan, corpus, noise.CLIP_S, store)
        entries, build_s = cpu_s(cache.build, scanned, RATES_HZ, noise.CLIP_S, store)
        measured.scan_s.append(scan_s)
        measured.build_s.append(build_s)
        if number == 0:
            measured.peer_files = sum(path.is_file() for path in wavs.rglob("*"))
            measured.clip_files = sum((entry / "clips.npy").is_file() for entry in entries.values())
            measured.all_files = sum(path.is_file() for path in store.rglob("*"))
            measured.num_clips, measured.differ_by = compare(wavs, entries)
        shutil.rmtree(wavs)
        shutil.rmtree(store)
    return measured


def rows(measured: Measured, hours: float) -> list[Row]:
    """The table for a measurement with `hours` of audio."""
    peer, build = statistics.median(measured.peer_s) / hours, statistics.median(measured.build_s) / hours
    scanned = statistics.median(measured.scan_s) / hours
    unit, agreement = (
        "CPU-s per hour of audio",
        f"{measured.num_clips:,} clips, samples within {measured.differ_by} of 65,536",
    )
    others = measured.all_files - measured.clip_files
    deepship = f"of DeepShip {len(RATES_HZ) * DEEPSHIP_CLIPS:,} against {measured.clip_files}"
    return [
        against(f"clips of {len(RATES_HZ)} rates, without the scan", unit, build, peer, PEER, 2.3, agreement),
        Row(
            "the scan before it", unit, scanned, note="once a file, and remembered: refuses bad audio, hashes the rest"
        ),
        against("both together", unit, scanned + build, peer, PEER),
        at_most(
            "files of clips",
            "files",
            measured.clip_files,
            len(RATES_HZ),
            f"and {others} small ones (levels, tables, manifests, the scan's memory); {deepship}",
            peer=measured.peer_files,
            peer_name=PEER,
            ratio=measured.peer_files / measured.clip_files,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the results as JSON if asked."""
    options = parser(__doc__)
    options.add_argument("--recordings", type=int, default=24, metavar="N", help="default 24")
    options.add_argument("--seconds", type=float, default=122, metavar="S", help="of each; default 122")
    options.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")
    options.add_argument("--folder", type=Path, metavar="DIR", help="where to write; by default a temporary folder")
    args = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="prepare-", dir=args.folder) as temporary:
        folder = Path(temporary)
        measure(noise.corpus(folder / "first", 2, noise.CLIP_S), folder, 1)
        corpus = noise.corpus(folder / "audio", args.recordings, args.seconds)
        measured = measure(corpus, folder, args.rounds)
    show(rows(measured, args.recordings * args.seconds / 3600), args)


if __name__ == "__main__":
    main()
