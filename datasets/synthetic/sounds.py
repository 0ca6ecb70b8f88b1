"""The elements of synthetic sounds: noise of a given spectrum, and periodic waves of given harmonics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

# A look-up without interpolation errs by at most half a step: harmonic 100 keeps 49 dB of signal over noise.
TABLE_LENGTH = 65_536


def shaped_noise(
    num_samples: int,
    rate_hz: int,
    density: Callable[[Float[np.ndarray, " features"]], Float[np.ndarray, " features"]],
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Gaussian noise without a mean.

    Args:
        density: one-sided power per hertz at the frequencies given to it [Hz], all above zero.
    """
    frequency_hz = np.fft.rfftfreq(num_samples, 1 / rate_hz)[1:].astype(np.float32)
    parts = rng.standard_normal((2, len(frequency_hz)), dtype=np.float32)
    spectrum = np.zeros(len(frequency_hz) + 1, np.complex64)
    spectrum[1:] = np.sqrt(density(frequency_hz) * (rate_hz * num_samples / 4)) * (parts[0] + 1j * parts[1])
    noise: np.ndarray = np.fft.irfft(spectrum, num_samples)
    return noise


def table(
    amplitudes: Float[np.ndarray, " harmonics"], rng: np.random.Generator | None = None
) -> Float[np.ndarray, " steps"]:
    """One period of a sum of harmonics, the first of them at index 0, with random phases or (no `rng`) as cosines."""
    spectrum = np.zeros(TABLE_LENGTH // 2 + 1, np.complex128)
    turns = rng.random(len(amplitudes)) if rng else np.zeros(len(amplitudes))
    spectrum[1 : len(amplitudes) + 1] = amplitudes * np.exp(2j * np.pi * turns) * (TABLE_LENGTH / 2)
    return np.fft.irfft(spectrum).astype(np.float32)


def played(period: Float[np.ndarray, " steps"], cycles: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """The periodic wave at a running phase.

    Args:
        period: a `table`.
        cycles: periods since the start, at each sample; its slope is the momentary frequency.
    """
    return period[(cycles * TABLE_LENGTH).astype(np.int64) % TABLE_LENGTH]
