"""Writes an invented DeepShip: four classes of ships, with vessels and metafiles."""

from __future__ import annotations

import argparse
import datetime
import itertools
import string
from pathlib import Path

import numpy as np

from datasets.synthetic.ships import KINDS, draw_passage, draw_vessel, ship_sound
from datasets.synthetic.writing import MOST, MOST_FILES, claim, grouped, stream, write_wav

SYLLABLES = ("BAR", "DO", "FEN", "GA", "HOL", "KI", "LU", "MER", "NOR", "PEL", "QUA", "RI", "SOL", "TA", "VO", "WEN")
SMALL = {"num_per_class": 48, "seconds": (5, 5.9), "spread": 0.3}  # of a study in miniature
FIRST_DAY = datetime.date(2017, 11, 4)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--recordings-per-class", dest="num_per_class", type=int, default=12, metavar="N")
    parser.add_argument("--seconds", type=float, nargs=2, default=(10, 30), metavar=("LOW", "HIGH"))
    parser.add_argument("--rate", dest="rate_hz", type=int, default=32_000, metavar="HZ")
    parser.add_argument("--subtype", choices=("FLOAT", "PCM_16"), default="FLOAT")
    parser.add_argument("--spread", type=float, default=1.0, metavar="S", help="of the ships of a class (%(default)g)")


def write(
    root: Path,
    num_per_class: int = 12,
    seconds: tuple[float, float] = (10, 30),
    rate_hz: int = 32_000,
    seed: int = 0,
    subtype: str = "FLOAT",
    spread: float = 1.0,
) -> str:
    """Writes recordings of four classes of ships, two or three of each vessel, and the metafiles.

    Args:
        root: a folder that is empty or does not exist.
        seconds: shortest and longest recording [s].
        subtype: "FLOAT", as the real files are, or "PCM_16".
        spread: how much ships of a class differ; 1 is much, and classes overlap, 0.1 little.

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    shortest_s, longest_s = seconds
    numbers = 0 < num_per_class <= MOST_FILES and seed >= 0 and 0 < spread <= 1
    if not (numbers and 0.1 <= shortest_s <= longest_s <= MOST and 1_000 <= rate_hz <= MOST):
        raise ValueError(
            f"num_per_class={num_per_class}, seconds={seconds}, rate_hz={rate_hz}, seed={seed}, "
            f"spread={spread}: take 1 to {MOST_FILES:,} recordings, 0.1 s <= shortest <= longest <= {MOST:,} s, 1,000 "
            f"to {MOST:,} Hz, a seed of at least 0, and a spread above 0 and at most 1"
        )
    claim(root)
    total_s = sum(
        _write_class(root, index, num_per_class, seconds, rate_hz, seed, subtype, spread) for index in range(len(KINDS))
    )
    return f"{len(KINDS) * num_per_class} recordings, {total_s:.0f} s at {rate_hz} Hz in {root}"


def _write_class(
    root: Path,
    index: int,
    num: int,
    seconds: tuple[float, float],
    rate_hz: int,
    seed: int,
    subtype: str,
    spread: float,
) -> float:
    """Writes one class of ships; returns how long its recordings are together [s]."""
    label, kind = list(KINDS.items())[index]
    names = _vessel_names(seed)[index :: len(KINDS)]
    order = stream(seed, index, 0)
    vessels = [vessel for vessel, _ in grouped(num, (2, 3))]
    order.shuffle(vessels)
    rows, total_s = [], 0.0
    for identity, (number, (day, start)) in enumerate(zip(vessels, _schedule(num, order), strict=True), start=1):
        vessel = draw_vessel(kind, stream(seed, index, 1, number), spread)
        rng = stream(seed, index, 2, identity)
        duration_s = round(rng.uniform(*seconds), 1)
        passage = draw_passage(duration_s, rng)
        sound = ship_sound(vessel, passage, round(duration_s * rate_hz), rate_hz, rng)
        path = root / label / f"{day}-{identity}" / f"{start}.wav"
        path.parent.mkdir(parents=True)
        write_wav(path, sound, rate_hz, subtype)
        name = names[number] + " " * (identity % 2)  # the real names end in a space or not
        ranges = f"{passage.start_range_m:.0f}-{passage.end_range_m:.0f}"
        rows.append(f"{identity},{vessel.ais_code},{name},{day[:8]},{start},{duration_s:.0f},{ranges},\r\n")
        total_s += duration_s
    (root / label / f"{label.lower()}-metafile").write_text("".join(rows), newline="")
    return total_s


def _schedule(num: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Days (with a letter where a day has several recordings) and times, in order and all different."""
    days = FIRST_DAY.toordinal() + np.cumsum(rng.integers(0, 4, num))
    when = sorted(zip(days.tolist(), rng.choice(86_400, num, replace=False).tolist(), strict=True))
    schedule = []
    for day, group in itertools.groupby(when, key=lambda pair: pair[0]):
        times = [f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}" for _, second in group]
        letters = string.ascii_lowercase if len(times) > 1 else ("",)
        schedule += [
            (f"{datetime.date.fromordinal(day):%Y%m%d}{letter}", time)
            for letter, time in zip(letters, times, strict=False)
        ]
    return schedule


def _vessel_names(seed: int) -> list[str]:
    """All names there are, in the seed's order."""
    words = ["".join(pair) for pair in itertools.product(SYLLABLES, repeat=2)]
    names = [" ".join(pair) for pair in itertools.product(words, repeat=2)]
    return [names[k] for k in stream(seed).permutation(len(names))]
