"""Invented everyday sounds, five seconds each: ten of ESC-50's categories, simple in make and rich in variety.

An event takes two generators: `source` draws what is recorded (this dog), `take` what it does now (when it barks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.synthetic.sounds import played, shaped_noise, table

if TYPE_CHECKING:
    from jaxtyping import Float

CLIP_S = 5
MIN_RATE_HZ = 16_000  # birds reach 7.5 kHz

Generator = np.random.Generator
Synthesis = Callable[[Generator, Generator, int], "Float[np.ndarray, ' samples']"]


@dataclass(frozen=True)
class Event:
    """A category of ESC-50, under its number there."""

    target: int
    in_esc10: bool
    synthesise: Synthesis


def event_sound(event: Event, source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """The event before a background of noise (0 to 25 dB below it), peak at 0.1 to 0.9."""
    background_db, slope = take.uniform(-25, 0), take.uniform(0, 2)
    sound = event.synthesise(source, take, rate_hz)
    background = shaped_noise(CLIP_S * rate_hz, rate_hz, lambda f: f**-slope, take)
    mixed = sound / sound.std() + 10 ** (background_db / 20) * background / background.std()
    return take.uniform(0.1, 0.9) * mixed / np.abs(mixed).max()


def _dog(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Barks: short hoarse voices whose pitch falls."""
    progress = np.linspace(0, 1, int(source.uniform(0.1, 0.35) * rate_hz))
    pitch_hz = source.uniform(250, 900) * (1 - source.uniform(0.1, 0.4) * progress)
    voice = _voice(pitch_hz, source.uniform(0.2, 1, 8) / np.arange(1, 9) ** 0.5, source, rate_hz)
    bark = (voice + source.uniform(0.2, 1) * source.standard_normal(len(progress))) * np.sin(np.pi * progress**0.5)
    return _struck(_steps(take, 0.3, 1.6), bark, take, rate_hz)


