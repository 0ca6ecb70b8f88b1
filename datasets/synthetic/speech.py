"""Invented speech: syllables of a voice whose vowels glide, each after a hiss. It sounds like nobody and says nothing.

A word is the same for all speakers, a speaker the same in all words, and each take is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.synthetic.sounds import shaped_noise

if TYPE_CHECKING:
    from jaxtyping import Float

MIN_RATE_HZ = 8_000
FORMANTS_HZ = ((250, 850), (900, 2_300), (2_400, 3_200))  # the ranges of the three lowest resonances of a vowel


@dataclass(frozen=True)
class Word:
    """The sounds of a word."""

    formants_hz: Float[np.ndarray, "steps formants"]  # through which its vowel glides
    hiss_hz: float  # of the consonant before it
    hiss_level: float


@dataclass(frozen=True)
class Speaker:
    """A voice."""

    pitch_hz: float
    tract: float  # factor of all resonances
    tilt: float  # power of the order by which harmonics fall


@dataclass(frozen=True)
class Manner:
    """The way in which a word is said, each as a factor of the neutral one."""

    pitch: float = 1.0
    swing: float = 1.0  # of the pitch
    hiss: float = 1.0
    tilt: float = 1.0


NEUTRAL = Manner()


def draw_word(rng: np.random.Generator) -> Word:
    """A word of three vowels."""
    formants_hz = np.array([[rng.uniform(*band) for band in FORMANTS_HZ] for _ in range(3)])
    return Word(formants_hz, float(rng.uniform(1_200, 3_600)), float(rng.uniform(0.05, 0.6)))


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """A speaker; pitch and tract go together, as a smaller head has both higher."""
    size = rng.uniform(-1, 1)
    pitch_hz = 150 * 2 ** (0.6 * size + rng.normal(0, 0.1))
    return Speaker(float(pitch_hz), float(1 + 0.12 * size + rng.normal(0, 0.02)), float(rng.uniform(0.5, 1.1)))


def spoken(
    word: Word, speaker: Speaker, take: np.random.Generator, num_samples: int, rate_hz: int, manner: Manner = NEUTRAL
) -> Float[np.ndarray, " samples"]:
    """One take of a word, before a background 0 to 25 dB below it; peak at 0.1 to 0.9."""
    progress = np.linspace(0, 1, num_samples)
    swing = manner.swing * take.uniform(0.05, 0.2) * np.sin(np.pi * (2 * progress + take.random()))
    pitch_hz = speaker.pitch_hz * manner.pitch * take.uniform(0.95, 1.05) * (1 + swing - 0.15 * progress)
    targets_hz = word.formants_hz * speaker.tract * take.normal(1, 0.12, word.formants_hz.shape)
    steps = np.linspace(0, 1, len(targets_hz))
    formants_hz = [np.interp(progress, steps, target_hz) for target_hz in targets_hz.T]
    voice = _voice(pitch_hz, formants_hz, speaker.tilt * manner.tilt, take, rate_hz)
    onset = np.exp(-(((progress - 0.08) / 0.06) ** 2))
    hiss = shaped_noise(num_samples, rate_hz, lambda f: 1 / (1 + ((f - word.hiss_hz) / 400) ** 2), take)
    loud = voice / voice.std() * np.sin(np.pi * np.clip(progress - 0.05, 0, 1) ** 0.7) ** 0.7
    loud += word.hiss_level * manner.hiss * onset * hiss / hiss.std()
    background = shaped_noise(num_samples, rate_hz, lambda f: 1 / f, take)
    mixed = loud + 10 ** (take.uniform(-25, 0) / 20) * background / background.std()
    return take.uniform(0.1, 0.9) * mixed / np.abs(mixed).max()


def _voice(
    pitch_hz: Float[np.ndarray, " samples"],
    formants_hz: list[Float[np.ndarray, " samples"]],
    tilt: float,
    rng: np.random.Generator,
    rate_hz: int,
) -> Float[np.ndarray, " samples"]:
    """The harmonics of a running pitch, those below half the rate, as loud as the resonances pass them."""
    turns = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.zeros_like(pitch_hz)
    for order in range(1, int(min(rate_hz / 2, 4_000) / pitch_hz.max()) + 1):
        passed = sum(1 / (1 + ((order * pitch_hz - hz) / (50 + 0.06 * hz)) ** 2) for hz in formants_hz)
        voice += passed / order**tilt * np.sin(order * turns + rng.uniform(0, 2 * np.pi))
    return voice
