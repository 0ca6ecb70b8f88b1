"""One audio file: decoded, examined, resampled, as 16-bit samples. Nothing that cannot be trusted passes in silence."""

from __future__ import annotations

import hashlib
import io
import math
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
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000
BLOCK = 2**16  # samples that fit the cache; at 64 kHz a scaled copy of DeepShip's longest recording would be 0.3 GB
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
    num_nonfinite: int = 0  # a file that holds any is refused; the manifest says so for the rest

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
        if path.is_dir() or path.is_fifo():  # a pipe would be waited for without end
            raise BadAudio("not a file")
        data = path.read_bytes()
    except OSError as error:
        raise BadAudio(f"cannot be read ({error.strerror})") from None
    _check_container(data)
    channels, rate_hz = _samples(data)
    peak = float(max(-channels.min(), channels.max()))
    if not math.isfinite(peak):
        num_bad = channels.size - np.count_nonzero(np.isfinite(channels))
        raise BadAudio(f"{num_bad} of {channels.size} samples are NaN or infinite")
    wave = channels.mean(axis=1) if channels.shape[1] > 1 else channels[:, 0]
    if wave.min() == wave.max():
        raise BadAudio(f"silent: every sample is {wave[0]:g}")
    if peak > MAX_PEAK:
        raise BadAudio(f"samples reach {peak:g}, not scaled to [-1, 1]; scale the file")
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


def resample(wave: Wave, rate_hz: int, to_hz: int) -> Wave:
    """The waveform at another rate, by soxr's HQ recipe (aliases 150 dB down, checked by a test)."""
    if rate_hz == to_hz:
        return wave
    out: Wave = soxr.resample(wave, rate_hz, to_hz, "HQ")
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
        return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return None


def _samples(data: bytes) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """All samples of a file, and their rate [Hz]."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, rate_hz = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"not audio that libsndfile can read ({error.error_string.rstrip('.')})") from None
    except (RuntimeError, ValueError, MemoryError) as error:  # what a damaged header provokes
        raise BadAudio(f"its header cannot be right ({error})") from None
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise BadAudio(f"its header says {rate_hz} Hz, which is no sampling rate of sound; mend the header")
    if len(channels) == 0:
        raise BadAudio("holds no samples")
    if len(channels) < promised:
        raise BadAudio(f"truncated: {len(channels)} of {promised} frames are there")
    return channels, rate_hz


def _check_container(data: bytes) -> None:
    """Refuses what libsndfile opens without a word: a truncated WAV is a shorter one to it (1999 of 2000 cuts)."""
    if not data:
        raise BadAudio("empty file (0 bytes)")
    if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"<", b"{"):
        raise BadAudio(f"not audio: it begins with {data[:20].decode('latin-1')!r}; download it again")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _check_wav(data)
    elif data[:4] == b"OggS":
        _check_ogg(data)
    elif data[:4] != b"fLaC":  # others are read too, but a cut cannot be told there; FLAC counts its own samples
        raise BadAudio(f"neither WAV, FLAC nor Ogg: it begins with {data[:12]!r}; convert it to WAV")


def _check_ogg(data: bytes) -> None:
    """The last page is whole and marked as the last."""
    last = data.rfind(b"OggS")
    num_segments = data[last + 26] if last + 26 < len(data) else 255
    end = last + 27 + num_segments + sum(data[last + 27 : last + 27 + num_segments])
    if end > len(data) or not data[last + 5] & 4:
        raise BadAudio("truncated: its last Ogg page is missing or cut")


def _check_wav(data: bytes) -> None:
    """The samples that the header promises are there."""
    at, riff_end = 12, 8 + struct.unpack("<I", data[4:8])[0]
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name == b"data":
            if size != 0xFFFFFFFF and at + 8 + size > len(data):  # all ones: a stream of unknown length
                raise BadAudio(
                    f"truncated: its header promises {size} bytes of samples, {len(data) - at - 8} are there"
                )
            return
        at += 8 + size + size % 2
    if riff_end > len(data):
        raise BadAudio(f"truncated: its header promises {riff_end} bytes, the file has {len(data)}")
