"""Writes an invented UrbanSound8K: city sounds in ten folds, many of them shorter than 4 s."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from datasets.synthetic.events import EVENTS, MIN_RATE_HZ, event_sound
from datasets.synthetic.writing import MOST, MOST_FILES, claim, grouped, stream, within, write_wav

# In the order of classID; the sounds are those of the invented ESC-50 that come nearest, or are left.
SOUNDS = {
    "air_conditioner": "wind", "car_horn": "church_bells", "children_playing": "chirping_birds", "dog_bark": "dog",
    "drilling": "crackling_fire", "engine_idling": "engine", "gun_shot": "clock_tick", "jackhammer": "helicopter",
    "siren": "siren", "street_music": "rain",
}  # fmt: skip
HEADER = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
NUM_FOLDS, LONGEST_S = 10, 4
SMALL = {"num_per_class": 15, "seconds": (4, 4)}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--clips-per-class", dest="num_per_class", type=int, default=15, metavar="N")
    parser.add_argument("--classes", dest="num_classes", type=int, default=len(SOUNDS), metavar="N")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.5, 4), metavar=("LOW", "HIGH"))
    parser.add_argument("--rate", dest="rate_hz", type=int, default=44_100, metavar="HZ")


def write(
    root: Path,
    num_per_class: int = 15,
    num_classes: int = len(SOUNDS),
    seconds: tuple[float, float] = (0.5, LONGEST_S),
    rate_hz: int = 44_100,
    seed: int = 0,
) -> str:
    """Writes excerpts, one or two of each source, and their table.

    Args:
        root: a folder that is empty or does not exist.
        num_per_class: excerpts; 15 or more put every class into each of the ten folds.
        seconds: shortest and longest excerpt [s]; every second one has the longest.

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_per_class=(num_per_class, 1, MOST_FILES), num_classes=(num_classes, 1, len(SOUNDS)))
    within(shortest=(seconds[0], 0.1, LONGEST_S), longest=(seconds[1], seconds[0], LONGEST_S))
    within(rate_hz=(rate_hz, MIN_RATE_HZ, MOST), seed=(seed, 0, MOST))
    _make_folders(root)
    sources = stream(seed).permutation(np.arange(100_000, 1_000_000))  # numbers of a sound archive, each used once
    rows: list[tuple[str | int | float, ...]] = []
    for number, (label, event) in enumerate(list(SOUNDS.items())[:num_classes]):
        for clip, (group, part) in enumerate(grouped(num_per_class, (2, 1))):
            take = stream(seed, number, 2, clip)
            fold, source = group % NUM_FOLDS + 1, int(sources[group * len(SOUNDS) + number])
            length_s = seconds[1] if clip % 2 else round(take.uniform(*seconds), 2)
            sound = event_sound(EVENTS[event], stream(seed, number, 1, group), take, rate_hz)
            name, heard = f"{source}-{number}-0-{part}.wav", sound[: round(length_s * rate_hz)]
            write_wav(root / "audio" / f"fold{fold}" / name, heard, rate_hz, "PCM_16")
            rows.append((name, source, 0.0, length_s, 1, fold, number, label))
    _write_table(root / "metadata" / "UrbanSound8K.csv", rows)
    return f"{len(rows)} excerpts of at most {seconds[1]:g} s at {rate_hz} Hz in {root}"


def _make_folders(root: Path) -> None:
    """Makes the folders of the table and of the ten folds, unless there is something in `root`."""
    claim(root)
    for folder in ("metadata", *(f"audio/fold{fold}" for fold in range(1, NUM_FOLDS + 1))):
        (root / folder).mkdir(parents=True)


def _write_table(path: Path, rows: list[tuple[str | int | float, ...]]) -> None:
    """Writes the table, sorted by the names of the files."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(sorted(rows))
