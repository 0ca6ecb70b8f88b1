"""One audio file: decoded, examined, resampled, as 16-bit samples. Nothing that cannot be trusted passes in silence."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from datasets.engine.decoding.containers import BadAudio, Header, header
from datasets.engine.files import opened

if TYPE_CHECKING:
    from jaxtyping import Float32, Int16

    Wave = Float32[np.ndarray, " samples"]

INT16_MAX = 32767
RESAMPLER = f"soxr HQ {soxr.__version__}"  # a scientific parameter of a study of sampling rates: part of a cache's name
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000
BLOCK = 2**16  # samples that fit the cache; at 64 kHz a scaled copy of DeepShip's longest recording would be 0.3 GB
MAX_PEAK = 2.0  # 6 dB above full scale: beyond, samples are not scaled to [-1, 1] and would only clip


@dataclass(frozen=True)
class AudioFacts:
    """What a file holds, before anything is done to it."""

    sha256: str  # of the file's bytes
    num_frames: int
    rate_hz: int
    num_channels: int
    peak: float  # of all channels; full scale is 1
    rms: float
    num_nonfinite: int = 0  # a file that holds any is refused; the manifest says so for the rest

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return self.num_frames / self.rate_hz


class _Bytes(io.BytesIO):
    """The bytes of a file, which begin at 0 even if a damaged header leads before it: a callback cannot raise."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(max(offset, 0) if whence == 0 else offset, whence)


def decode(path: Path) -> tuple[Wave, AudioFacts]:
    """The waveform of a file, channels averaged, and its facts.

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
    if peak > MAX_PEAK:
        raise BadAudio(f"samples reach {peak:g}, not scaled to [-1, 1]; scale the file")
    wave = channels.mean(axis=1) if channels.shape[1] > 1 else channels[:, 0]
    if _constant(wave):
        raise BadAudio(f"silent: {_silence(channels, wave, peak)}")
    power = np.einsum("ij,ij->", channels, channels, dtype=np.float64) / channels.size
    facts = AudioFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        num_frames=len(channels),
        rate_hz=rate_hz,
        num_channels=channels.shape[1],
        peak=peak,
        rms=math.sqrt(power),
    )
    return wave, facts


def resample(wave: Wave, rate_hz: int, to_hz: int) -> Float32[np.ndarray, " resampled"]:
    """The waveform at another rate, by soxr's HQ recipe (aliases 150 dB down, checked by a test)."""
    if rate_hz == to_hz:
        return wave
    out: np.ndarray = soxr.resample(wave, rate_hz, to_hz, "HQ")
    return out


def to_int16(wave: Wave) -> Int16[np.ndarray, " samples"]:
    """Sixteen-bit samples, full scale at 32767 as libsndfile writes them; what lies beyond full scale is clipped."""
    samples = np.empty(len(wave), np.int16)
    for start in range(0, len(wave), BLOCK):
        scaled = wave[start : start + BLOCK] * np.float32(INT16_MAX)
        np.rint(scaled, out=scaled)
        samples[start : start + BLOCK] = np.clip(scaled, -INT16_MAX - 1, INT16_MAX, out=scaled)
    return samples


def duration_s(path: Path) -> float | None:
    """Length by the file's header [s]; None where there is no readable header."""
    try:
        with opened(path):
            return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return None


def _samples(data: bytes, told: Header) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """All samples of a file, and their rate [Hz], held against what its container says."""
    try:
        with soundfile.SoundFile(_Bytes(data)) as file:
            promised, rate_hz = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"not audio that libsndfile can read ({error.error_string.rstrip('.')})") from None
    except (RuntimeError, ValueError, MemoryError) as error:  # what a damaged header provokes
        raise BadAudio(f"its header cannot be right ({error})") from None
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise BadAudio(f"its header says {rate_hz} Hz, which is no sampling rate of sound; fix the header")
    if len(channels) == 0:
        raise BadAudio("holds no samples")
    if len(channels) < promised:
        raise BadAudio(f"truncated: {len(channels)} of {promised} frames are there")
    for what, said, read in (
        ("Hz", told.rate_hz, rate_hz),
        ("channels", told.num_channels, channels.shape[1]),
        ("frames", told.num_frames, len(channels)),
    ):
        if said not in (None, read):
            raise BadAudio(f"its header cannot be right: it says {said} {what}, libsndfile reads {read}")
    if told.md5 and told.md5 != _md5(channels, told.bits):
        raise BadAudio("damaged: its samples have another MD5 than its header says; get the file again")
    return channels, rate_hz


def _md5(channels: Float32[np.ndarray, "samples channels"], bits: int) -> bytes:
    """The MD5 of samples as whole numbers of `bits` bits, in as few bytes as hold them: FLAC's."""
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(channels), BLOCK):
        samples = (channels[start : start + BLOCK] * np.float32(2 ** (bits - 1))).astype("<i4")
        packed = np.empty((samples.size, -(-bits // 8)), np.uint8)
        for byte in range(packed.shape[1]):  # one after the other: all three at once take eight times as long
            packed[:, byte] = samples.view(np.uint8).reshape(-1, 4)[:, byte]
        digest.update(packed.data)
    return digest.digest()


def _constant(wave: Wave) -> bool:
    """Whether nothing is left of a wave in 16 bits, which is how trials have it."""
    low, high = to_int16(np.array([wave.min(), wave.max()]))
    return bool(low == high)


def _silence(channels: Float32[np.ndarray, "samples channels"], wave: Wave, peak: float) -> str:
    """Why a wave is constant in 16 bits."""
    if channels.min() == channels.max():
        return f"every sample is {wave[0]:g}"
    if all(_constant(channel) for channel in channels.T):
        return f"every sample is {to_int16(wave[:1])[0]} in 16 bits, of a peak of {peak:g}; scale the file"
    return f"its {channels.shape[1]} channels cancel when they are averaged; keep one of them"
