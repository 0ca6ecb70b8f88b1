"""Writes an invented ShipsEar: recordings of ships with the real ones' numbers, and of the harbour without ships."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.shipsear import CLASS_NAMES, SHIP_OF, TYPES
from datasets.synthetic.ships import KINDS, draw_passage, draw_vessel, sea, ship_sound
from datasets.synthetic.sounds import shaped_noise
from datasets.synthetic.writing import MOST, claim, stream, within, write_wav

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

KIND_OF = {"A": "Tug", "B": "Tanker", "C": "Passengership", "D": "Cargo"}  # of the invented DeepShip
NUMBERS = {
    label: sorted(n for own, numbers in TYPES.values() if own == label for n in numbers) for label in CLASS_NAMES
}
SMALL = {"num_per_class": 12, "seconds": (5, 5.9), "spread": 0.3}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--recordings-per-class", dest="num_per_class", type=int, default=12, metavar="N")
    parser.add_argument("--seconds", type=float, nargs=2, default=(10, 30), metavar=("LOW", "HIGH"))
    parser.add_argument("--rate", dest="rate_hz", type=int, default=52_734, metavar="HZ")
    parser.add_argument("--spread", type=float, default=1.0, metavar="S", help="of the ships of a class (%(default)g)")


def write(
    root: Path,
    num_per_class: int = 12,
    seconds: tuple[float, float] = (10, 30),
    rate_hz: int = 52_734,
    seed: int = 0,
    spread: float = 1.0,
) -> str:
    """Writes the first recordings of each class; a ship sounds alike in all of its recordings.

    Args:
        root: a folder that is empty or does not exist.
        num_per_class: at most 30; a class has no more than the real one.
        seconds: shortest and longest recording [s].
        spread: how much ships of a class differ; 1 is much, 0.1 little.

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_per_class=(num_per_class, 1, 30), seed=(seed, 0, MOST), spread=(spread, 0.01, 1))
    within(shortest=(seconds[0], 0.1, MOST), longest=(seconds[1], seconds[0], MOST), rate_hz=(rate_hz, 1_000, MOST))
    claim(root)
    written = [(label, number) for label in CLASS_NAMES for number in NUMBERS[label][:num_per_class]]
    for label, number in written:
        ship, take = SHIP_OF.get(number, number), stream(seed, 1, number)
        length = round(take.uniform(*seconds) * rate_hz)
        sound = _sound(label, stream(seed, 0, ship), spread, length, rate_hz, take)
        write_wav(root / f"{number}__01_01_13_ship{ship}.wav", sound, rate_hz, "PCM_16")
    return f"{len(written)} recordings at {rate_hz} Hz in {root}"


def _sound(
    label: str, source: np.random.Generator, spread: float, length: int, rate_hz: int, take: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """The sound at the hydrophone: of a ship in the sea, or of the sea alone."""
    passage = draw_passage(length / rate_hz, take)
    if label not in KIND_OF:
        return shaped_noise(length, rate_hz, lambda f: sea(passage, f), take)
    return ship_sound(draw_vessel(KINDS[KIND_OF[label]], source, spread), passage, length, rate_hz, take)
