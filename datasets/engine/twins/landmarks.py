"""Describes a sound by landmarks: the moments where it is loudest, each with 64 bits of the spectrum around it.

A landmark is found by its sound, not by its place in the file: a copy has the same landmarks wherever it begins.
All lengths are durations, and only the band below 4 kHz is used, so that rate, level and format hardly matter.

Source: the bits are those of Haitsma and Kalker (2002), the signs of differences of band energies in time and in
frequency; there they stand at every frame, here at the maxima of the envelope.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from jaxtyping import Float32, Int32, UInt64

    Wave = Float32[np.ndarray, " samples"]

VERSION = 1  # raise it when the landmarks or the digest of a sound change
RATE_HZ = 8_000
BLOCK = 16  # samples of the envelope's step: 2 ms
SMOOTH = 15  # steps over which the envelope is averaged
WEIGHTS = np.hanning(SMOOTH + 2)[1:-1].astype(np.float32) / BLOCK
REACH = 64  # steps to each side in which a landmark is the maximum: 128 ms; a fourth of it in short files
SHORT_S = 3.0
SPACINGS = (8, 1)  # samples between the two of a difference, whose envelopes follow low and high frequencies
FLOOR = 1e-10  # of the envelope; 16 bits hold nothing quieter
FRAME, HOP, NUM_FRAMES = 256, 192, 5  # samples at RATE_HZ: frames of 32 ms, 24 ms apart
NUM_BANDS = 17  # whose differences, of four pairs of frames, are 64 bits
BAND_HZ = (100, 3_900)
DIGEST_BLOCK, DIGEST_BLOCKS = 4_096, 64  # samples; of a long file, blocks at equal distances


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The landmarks of a file, in the order of time, and a digest of its samples."""

    digest: bytes  # equal for equal samples; of a long file it does not cover all of them
    times: Int32[np.ndarray, " landmarks"]  # [samples at RATE_HZ]
    codes: UInt64[np.ndarray, " landmarks"]

    def to_bytes(self) -> bytes:
        """The form in which landmarks are stored: the digest of 32 bytes, the times and the codes."""
        return self.digest + self.times.astype("<i4").tobytes() + self.codes.astype("<u8").tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> Landmarks:
        """The landmarks that `to_bytes` stored."""
        num = (len(data) - 32) // 12
        times, codes = data[32 : 32 + 4 * num], data[32 + 4 * num :]
        return Landmarks(data[:32], np.frombuffer(times, "<i4"), np.frombuffer(codes, "<u8"))


def landmarks(wave: Wave, rate_hz: int) -> Landmarks:
    """The landmarks of a waveform at `rate_hz` [Hz]."""
    low = narrowed(wave, rate_hz)
    reach = REACH if len(low) > SHORT_S * RATE_HZ else REACH // 4
    times = np.concatenate([_maxima(low, spacing, reach) for spacing in SPACINGS])
    order = np.argsort(times, kind="stable")
    return Landmarks(digest(wave), times[order].astype(np.int32), _codes(low, times)[order])


def narrowed(wave: Wave, rate_hz: int) -> Float32[np.ndarray, " low"]:
    """The waveform at RATE_HZ; a copy of another rate has the same below 4 kHz."""
    low: np.ndarray = wave if rate_hz == RATE_HZ else soxr.resample(wave, rate_hz, RATE_HZ, "LQ")
    return low


def digest(wave: Wave) -> bytes:
    """A hash of the number of samples and of at most DIGEST_BLOCKS blocks of them, which are equal in equal waves."""
    hashed = hashlib.sha256(str(len(wave)).encode())
    last = max(len(wave) - DIGEST_BLOCK, 0)
    num = min(DIGEST_BLOCKS, -(-len(wave) // DIGEST_BLOCK))
    for start in np.linspace(0, last, num).astype(int):
        hashed.update(np.ascontiguousarray(wave[start : start + DIGEST_BLOCK]).data)
    return hashed.digest()


def _maxima(wave: Wave, spacing: int, reach: int) -> np.ndarray:
    """The moments [samples] at which the envelope of a wave's differences is largest within `reach` to both sides."""
    num = (len(wave) - spacing) // BLOCK
    if num < SMOOTH:
        return np.zeros(0, int)
    blocks = (wave[spacing:] - wave[:-spacing])[: num * BLOCK].reshape(num, BLOCK)
    envelope = np.convolve(np.einsum("ij,ij->i", blocks, blocks), WEIGHTS, "same")
    reached, width = np.pad(envelope, reach), 1
    while width < 2 * reach + 1:  # the maximum over 1, 2, 4, ... steps, and at last over all of them
        step = min(width, 2 * reach + 1 - width)
        reached, width = np.maximum(reached[:-step], reached[step:]), width + step
    left, top, right = envelope[:-2], envelope[1:-1], envelope[2:]
    peaks = np.flatnonzero((top == reached[1:-1]) & (top > left) & (top >= right) & (top > FLOOR))
    left, top, right = left[peaks], top[peaks], right[peaks]
    return np.round((peaks + 1.5 + (left - right) / (2 * (left - 2 * top + right))) * BLOCK + spacing / 2).astype(int)


def _codes(wave: Wave, times: np.ndarray) -> UInt64[np.ndarray, " landmarks"]:
    """The 64 bits of the spectrum around each moment."""
    margin = (NUM_FRAMES - 1) * HOP // 2 + FRAME // 2
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, margin), FRAME)
    starts = times[:, None] + HOP * np.arange(NUM_FRAMES)
    edges = np.unique(np.round(np.geomspace(*BAND_HZ, NUM_BANDS + 1) * FRAME / RATE_HZ).astype(int))
    window, codes = np.hanning(FRAME).astype(np.float32), np.zeros(len(times), np.uint64)
    for first in range(0, len(times), 256):  # blocks that fit the cache
        part = slice(first, first + 256)
        spectrum = np.fft.rfft(frames[starts[part]] * window)
        energy = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, edges, axis=2)[..., :-1]
        bits = np.diff(np.diff(energy, axis=2), axis=1) > 0
        codes[part] = np.packbits(bits.reshape(len(bits), -1), axis=1).view(">u8")[:, 0]
    return codes
