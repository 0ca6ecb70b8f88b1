"""Writes an invented FSDD: ten digits by some speakers, at 8 kHz."""

from __future__ import annotations

import argparse
from pathlib import Path

from datasets.synthetic.speech import MIN_RATE_HZ, draw_speaker, draw_word, spoken
from datasets.synthetic.writing import MOST, claim, stream, within, write_wav

SPEAKERS = ("anna", "ben", "carla", "david", "emma", "felix")
SMALL = {"num_speakers": 3, "num_takes": 12, "seconds": (1, 1)}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--speakers", dest="num_speakers", type=int, default=len(SPEAKERS), metavar="N")
    parser.add_argument("--takes", dest="num_takes", type=int, default=12, metavar="N", help="of a digit by a speaker")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.3, 0.7), metavar=("LOW", "HIGH"))


def write(
    root: Path,
    num_speakers: int = len(SPEAKERS),
    num_takes: int = 12,
    seconds: tuple[float, float] = (0.3, 0.7),
    rate_hz: int = 8_000,
    seed: int = 0,
) -> str:
    """Writes the digits.

    Args:
        root: a folder that is empty or does not exist.
        num_takes: of each digit by each speaker; with more than ten, the official split has all three roles.
        seconds: shortest and longest recording [s].

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_speakers=(num_speakers, 1, len(SPEAKERS)), num_takes=(num_takes, 1, 50), seed=(seed, 0, MOST))
    within(shortest=(seconds[0], 0.1, 10), longest=(seconds[1], seconds[0], 10), rate_hz=(rate_hz, MIN_RATE_HZ, MOST))
    claim(root)
    (root / "recordings").mkdir()
    voices = [draw_speaker(stream(seed, 0, number)) for number in range(num_speakers)]
    for digit in range(10):
        word = draw_word(stream(seed, 1, digit))
        for number, voice in enumerate(voices):
            for index in range(num_takes):
                take = stream(seed, 2, digit, number, index)
                sound = spoken(word, voice, take, round(take.uniform(*seconds) * rate_hz), rate_hz)
                path = root / "recordings" / f"{digit}_{SPEAKERS[number]}_{index}.wav"
                write_wav(path, sound, rate_hz, "PCM_16")
    return f"{10 * num_speakers * num_takes} recordings of {num_speakers} speakers at {rate_hz} Hz in {root}"
