"""Single files: good ones are decoded unchanged, bad ones are refused with the reason."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.decoding.audio import BadAudio, decode, duration_s, resample, to_int16

WriteWav = Callable[..., Path]
TONE_S = 2.0


def encoded(samples: np.ndarray, rate_hz: int = 8_000, container: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format=container, subtype=subtype)
    return out.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape)


def with_one(value: float) -> np.ndarray:
    return np.where(np.arange(100) == 50, value, noise(100))


def tone(frequency_hz: float, rate_hz: int) -> np.ndarray:
    time_s = np.arange(round(TONE_S * rate_hz)) / rate_hz
    return np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)


def level_db(wave: np.ndarray) -> float:
    """The level of the middle half relative to a full-scale tone [dB]."""
    middle = wave[len(wave) // 4 : -len(wave) // 4].astype(np.float64)
    return float(20 * np.log10(np.sqrt(2 * np.mean(middle**2)) + 1e-20))


def test_samples_are_those_that_were_written(tmp_path: Path) -> None:
    """Float samples are read bit for bit."""
    samples = noise(1_000).astype(np.float32)
    (tmp_path / "x.wav").write_bytes(encoded(samples, subtype="FLOAT"))
    np.testing.assert_array_equal(decode(tmp_path / "x.wav")[0], samples)


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    """Hash of the bytes, frames, rate, channels, peak and rms match numpy's."""
    path, samples = tmp_path / "x.wav", noise(1_000).astype(np.float32)
    path.write_bytes(encoded(samples, 16_000, subtype="FLOAT"))
    facts = decode(path)[1]
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.num_frames, facts.rate_hz, facts.num_channels, facts.duration_s) == (1_000, 16_000, 1, 0.0625)
    assert facts.peak == np.abs(samples).max()
    assert facts.rms == pytest.approx(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def test_channels_are_averaged(tmp_path: Path) -> None:
    """A stereo file becomes its mean, and the facts still say two channels."""
    samples = noise(1_000, 2).astype(np.float32)
    (tmp_path / "x.wav").write_bytes(encoded(samples, subtype="FLOAT"))
    wave, facts = decode(tmp_path / "x.wav")
    np.testing.assert_array_equal(wave, samples.mean(axis=1))
    assert facts.num_channels == 2


BAD = {
    "empty": (b"", r"^empty file \(0 bytes\)"),
    "html": (b"<!DOCTYPE html><html>404 not found", "not audio: it begins with '<!DOCTYPE html>.*download it again"),
    "html after a line": (b"\r\n <html>404", "not audio: it begins with"),
    "json": (b'{"error": "quota"}', "not audio: it begins with"),
    "text": (b"hello, this is text", "neither WAV, RF64, .* it begins with b'hello, this '; convert it to WAV"),
    "another container": (encoded(noise(100), container="AU"), "neither WAV, RF64, W64, AIFF, FLAC nor Ogg: .* b'.snd"),
    "riff alone": (b"RIFF\x04\0\0\0WAVE", "not audio that libsndfile can read|holds no samples"),
    "header only": (encoded(np.zeros(0)), "holds no samples"),
    "all zero": (encoded(np.zeros(100)), "^silent: every sample is 0$"),
    "constant": (encoded(np.full(100, 0.25)), r"^silent: every sample is 0\.25"),
    "channels that cancel": (
        encoded(noise(100, 1) * [[1, -1]], subtype="FLOAT"),
        "^silent: its 2 channels cancel .*keep",
    ),
    "channels that nearly cancel": (
        encoded(noise(100, 1) * [[1, -1 + 1e-5]], subtype="FLOAT"),
        "^silent: its 2 channels",
    ),
    "denormals": (
        encoded(noise(100) * 1e-39, subtype="FLOAT"),
        "^silent: every sample is 0 in 16 bits, with a peak of 4.*",
    ),
    "below half a step": (
        encoded(noise(100) * 3e-5, subtype="FLOAT"),
        "^silent: .* with a peak of 1.*e-05; scale the file",
    ),
    "within one step": (encoded(0.25 + noise(100) * 1e-7, subtype="FLOAT"), "^silent: every sample is 8192 in 16 bits"),
    "a NaN": (encoded(with_one(np.nan), subtype="FLOAT"), "^1 of 100 samples are NaN or infinite"),
    "an infinity": (encoded(with_one(-np.inf), subtype="FLOAT"), "^1 of 100 samples are NaN or infinite"),
    "all NaN": (encoded(np.full(100, np.nan), subtype="FLOAT"), "^100 of 100 samples are NaN"),
    "beyond single precision": (encoded(with_one(1e300), subtype="DOUBLE"), "^1 of 100 samples are NaN or inf"),
    "3 Hz": (encoded(noise(100), 3), "its header says 3 Hz, which is not a sampling rate of sound; fix the header"),
    "integers as floats": (encoded(noise(100) * 32_767, subtype="FLOAT"), r"not scaled to \[-1, 1\]; scale the file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sound_is_refused(name: str, tmp_path: Path) -> None:
    """Each kind of bad file is refused with its own reason."""
    content, reason = BAD[name]
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(BadAudio, match=reason):
        decode(tmp_path / "x.wav")


def test_an_ogg_file_may_overshoot_full_scale(tmp_path: Path) -> None:
    """Its samples are scaled, whatever their peak: what was loud before it was compressed is louder after."""
    (tmp_path / "x.ogg").write_bytes(encoded(5 * noise(8_000), container="OGG", subtype="VORBIS"))
    wave, facts = decode(tmp_path / "x.ogg")
    assert 2 < facts.peak == pytest.approx(np.abs(wave).max())


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "FLOAT"),
        ("WAV", "PCM_16"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("RF64", "FLOAT"),
        ("W64", "PCM_24"),
        ("W64", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("AIFF", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ],
)
def test_a_file_cut_anywhere_is_refused(container: str, subtype: str, memory: Path) -> None:
    """A truncated file never passes for a shorter recording."""
    path, content = memory / "x.wav", encoded(noise(30_000), container=container, subtype=subtype)
    path.write_bytes(content)
    decode(path)
    for length in [*range(0, 200), *range(200, len(content) - 40, 677), *range(len(content) - 40, len(content))]:
        path.write_bytes(content[:length])
        with pytest.raises(BadAudio):
            decode(path)


def test_a_cut_says_how_much_is_missing(tmp_path: Path) -> None:
    """The message states the promised and the actual size."""
    (tmp_path / "x.wav").write_bytes(encoded(noise(1_000), subtype="PCM_16")[:-500])
    with pytest.raises(BadAudio, match="truncated: its header promises 2000 bytes of samples, 1500 are there"):
        decode(tmp_path / "x.wav")


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG"])
def test_damaged_bytes_never_crash(container: str, tmp_path: Path) -> None:
    """A file with any changed bytes is either refused or read as finite sound."""
    path, content = tmp_path / "x.wav", encoded(noise(500), container=container)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, rng.choice([64, len(content)]), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            wave, facts = decode(path)
        except BadAudio:
            continue
        assert np.isfinite(wave).all()
        assert len(wave) == facts.num_frames > 0


def test_what_is_not_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, pipes, sockets, devices, broken or circular links and impossible names are refused at once."""
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "to a pipe.wav").symlink_to(tmp_path / "pipe.wav")
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "random.wav").symlink_to("/dev/random")
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nothing.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    reasons = {
        "folder.wav": r"cannot be read \(not a file\)",
        "pipe.wav": r"cannot be read \(not a file\)",
        "endless.wav": r"cannot be read \(not a file\)",
        "random.wav": r"cannot be read \(not a file\)",
        "socket.wav": r"cannot be read \(not a file\)",
        "to a pipe.wav": r"cannot be read \(not a file\)",
        "dangling.wav": r"cannot be read \(No such file or directory\)",
        "loop.wav": r"cannot be read \(Too many levels of symbolic links\)",
        "x" * 300: r"cannot be read \(File name too long\)",
    }
    for name, reason in reasons.items():
        with pytest.raises(BadAudio, match=f"^{reason}$"):
            decode(tmp_path / name)
        assert duration_s(tmp_path / name) is None


def test_a_tone_above_the_new_range_vanishes() -> None:
    """From 32 to 16 kHz, a 9 kHz tone drops by more than 90 dB; 7 kHz changes by less than 0.01 dB."""
    assert level_db(resample(tone(9_000, 32_000), 32_000, 16_000)) < -90
    assert level_db(resample(tone(7_000, 32_000), 32_000, 16_000)) == pytest.approx(0, abs=0.01)


def test_a_higher_rate_adds_nothing() -> None:
    """A tone resampled from 32 to 64 kHz is the same tone, without an image above 16 kHz."""
    raised = resample(tone(7_000, 32_000), 32_000, 64_000)
    assert level_db(raised - tone(7_000, 64_000)) < -90


@pytest.mark.parametrize("num_frames", [1, 999, 32_000, 44_101])
@pytest.mark.parametrize("to_hz", [2_000, 8_000, 16_000, 44_100, 64_000])
def test_length_follows_the_rate(num_frames: int, to_hz: int) -> None:
    """A wave with n samples gets round(n x new / old) samples."""
    wave = np.zeros(num_frames, np.float32)
    assert len(resample(wave, 32_000, to_hz)) == pytest.approx(num_frames * to_hz / 32_000, abs=0.5)


def test_the_same_rate_changes_nothing() -> None:
    """A wave that already has the rate is not filtered."""
    wave = noise(100).astype(np.float32)
    np.testing.assert_array_equal(resample(wave, 8_000, 8_000), wave)


def test_sixteen_bits_round_to_the_nearest() -> None:
    """No sample changes by more than half a step of 1/32767."""
    wave = np.linspace(-1, 1, 100_003, dtype=np.float32)
    back = to_int16(wave).astype(np.float64) / 32_767
    assert np.abs(back - wave).max() <= 0.5 / 32_767 + 1e-7  # float32 has 24 bits


def test_sixteen_bits_clip_and_do_not_wrap() -> None:
    """Values beyond full scale are clipped; the wave itself does not change."""
    wave = np.array([-1.5, -1.0, 0.0, 1.0, 1.5], np.float32)
    assert to_int16(wave).tolist() == [-32_768, -32_767, 0, 32_767, 32_767]
    assert wave.tolist() == [-1.5, -1.0, 0.0, 1.0, 1.5]


def test_duration_is_the_headers(tmp_path: Path, write_wav: WriteWav) -> None:
    """The duration follows from the header; it is None without a header."""
    (tmp_path / "no.wav").write_bytes(b"no audio")
    assert duration_s(write_wav(tmp_path / "x.wav", seconds=1.5)) == 1.5
    assert duration_s(tmp_path / "no.wav") is None
    assert duration_s(tmp_path / "missing.wav") is None
