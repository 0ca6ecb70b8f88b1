"""Writes an invented ESC-50: everyday sounds in five folds."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from datasets.synthetic.events import CLIP_S, EVENTS, MIN_RATE_HZ, event_sound
from datasets.synthetic.writing import MOST, MOST_FILES, claim, grouped, stream, write_wav

SMALL = {"num_per_class": 24}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--clips-per-class", dest="num_per_class", type=int, default=8, metavar="N")
    parser.add_argument("--classes", dest="num_classes", type=int, default=len(EVENTS), metavar="N")
    parser.add_argument("--rate", dest="rate_hz", type=int, default=44_100, metavar="HZ")


def write(
    root: Path, num_per_class: int = 8, num_classes: int = len(EVENTS), rate_hz: int = 44_100, seed: int = 0
) -> str:
    """Writes clips of everyday sounds, one or two takes of each source, and their table.

    Args:
        root: a folder that is empty or does not exist.
        num_per_class: clips; 8 or more put every class into each of the five folds.

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    numbers = 0 < num_per_class <= MOST_FILES and 0 < num_classes <= len(EVENTS) and seed >= 0
    if not (numbers and MIN_RATE_HZ <= rate_hz <= MOST):
        raise ValueError(
            f"num_per_class={num_per_class}, num_classes={num_classes}, rate_hz={rate_hz}, seed={seed}: take 1 to "
            f"{MOST_FILES:,} clips, 1 to {len(EVENTS)} classes, {MIN_RATE_HZ:,} to {MOST:,} Hz, a seed of at least 0"
        )
    claim(root)
    (root / "audio").mkdir()
    (root / "meta").mkdir()
    sources = stream(seed).permutation(np.arange(100_000, 1_000_000))  # numbers of a sound archive, each used once
    rows: list[tuple[str | int | bool, ...]] = []
    for index, category in enumerate(list(EVENTS)[:num_classes]):
        event = EVENTS[category]
        for clip, (group, take) in enumerate(grouped(num_per_class, (2, 1))):
            fold, source = group % 5 + 1, int(sources[group * len(EVENTS) + index])
            sound = event_sound(event, stream(seed, index, 1, group), stream(seed, index, 2, clip), rate_hz)
            name = f"{fold}-{source}-{'AB'[take]}-{event.target}.wav"
            write_wav(root / "audio" / name, sound, rate_hz, "PCM_16")
            rows.append((name, fold, event.target, category, event.in_esc10, source, "AB"[take]))
    with (root / "meta/esc50.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("filename", "fold", "target", "category", "esc10", "src_file", "take"))
        writer.writerows(sorted(rows))
    return f"{len(rows)} recordings, {len(rows) * CLIP_S} s at {rate_hz} Hz in {root}"
