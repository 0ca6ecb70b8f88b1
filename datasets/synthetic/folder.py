"""Writes invented recordings as one's own are kept: a folder for each class, and in it one for each animal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.synthetic.sounds import played, table
from datasets.synthetic.writing import MOST_FILES, claim, stream, write_wav

if TYPE_CHECKING:
    from jaxtyping import Float

PITCHES_HZ = {"frog": (300.0, 700.0), "owl": (400.0, 900.0), "cricket": (2_000.0, 3_500.0)}
RATES_HZ = (16_000, 22_050)  # in turn, as folders that grew over years have them
SECONDS = (2.0, 3.0)
SMALL = {"num_animals": 10}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--animals-per-class", dest="num_animals", type=int, default=12, metavar="N")


def write(root: Path, num_animals: int = 12, seed: int = 0) -> str:
    """Writes two recordings of each animal.

    Args:
        root: a folder that is empty or does not exist.
        num_animals: of each class.

    Returns:
        How many recordings there are, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    if not (0 < num_animals <= MOST_FILES and seed >= 0):
        raise ValueError(
            f"num_animals={num_animals}, seed={seed}: take 1 to {MOST_FILES:,} animals, and a seed of at least 0"
        )
    claim(root)
    for index, (species, range_hz) in enumerate(PITCHES_HZ.items()):
        for animal in range(num_animals):
            folder = root / species / f"{species}{animal + 1}"
            folder.mkdir(parents=True)
            own = stream(seed, index, animal)
            pitch_hz, calls_per_s = own.uniform(*range_hz), own.uniform(1, 4)
            for take in range(2):
                rate_hz = RATES_HZ[(animal + take) % len(RATES_HZ)]
                sound = _calls(pitch_hz, calls_per_s, rate_hz, stream(seed, index, animal, take))
                write_wav(folder / f"{take + 1}.wav", sound, rate_hz, "PCM_16")
    return f"{len(PITCHES_HZ) * num_animals * 2} recordings of {SECONDS[0]:g} to {SECONDS[1]:g} s in {root}"


def _calls(
    pitch_hz: float, calls_per_s: float, rate_hz: int, take: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Calls at a steady pace before noise, peak at half of the range."""
    time_s = np.arange(round(take.uniform(*SECONDS) * rate_hz)) / rate_hz
    voice = played(table(1 / np.arange(1, 4), take), pitch_hz * take.uniform(0.95, 1.05) * time_s)
    loud = np.maximum(0, np.sin(2 * np.pi * (calls_per_s * time_s + take.random())))
    sound = loud * voice + take.uniform(0.1, 0.5) * take.standard_normal(len(time_s))
    return 0.5 * sound / np.abs(sound).max()
