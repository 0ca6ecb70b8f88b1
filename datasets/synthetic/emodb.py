"""Writes an invented EmoDB: sentences of ten speakers in several emotions."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from datasets.synthetic.speech import MIN_RATE_HZ, Manner, draw_speaker, draw_word, spoken
from datasets.synthetic.writing import MOST, claim, stream, within, write_wav

SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
SENTENCES = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
MANNERS = {  # by the letter of the emotion
    "W": Manner(pitch=1.4, swing=2.5, hiss=1.5, tilt=0.6),
    "T": Manner(pitch=0.85, swing=0.5, hiss=0.6, tilt=1.5),
    "N": Manner(),
    "F": Manner(pitch=1.5, swing=2.5, hiss=1.1, tilt=0.9),
    "A": Manner(pitch=1.6, swing=1.2, hiss=1.2, tilt=1.1),
    "L": Manner(pitch=0.9, swing=0.6, hiss=0.8, tilt=1.2),
    "E": Manner(pitch=1.0, swing=1.6, hiss=2.0, tilt=0.8),
}
SMALL = {"num_sentences": 2, "num_emotions": 4, "seconds": (2, 2)}  # of a study in miniature
WORDS = 3  # of a sentence


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this corpus to the command."""
    parser.add_argument("--sentences", dest="num_sentences", type=int, default=4, metavar="N")
    parser.add_argument("--emotions", dest="num_emotions", type=int, default=len(MANNERS), metavar="N")
    parser.add_argument("--seconds", type=float, nargs=2, default=(1.5, 3), metavar=("LOW", "HIGH"))


def write(
    root: Path,
    num_sentences: int = 4,
    num_emotions: int = len(MANNERS),
    seconds: tuple[float, float] = (1.5, 3),
    rate_hz: int = 16_000,
    seed: int = 0,
) -> str:
    """Writes every sentence once in every emotion by every speaker.

    Args:
        root: a folder that is empty or does not exist.
        seconds: shortest and longest recording [s].

    Returns:
        How much it is, and where.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    within(num_sentences=(num_sentences, 1, len(SENTENCES)), num_emotions=(num_emotions, 1, len(MANNERS)))
    within(shortest=(seconds[0], 0.5, 30), longest=(seconds[1], seconds[0], 30))
    within(rate_hz=(rate_hz, MIN_RATE_HZ, MOST), seed=(seed, 0, MOST))
    claim(root)
    (root / "wav").mkdir()
    for number, speaker in enumerate(SPEAKERS):
        voice = draw_speaker(stream(seed, 0, number))
        for index, sentence in enumerate(SENTENCES[:num_sentences]):
            words = [draw_word(stream(seed, 1, index, word)) for word in range(WORDS)]
            for kind, (letter, manner) in enumerate(list(MANNERS.items())[:num_emotions]):
                take = stream(seed, 2, number, index, kind)
                length = round(take.uniform(*seconds) * rate_hz / WORDS) + 1
                sound = np.concatenate([spoken(word, voice, take, length, rate_hz, manner) for word in words])
                write_wav(root / "wav" / f"{speaker}{sentence}{letter}a.wav", sound, rate_hz, "PCM_16")
    return f"{len(SPEAKERS) * num_sentences * num_emotions} sentences at {rate_hz} Hz in {root}"
