"""Writes an invented GTZAN: ten genres of machine-made music, with chords, a beat and a tempo."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.synthetic.sounds import played, table
from datasets.synthetic.writing import MOST, claim, stream, within, write_wav

if TYPE_CHECKING:
    from jaxtyping import Float

SMALL = {"num_per_genre": 12, "seconds": 6.0}  # of a study in miniature


@dataclass(frozen=True)
class Style:
    """The music of a genre; songs vary around it."""

    tempo: float  # beats a minute
    drums: float  # level, of the chords' one
    brightness: float  # power of the order by which harmonics fall; higher is darker
    decay_s: float  # of a chord
    drive: float = 1.0  # distortion; 1 is little
    notes: tuple[int, ...] = (0, 4, 7)  # of the chord [semitones]


STYLES = {
    "blues": Style(90, 0.3, 1.2, 0.6, 1.5, (0, 4, 7, 10)), "classical": Style(80, 0.0, 1.6, 1.5),
    "country": Style(110, 0.3, 1.0, 0.25), "disco": Style(120, 0.9, 1.0, 0.3), "hiphop": Style(92, 1.5, 1.8, 0.5),
    "jazz": Style(130, 0.2, 1.5, 0.8, 1.0, (0, 3, 7, 10, 14)), "metal": Style(150, 0.8, 0.5, 0.9, 8.0, (0, 7, 12)),
    "pop": Style(115, 0.6, 1.2, 0.5), "reggae": Style(75, 0.7, 1.4, 0.15), "rock": Style(125, 0.7, 0.8, 0.7, 4.0),
}  # fmt: skip
STEPS = (0, 5, 7, -2, 3, 9)  # of the chords' roots [semitones]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--excerpts-per-genre", dest="num_per_genre", type=int, default=12, metavar="N")
    parser.add_argument("--genres", dest="num_genres", type=int, default=len(STYLES), metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S")


def write(
    root: Path,
    num_per_genre: int = 12,
    num_genres: int = len(STYLES),
    seconds: float = 30.0,
    rate_hz: int = 22_050,
    seed: int = 0,
) -> str:
    """Writes a folder for each genre; no two excerpts are of one song.

    Args:
        root: a folder that is empty or does not exist.
        seconds: length of an excerpt [s].

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_per_genre=(num_per_genre, 1, 100), num_genres=(num_genres, 1, len(STYLES)), seconds=(seconds, 0.5, 60))
    within(rate_hz=(rate_hz, 4_000, MOST), seed=(seed, 0, MOST))
    claim(root)
    for index, (genre, style) in enumerate(list(STYLES.items())[:num_genres]):
        (root / genre).mkdir()
        for number in range(num_per_genre):
            sound = song(style, round(seconds * rate_hz), rate_hz, stream(seed, index, number))
            write_wav(root / genre / f"{genre}.{number:05d}.wav", sound, rate_hz, "PCM_16")
    return f"{num_genres * num_per_genre} excerpts of {seconds:g} s at {rate_hz} Hz in {root}"


def song(style: Style, num_samples: int, rate_hz: int, rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    """An excerpt: a chord every two beats, a drum on every beat; peak at 0.3 to 0.9."""
    beat_s = 60 / style.tempo / rng.uniform(0.8, 1.25)
    time_s = np.arange(num_samples) / rate_hz + rng.uniform(0, 8) * beat_s
    beat = (time_s / beat_s).astype(int)
    roots = rng.choice(STEPS, 8)[beat // 2 % 8] + rng.integers(-6, 7)
    harmonics = np.arange(1, 13) ** -(style.brightness * rng.uniform(0.8, 1.2))
    chords = np.zeros(num_samples)
    for note in style.notes:
        pitch_hz = 220 * 2 ** ((roots + note) / 12)
        chords += played(
            table(harmonics * (np.arange(1, 13) * pitch_hz.max() < rate_hz / 2), rng), np.cumsum(pitch_hz) / rate_hz
        )
    chords *= np.exp(-(time_s % (2 * beat_s)) / (style.decay_s * rng.uniform(0.7, 1.4)))
    chords = np.tanh(style.drive * chords / chords.std())
    struck = np.exp(-(time_s % beat_s) / 0.06) * np.where(beat % 2, 1.0, 0.6)
    mixed = chords / chords.std() + style.drums * rng.uniform(0.7, 1.3) * struck * rng.standard_normal(num_samples)
    mixed += 10 ** rng.uniform(-2.5, -1) * rng.standard_normal(num_samples)
    return rng.uniform(0.3, 0.9) * mixed / np.abs(mixed).max()
