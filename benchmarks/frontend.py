"""Measures the front end's speed and error beside torchaudio's and librosa's.

Run it with `python -m benchmarks.frontend [--json FILE]`. One process, one thread, all methods in turn, CPU time,
medians over the rounds. The error is the largest difference from a float64 computation. Trust the ratios: the absolute
figures change with the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import librosa
import numpy as np
import torch
import torchaudio
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from trainable.card import FRONT_ENDS, FrontEnd
from trainable.frontend import logmel

CLIP_S = 5
CASES = ((32_000, 32_000), (8_000, 32_000), (32_000, 2_000))  # pretrain_hz, data_hz: 501, 2001 and 32 frames
Method = Callable[[np.ndarray, FrontEnd], np.ndarray]  # (clips, samples) -> (clips, frames, mels)


@dataclass(frozen=True)
class Result:
    """One method at one pair of rates."""

    pretrain_hz: int
    data_hz: int
    num_frames: int
    method: str
    clips_per_cpu_s: float
    ratio: float  # to librosa
    max_error_db: float


def ours(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """`trainable.frontend.logmel`."""
    return logmel(torch.from_numpy(wave), front_end).numpy()


@lru_cache
def _torchaudio_transform(front_end: FrontEnd) -> torchaudio.transforms.MelSpectrogram:
    return torchaudio.transforms.MelSpectrogram(
        front_end.rate_hz,
        n_fft=front_end.window,
        hop_length=front_end.hop,
        f_min=front_end.f_min_hz,
        f_max=front_end.f_max_hz,
        n_mels=front_end.num_mels,
        norm="slaney",
        mel_scale="slaney",
    )


def by_torchaudio(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """torchaudio's transform on the whole batch, with Slaney's bands (its default differs by up to 55 dB)."""
    power: torch.Tensor = _torchaudio_transform(front_end)(torch.from_numpy(wave))
    return (10 * power.clamp(min=1e-10).log10()).transpose(1, 2).numpy()


def by_torchaudio_singly(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """torchaudio's transform one clip at a time, which keeps to the cache."""
    return np.concatenate([by_torchaudio(clip[None], front_end) for clip in wave])


def by_librosa(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """librosa.feature one clip at a time, in the wave's precision."""
    clips = [
        librosa.feature.melspectrogram(
            y=clip,
            sr=front_end.rate_hz,
            n_fft=front_end.window,
            hop_length=front_end.hop,
            n_mels=front_end.num_mels,
            fmin=front_end.f_min_hz,
            fmax=front_end.f_max_hz,
            pad_mode="reflect",
        )
        for clip in wave
    ]
    return np.stack([librosa.power_to_db(clip, ref=1.0, amin=1e-10, top_db=None).T for clip in clips])


METHODS: dict[str, Method] = {
    "soundings": ours,
    "torchaudio": by_torchaudio,
    "torchaudio, one by one": by_torchaudio_singly,
    "librosa": by_librosa,
}


def float64_reference(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by its definition, with numpy's FFT."""
    half = front_end.window // 2
    padded = np.pad(wave.astype(np.float64), ((0, 0), (half, half)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, front_end.window, axis=1)[:, :: front_end.hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front_end.window) / front_end.window)
    mel = librosa.filters.mel(
        sr=front_end.rate_hz,
        n_fft=front_end.window,
        n_mels=front_end.num_mels,
        fmin=front_end.f_min_hz,
        fmax=front_end.f_max_hz,
        dtype=np.float64,
    )
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return np.asarray(10 * np.log10(np.maximum(power @ mel.T, 1e-10)))


def measure(pretrain_hz: int, data_hz: int, num_clips: int, num_rounds: int) -> list[Result]:
    """Times every method on the same noise, in turn, `num_rounds` times after a first one that is checked instead."""
    front_end, num_samples = FRONT_ENDS[pretrain_hz], CLIP_S * data_hz
    wave = (0.1 * np.random.default_rng(0).standard_normal((num_clips, num_samples))).astype(np.float32)
    reference = float64_reference(wave, front_end)
    errors = {name: float(np.abs(method(wave, front_end) - reference).max()) for name, method in METHODS.items()}
    cpu_s: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(num_rounds):
        for name, method in METHODS.items():
            start = time.process_time()
            method(wave, front_end)
            cpu_s[name].append(time.process_time() - start)
    speed = {name: num_clips / statistics.median(times) for name, times in cpu_s.items()}
    return [
        Result(
            pretrain_hz, data_hz, reference.shape[1], name, speed[name], speed[name] / speed["librosa"], errors[name]
        )
        for name in METHODS
    ]


def table(results: list[Result]) -> str:
    """The results as aligned text."""
    lines = [
        f"{'pretrain':>9}{'data':>10}{'frames':>8}  {'method':<24}{'clips/CPU-s':>12}{'ratio':>8}{'max error':>12}"
    ]
    lines += [
        f"{r.pretrain_hz:>6} Hz{r.data_hz:>7} Hz{r.num_frames:>8}  {r.method:<24}{r.clips_per_cpu_s:>12.0f}"
        f"{r.ratio:>8.1f}{r.max_error_db:>9.0e} dB"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and writes the results as JSON if asked."""
    parser = argparse.ArgumentParser(description="Speed and error of the front end against torchaudio and librosa.")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        results = [r for rates in CASES for r in measure(*rates, arguments.clips, arguments.rounds)]
    print(table(results))
    if arguments.json:
        versions = {module.__name__: module.__version__ for module in (torch, torchaudio, librosa, np)}
        document = {"versions": versions, "results": [asdict(r) for r in results]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