def _chirping_birds(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Two syllables, each a glide with or without a trill."""
    total = np.zeros(CLIP_S * rate_hz)
    for _ in range(2):
        progress = np.linspace(0, 1, int(source.uniform(0.04, 0.25) * rate_hz))
        start_hz, end_hz = source.uniform(1_800, 6_500, 2)
        trill_hz = source.uniform(0, 800) * np.sin(2 * np.pi * source.uniform(3, 12) * progress)
        chirp = _voice(start_hz + (end_hz - start_hz) * progress + trill_hz, np.array([1, 0.15]), source, rate_hz)
        total += _struck(_steps(take, 0.15, 0.9), chirp * np.sin(np.pi * progress) ** 2, take, rate_hz)
    return total


def _engine(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Harmonics of the firing rate, which hunts, and noise that pulses with it."""
    time_s = np.arange(CLIP_S * rate_hz) / rate_hz
    hunting = 1 + source.uniform(0, 0.15) * np.sin(2 * np.pi * (take.uniform(0.1, 0.6) * time_s + take.random()))
    pitch_hz = source.uniform(18, 90) * hunting
    tones = _voice(pitch_hz, source.exponential(1, 30) / np.arange(1, 31) ** 0.7, source, rate_hz)
    noise = _band(100, source.uniform(500, 4_000), take, rate_hz)
    pulses = 1 + played(table(np.array([0.6, 0.3])), np.cumsum(pitch_hz) / rate_hz)
    return tones / tones.std() + source.uniform(0.3, 1.2) * pulses * noise


def _rain(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Many drops over a hiss."""
    onsets_s = take.uniform(0, CLIP_S, int(source.uniform(300, 3_000)))
    drop = _ring(source.uniform(1_000, 6_000, 3), source.uniform(0.001, 0.006), rate_hz, source)
    drops = _struck(onsets_s, drop, take, rate_hz)
    return drops / drops.std() + source.uniform(0.3, 1.5) * _band(source.uniform(200, 1_500), 9_000, take, rate_hz)


def _siren(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """A pitch that sweeps up and down, slowly (a wail) or quickly (a yelp), or steps between two tones."""
    turns = np.exp(source.uniform(*np.log((0.15, 4)))) * np.arange(CLIP_S * rate_hz) / rate_hz + take.random()
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
    if source.random() < 0.3:
        swing = np.round(swing)
    low_hz = source.uniform(350, 900)
    pitch_hz = low_hz * (1 + source.uniform(0.25, 1.2) * swing) * take.uniform(0.95, 1.05)
    return _voice(pitch_hz, source.uniform(0.1, 1, 6) / np.arange(1, 7), source, rate_hz)


def _clock_tick(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Tick and tock, evenly."""
    period_s = source.choice([0.2, 0.25, 0.5, 1.0]) * source.uniform(0.97, 1.03)
    onsets_s = np.arange(take.uniform(0, period_s), CLIP_S, period_s)
    decay_s = source.uniform(0.002, 0.02)
    tick, tock = (_ring(source.uniform(1_200, 7_000, 4), decay_s, rate_hz, source) for _ in range(2))
    even = _struck(onsets_s[::2], tick, take, rate_hz)
    return even + source.uniform(0.4, 1) * _struck(onsets_s[1::2], tock, take, rate_hz)


def _wind(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Low noise in gusts, and now and then a whistle of noise."""
    gusts = np.exp(source.uniform(0.4, 1.2) * _slow(take))
    low = _band(20, source.uniform(150, 900), take, rate_hz)
    whistle_hz = source.uniform(400, 2_000)
    whistle = _band(whistle_hz / 1.2, whistle_hz * 1.2, take, rate_hz)
    return _stretched(gusts, rate_hz) * low + source.uniform(0, 0.6) * _stretched(gusts**2, rate_hz) * whistle


def _church_bells(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """One to three bells; partials in the ratios of a minor-third bell, the high ones die first."""
    total = np.zeros(CLIP_S * rate_hz)
    for _ in range(source.integers(1, 4)):
        ratios = np.array([0.5, 1, 1.2, 1.5, 2, 2.67, 3, 4]) * source.uniform(0.99, 1.01, 8)
        bell = _ring(source.uniform(250, 1_100) * ratios, source.uniform(0.3, 2) / ratios, rate_hz, source)
        total += _struck(_steps(take, 0.5, 2.5), bell, take, rate_hz)
    return total


def _helicopter(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Low noise chopped by the rotor, and the whine of a turbine."""
    time_s = np.arange(CLIP_S * rate_hz) / rate_hz
    period = np.exp(source.uniform(0.8, 2.5) * table(1 / np.arange(1, 5)))
    chopped = played(period / period.std(), source.uniform(9, 28) * time_s + take.random())
    whine = _voice(np.full(len(time_s), source.uniform(800, 4_000)), np.array([1.0]), source, rate_hz)
    return chopped * _band(30, source.uniform(200, 1_500), take, rate_hz) + source.uniform(0, 0.4) * whine


def _crackling_fire(source: Generator, take: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Few cracks of very different strength over a rumble."""
    onsets_s = take.uniform(0, CLIP_S, int(source.uniform(25, 250)))
    crack = _ring(source.uniform(800, 7_000, 5), source.uniform(0.001, 0.008), rate_hz, source)
    cracks = _struck(onsets_s, crack, take, rate_hz, spread=1.0)
    return cracks / cracks.std() + source.uniform(0.1, 1) * _band(30, source.uniform(200, 2_000), take, rate_hz)


EVENTS = {
    "dog": Event(0, True, _dog),
    "rain": Event(10, True, _rain),
    "church_bells": Event(46, False, _church_bells),
    "siren": Event(42, False, _siren),
    "engine": Event(44, False, _engine),
    "chirping_birds": Event(14, False, _chirping_birds),
    "clock_tick": Event(38, True, _clock_tick),
    "wind": Event(16, False, _wind),
    "helicopter": Event(40, True, _helicopter),
    "crackling_fire": Event(12, True, _crackling_fire),
}


def _steps(take: Generator, low_s: float, high_s: float) -> Float[np.ndarray, " features"]:
    """Onsets so far apart."""
    onsets_s = take.uniform(0, low_s) + np.cumsum(take.uniform(low_s, high_s, int(CLIP_S / low_s) + 1)) - low_s
    return onsets_s[onsets_s < CLIP_S]


def _struck(
    onsets_s: Float[np.ndarray, " onsets"],
    piece: Float[np.ndarray, " piece"],
    take: Generator,
    rate_hz: int,
    spread: float = 0.4,
) -> Float[np.ndarray, " samples"]:
    """The piece at each onset, its strength log-normal with this spread."""
    num_samples = CLIP_S * rate_hz
    strikes = np.zeros(num_samples)
    np.add.at(strikes, (onsets_s * rate_hz).astype(int), take.lognormal(0, spread, len(onsets_s)))
    padded = 2 * num_samples
    return np.fft.irfft(np.fft.rfft(strikes, padded) * np.fft.rfft(piece[:num_samples], padded), padded)[:num_samples]


def _voice(
    pitch_hz: Float[np.ndarray, " samples"], amplitudes: Float[np.ndarray, " features"], rng: Generator, rate_hz: int
) -> Float[np.ndarray, " samples"]:
    """Harmonics of a running pitch, those only that never fold back."""
    heard = np.arange(1, len(amplitudes) + 1) * pitch_hz.max() < rate_hz / 2
    return played(table(amplitudes * heard, rng), np.cumsum(pitch_hz) / rate_hz)


def _ring(
    frequencies_hz: Float[np.ndarray, " features"],
    decay_s: float | Float[np.ndarray, " features"],
    rate_hz: int,
    rng: Generator,
) -> Float[np.ndarray, " samples"]:
    """Decaying partials, struck at once, until the longest is 60 dB down."""
    time_s = np.arange(int(min(6.9 * np.max(decay_s), CLIP_S) * rate_hz) + 1)[:, None] / rate_hz
    angles = 2 * np.pi * (frequencies_hz * time_s + rng.random(len(frequencies_hz)))
    partials = rng.uniform(0.2, 1, len(frequencies_hz)) * np.exp(-time_s / decay_s) * np.sin(angles)
    ringing: np.ndarray = partials.sum(1)
    return ringing


def _band(low_hz: float, high_hz: float, rng: Generator, rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Noise of unit power between two frequencies, with soft edges."""
    noise = shaped_noise(
        CLIP_S * rate_hz, rate_hz, lambda f: 1 / (1 + (low_hz / f) ** 4) / (1 + (f / high_hz) ** 4), rng
    )
    return noise / noise.std()


def _slow(rng: Generator) -> Float[np.ndarray, " features"]:
    """Smooth noise of about unit power, 20 values a second."""
    return shaped_noise(CLIP_S * 20, 20, lambda f: 1 / (1 + (f / 0.5) ** 4) / 0.5, rng)


def _stretched(values: Float[np.ndarray, " features"], rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Evenly spaced values, interpolated to the clip's samples."""
    num_samples = CLIP_S * rate_hz
    return np.interp(np.linspace(0, len(values) - 1, num_samples), np.arange(len(values)), values)
