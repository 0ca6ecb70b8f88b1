"""Fixtures: small recordings, folder trees and corpora on disk, and the folder of the real recordings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.corpus import Corpus, Recording

DATA = Path(__file__).parents[3] / "shared" / "data"
WriteWav = Callable[..., Path]
MakeCorpus = Callable[..., Corpus]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real recordings."""
    if not DATA.is_dir():
        pytest.skip(f"the real recordings are not here: {DATA}")
    return DATA


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory for tests that write thousands of files; on a disk each takes 5 to 15 ms."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def write_wav() -> WriteWav:
    """A function that writes noise, different for each seed, and creates the folders above the file.

    Samples are 16-bit integers, because libsndfile writes the time of day into the header of a float file.
    """

    def write(
        path: Path,
        seconds: float = 1.0,
        rate_hz: int = 8_000,
        seed: int = 0,
        subtype: str = "PCM_16",
        channels: int = 1,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate_hz), channels))
        soundfile.write(path, noise, rate_hz, subtype=subtype, format=None if path.suffix else "WAV")
        return path

    return write


@pytest.fixture
def make_corpus(tmp_path: Path, write_wav: WriteWav) -> MakeCorpus:
    """A function that writes `num` recordings of each of two classes, and returns their corpus."""

    def make(num: int = 2, seconds: float = 1.0, rate_hz: int = 8_000, root: str = "corpus") -> Corpus:
        folder, recordings = tmp_path / root, []
        for label in ("Cargo", "Tug"):
            for k in range(num):
                path = folder / label / f"{k}.wav"
                write_wav(path, seconds, rate_hz, seed=2 * k + (label == "Tug"))
                recordings.append(Recording(f"{label}/{k}", path, label, {"vessel": f"{label} {k // 2}"}))
        return Corpus("deepship", folder, ("Cargo", "Tug"), tuple(recordings))

    return make
