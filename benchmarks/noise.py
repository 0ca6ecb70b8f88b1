"""Recordings of noise, for benchmarks whose figures do not depend on what is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from datasets.engine import cache
from datasets.engine.corpus import Corpus, Recording
from datasets.engine.scan import scan

CLIP_S = 5.0
CLASSES = ("Cargo", "Passengership", "Tanker", "Tug")
CLIPS_EACH = 24  # in a recording of `entry`: two minutes, as most of DeepShip's are


def corpus(root: Path, num_recordings: int, seconds: float, rate_hz: int = 32_000) -> Corpus:
    """Writes recordings of white noise, 16 bit, of four classes in turn."""
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
    """The cache entry of `num_clips` clips of noise, which a trial opens with `datasets.engine.clips.open_clips`.

    Args:
        num_clips: rounded up to whole recordings.
    """
    found = corpus(folder / "audio", -(-num_clips // CLIPS_EACH), CLIPS_EACH * CLIP_S, rate_hz)
    scanned = scan(found, CLIP_S, folder / "cache")
    return cache.build(scanned, (rate_hz,), CLIP_S, folder / "cache")[rate_hz]
