"""Writes an invented Speech Commands: words of many speakers in folders, with the lists of the published split."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.synthetic.speech import MIN_RATE_HZ, draw_speaker, draw_word, spoken
from datasets.synthetic.writing import MOST, claim, stream, within, write_wav

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
ROLES = ("train", "train", "train", "validation", "testing")  # of the speakers in turn; most of the real ones train
SMALL = {"num_words": 4, "num_speakers": 15, "seconds": (1, 1)}  # of a study in miniature


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--words", dest="num_words", type=int, default=len(WORDS), metavar="N")
    parser.add_argument("--speakers", dest="num_speakers", type=int, default=20, metavar="N")
    parser.add_argument("--takes", dest="num_takes", type=int, default=2, metavar="N", help="of a word by a speaker")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.6, 1), metavar=("LOW", "HIGH"))


def write(
    root: Path,
    num_words: int = len(WORDS),
    num_speakers: int = 20,
    num_takes: int = 2,
    seconds: tuple[float, float] = (0.6, 1),
    rate_hz: int = 16_000,
    seed: int = 0,
) -> str:
    """Writes words, the two lists, and two seconds of noise that no word is in.

    Args:
        root: a folder that is empty or does not exist.
        num_speakers: at least five, for three roles; each says a word `num_takes` times.
        seconds: shortest and longest recording [s].

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_words=(num_words, 1, len(WORDS)), num_speakers=(num_speakers, len(ROLES), 1_000))
    within(num_takes=(num_takes, 1, 100), rate_hz=(rate_hz, MIN_RATE_HZ, MOST), seed=(seed, 0, MOST))
    within(shortest=(seconds[0], 0.1, 1), longest=(seconds[1], seconds[0], 1))
    claim(root)
    voices = [draw_speaker(stream(seed, 0, number)) for number in range(num_speakers)]
    names = [f"{key:08x}" for key in stream(seed).choice(2**32, num_speakers, replace=False)]
    lists: dict[str, list[str]] = {role: [] for role in ROLES}
    for index, word in enumerate(WORDS[:num_words]):
        sounds = draw_word(stream(seed, 1, index))
        (root / word).mkdir()
        for number, again in itertools.product(range(num_speakers), range(num_takes)):
            take, name = stream(seed, 2, index, number, again), f"{word}/{names[number]}_nohash_{again}.wav"
            length = round(take.uniform(*seconds) * rate_hz)
            write_wav(root / name, spoken(sounds, voices[number], take, length, rate_hz), rate_hz, "PCM_16")
            lists[ROLES[number % len(ROLES)]].append(name)
    _write_others(root, lists, 0.1 * stream(seed, 3).standard_normal(2 * rate_hz), rate_hz)
    return f"{num_words * num_speakers * num_takes} words of {num_speakers} speakers at {rate_hz} Hz in {root}"


def _write_others(
    root: Path, lists: Mapping[str, Sequence[str]], noise: Float[np.ndarray, " samples"], rate_hz: int
) -> None:
    """Writes the lists of two roles, and the noise."""
    for role in ("validation", "testing"):
        (root / f"{role}_list.txt").write_text("".join(f"{name}\n" for name in sorted(lists[role])))
    (root / "_background_noise_").mkdir()
    write_wav(root / "_background_noise_" / "white_noise.wav", noise, rate_hz, "PCM_16")
