"""One audio file: decoded, examined, resampled, as 16-bit samples. Nothing that cannot be trusted passes in silence."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

if TYPE_CHECKING:
    from jaxtyping import Float32, Int16

    Wave = Float32[np.ndarray, " samples"]

INT16_MAX = 32767
RESAMPLER = f"soxr HQ {soxr.__version__}"  # a scientific parameter of a study of sampling rates: part of a cache's name
MAX_PEAK = 2.0  # 6 dB above full scale: beyond, samples are not scaled to [-1, 1] and would only clip


class BadAudio(ValueError):
    """A file that must not be used; the message is the reason, without the path."""


@dataclass(frozen=True)
class AudioFacts:
    """What a file holds, before anything is done to it."""

    sha256: str  # of the file's bytes
    num_frames: int
    rate_hz: int
    num_channels: int
    peak: float  # of all channels; full scale is 1
    rms: float
    num_nonfinite: int

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return self.num_frames / self.rate_hz


def decode(path: Path) -> tuple[Wave, AudioFacts]:
    """The waveform of a file, channels averaged, and its facts.

    Raises:
        BadAudio: if the file is empty, not audio, truncated, silent, without samples, not finite, or not scaled.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadAudio(f"cannot be read ({error.strerror})") from None
    _check_container(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, rate_hz = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BadAudio(f"not audio that libsndfile can read ({str(error).strip().rstrip('.')})") from None
    if len(channels) == 0:
        raise BadAudio("holds no samples")
    if len(channels) < promised:
        raise BadAudio(f"truncated: {len(channels)} of {promised} frames are there")
    facts = _facts(data, channels, rate_hz)
    if facts.num_nonfinite:
        raise BadAudio(f"{facts.num_nonfinite} of {channels.size} samples are NaN or infinite")
    if channels.min() == channels.max():
        raise BadAudio(f"silent: every sample is {channels[0, 0]:g}")
    if facts.peak > MAX_PEAK:
        raise BadAudio(f"samples reach {facts.peak:g}, not scaled to [-1, 1]; scale the file")
    return channels.mean(axis=1), facts


def resample(wave: Wave, rate_hz: int, to_hz: int) -> Wave:
    """The waveform at another rate, by soxr's HQ recipe (aliases 150 dB down, checked by a test)."""
    if rate_hz == to_hz:
        return wave
    out: Wave = soxr.resample(wave, rate_hz, to_hz, "HQ")
    return out


def to_int16(wave: Wave) -> Int16[np.ndarray, " samples"]:
    """Sixteen-bit samples, full scale at 32767 as libsndfile writes them; what lies beyond full scale is clipped."""
    return np.clip(np.rint(wave * np.float32(INT16_MAX)), -INT16_MAX - 1, INT16_MAX).astype(np.int16)


def duration_s(path: Path) -> float | None:
    """Length by the file's header [s]; None where there is no readable header."""
    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return None


def _facts(data: bytes, channels: np.ndarray, rate_hz: int) -> AudioFacts:
    finite = np.isfinite(channels)
    good = channels[finite].astype(np.float64)
    return AudioFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        num_frames=len(channels),
        rate_hz=rate_hz,
        num_channels=channels.shape[1],
        peak=float(np.abs(good).max(initial=0.0)),
        rms=float(np.sqrt(np.mean(good**2))) if good.size else 0.0,
        num_nonfinite=int(channels.size - good.size),
    )


def _check_container(data: bytes) -> None:
    """Refuses what libsndfile opens without a word: a truncated WAV is a shorter one to it (1999 of 2000 cuts)."""
    if not data:
        raise BadAudio("empty file (0 bytes)")
    if data[:1] in b"<{" or data.lstrip()[:9].lower() == b"<!doctype":
        raise BadAudio(f"not audio: it begins with {data[:20].decode('latin-1')!r}; download it again")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    at, riff_end = 12, 8 + struct.unpack("<I", data[4:8])[0]
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name == b"data":
            if size not in (0, 0xFFFFFFFF) and at + 8 + size > len(data):  # 0 and all ones: a stream, length unknown
                raise BadAudio(
                    f"truncated: its header promises {size} bytes of samples, {len(data) - at - 8} are there"
                )
            return
        at += 8 + size + size % 2
    if riff_end > len(data):
        raise BadAudio(f"truncated: its header promises {riff_end} bytes, the file has {len(data)}")
