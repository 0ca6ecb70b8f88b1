"""Recordings of noise, for benchmarks whose figures do not depend on the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from datasets.engine import cache
from datasets.engine.corpus import Corpus, Recording
from datasets.engine.scan import scan

CLIP_S = 5.0
CLASSES = ("Cargo", "Passengership", "Tanker", "Tug")
CLIPS_EACH = 24  # clips in a recording of `entry`: two minutes, as in most recordings of DeepShip


def corpus(root: Path, num_recordings: int, seconds: float, rate_hz: int = 32_000) -> Corpus:
    """Writes recordings of white noise with 16 bits, of four classes in turn."""
    recordings = []
    for number in range(num_recordings):
        label = CLASSES[number % len(CLASSES)]
        path = root / label / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).standard_normal(round(seconds * rate_hz), np.float32)
        soundfile.write(path, 0.1 * noise, rate_hz, subtype="PCM_16")
        recordings.append(Recording(f"{label}/{number}", path, label))
    return Corpus("noise", root, tuple(sorted({r.label for r in recordings})), tuple(recordings))


def entry(folder: Path, num_clips: int, rate_hz: int = 32_000) -> Path:
    """Makes a cache entry of `num_clips` clips of noise, for `datasets.engine.clips.open_clips`.

    Args:
        num_clips: number of clips, which is rounded up to whole recordings.
    """
    recordings = corpus(folder / "audio", -(-num_clips // CLIPS_EACH), CLIPS_EACH * CLIP_S, rate_hz)
    scanned = scan(recordings, CLIP_S, folder / "cache")
    return cache.build(scanned, (rate_hz,), CLIP_S, folder / "cache")[rate_hz]
