"""Decodes, examines and resamples one audio file, and rounds it to 16 bits. It refuses files that cannot be trusted."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import soundfile
import soxr

from datasets.engine.decoding.containers import BadAudio, Header, header
from datasets.engine.files import opened

if TYPE_CHECKING:
    from jaxtyping import Float32, Int16

    Wave = Float32[np.ndarray, " samples"]

INT16_MAX = 32767
RESAMPLER = f"soxr HQ {soxr.__version__}"  # in studies of sampling rates this matters, so it is part of a cache's name
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000
BLOCK = 2**16  # samples; a block fits the CPU cache, a copy of DeepShip's longest recording at 64 kHz takes 0.3 GB
Silence = Literal["refuse", "allow"]  # whether a silent file is bad
MAX_PEAK = 2.0  # 6 dB above full scale; a higher peak means that the samples are not scaled to [-1, 1], except in Ogg
OGG = b"OggS"  # its samples have a scale, and what was loud overshoots it: a clip of ESC-50 at 16 kHz reaches 2.18


@dataclass(frozen=True)
class AudioFacts:
    """The facts of a file as it is, before any processing."""

    sha256: str  # of the file's bytes
    num_frames: int
    rate_hz: int
    num_channels: int
    peak: float  # of all channels; full scale is 1
    rms: float
    num_nonfinite: int = 0  # always 0: a file with any is refused, and this states it in the manifest
    silence: str = ""  # why it is constant in 16 bits; empty for sound

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return self.num_frames / self.rate_hz


class _Bytes(io.BytesIO):
    """The bytes of a file; a seek before its start, by a damaged header, goes to 0 because a callback cannot raise."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(max(offset, 0) if whence == 0 else offset, whence)


def decode(path: Path, silence: Silence = "refuse") -> tuple[Wave, AudioFacts]:
    """The waveform of a file, averaged over channels, and its facts.

    Args:
        silence: "allow" for a corpus whose silent files are meant, as those of a class "silence" are.

    Raises:
        BadAudio: if the file is empty, not audio, truncated, silent, without samples, not finite, or not scaled.
    """
    try:
        with opened(path) as file:
            data = file.read()
    except OSError as error:
        raise BadAudio(f"cannot be read ({error.strerror})") from None
    channels, rate_hz = _samples(data, header(data))
    peak = float(max(-channels.min(), channels.max()))
    if not math.isfinite(peak):
        num_bad = channels.size - np.count_nonzero(np.isfinite(channels))
        raise BadAudio(f"{num_bad} of {channels.size} samples are NaN or infinite")
    if peak > MAX_PEAK and not data.startswith(OGG):
        raise BadAudio(f"samples reach {peak:g}, not scaled to [-1, 1]; scale the file")
    wave = channels.mean(axis=1) if channels.shape[1] > 1 else channels[:, 0]
    reason = _silence(channels, wave, peak) if _constant(wave) else ""
    if reason and silence == "refuse":
        raise BadAudio(f"silent: {reason}")
    power = np.einsum("ij,ij->", channels, channels, dtype=np.float64) / channels.size
    facts = AudioFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        num_frames=len(channels),
        rate_hz=rate_hz,
        num_channels=channels.shape[1],
        peak=peak,
        rms=math.sqrt(power),
        silence=reason,
    )
    return wave, facts


def resample(wave: Wave, rate_hz: int, to_hz: int) -> Float32[np.ndarray, " resampled"]:
    """The waveform at another rate [Hz], by soxr's HQ recipe (a test checks that aliases are 150 dB down)."""
    if rate_hz == to_hz:
        return wave
    out: np.ndarray = soxr.resample(wave, rate_hz, to_hz, "HQ")
    return out


def to_int16(wave: Wave) -> Int16[np.ndarray, " samples"]:
    """Sixteen-bit samples with full scale at 32767, as libsndfile writes them; values beyond full scale are clipped."""
    samples = np.empty(len(wave), np.int16)
    for start in range(0, len(wave), BLOCK):
        scaled = wave[start : start + BLOCK] * np.float32(INT16_MAX)
        np.rint(scaled, out=scaled)
        samples[start : start + BLOCK] = np.clip(scaled, -INT16_MAX - 1, INT16_MAX, out=scaled)
    return samples


def duration_s(path: Path) -> float | None:
    """The length according to the file's header [s]; None if the header cannot be read."""
    try:
        with opened(path):
            return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return None


def _samples(data: bytes, container: Header) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """All samples of a file, and their rate [Hz], checked against the header of its container."""
    try:
        with soundfile.SoundFile(_Bytes(data)) as file:
            promised, rate_hz = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"not audio that libsndfile can read ({error.error_string.rstrip('.')})") from None
    except (RuntimeError, ValueError, MemoryError) as error:  # errors that a damaged header provokes
        raise BadAudio(f"its header cannot be right ({error})") from None
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise BadAudio(f"its header says {rate_hz} Hz, which is not a sampling rate of sound; fix the header")
    if len(channels) == 0:
        raise BadAudio("holds no samples")
    if len(channels) < promised:
        raise BadAudio(f"truncated: {len(channels)} of {promised} frames are there")
    for unit, stated, read in (
        ("Hz", container.rate_hz, rate_hz),
        ("channels", container.num_channels, channels.shape[1]),
        ("frames", container.num_frames, len(channels)),
    ):
        if stated not in (None, read):
            raise BadAudio(f"its header cannot be right: it says {stated} {unit}, libsndfile reads {read}")
    if container.md5 and container.md5 != _md5(channels, container.bits):
        raise BadAudio("damaged: the MD5 of its samples is not the one in its header; get the file again")
    return channels, rate_hz


def _md5(channels: Float32[np.ndarray, "samples channels"], bits: int) -> bytes:
    """The MD5 of samples as FLAC defines it: of integers with `bits` bits, each in as few bytes as can hold it."""
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(channels), BLOCK):
        samples = (channels[start : start + BLOCK] * np.float32(2 ** (bits - 1))).astype("<i4")
        packed = np.empty((samples.size, -(-bits // 8)), np.uint8)
        for byte in range(packed.shape[1]):  # one by one: copying all three at once takes eight times as long
            packed[:, byte] = samples.view(np.uint8).reshape(-1, 4)[:, byte]
        digest.update(packed.data)
    return digest.digest()


def _constant(wave: Wave) -> bool:
    """Whether a wave is constant once it is rounded to 16 bits, which is the form that trials read."""
    low, high = to_int16(np.array([wave.min(), wave.max()]))
    return bool(low == high)


def _silence(channels: Float32[np.ndarray, "samples channels"], wave: Wave, peak: float) -> str:
    """The reason why a wave is constant in 16 bits."""
    if channels.min() == channels.max():
        return f"every sample is {wave[0]:g}"
    if all(_constant(channel) for channel in channels.T):
        return f"every sample is {to_int16(wave[:1])[0]} in 16 bits, with a peak of {peak:g}; scale the file"
    return f"its {channels.shape[1]} channels cancel when they are averaged; keep one of them"
