"""Measures the speed and error of the front end against torchlibrosa's, and beside torchaudio's and librosa's.

    python -m benchmarks.frontend [--clips N] [--rounds N] [--json FILE]

The figures are CPU times of one thread; the methods take turns, and medians over the rounds are shown. An error is the
largest difference from a float64 computation. Trust the ratios: the absolute figures change with the machine.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

import librosa
import numpy as np
import torch
import torchaudio
import torchlibrosa.stft
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.measured import Row, against, parser, show
from trainable.network.card import FrontEnd
from trainable.network.frontend import logmel
from trainable.network.panns.rates import FRONT_ENDS

CLIP_S = 5
# pretrain_hz, data_hz, and the goal as a multiple of torchlibrosa's speed. The clips have 501, 2001 and 32 frames.
CASES = ((32_000, 32_000, 4.0), (8_000, 32_000, 1.8), (32_000, 2_000, 5.0))
STRETCH = {501: 7.0}  # by number of frames, the ratio that the FFT alone would allow
MAX_DIFFERENCE_DB = 1e-3  # from torchlibrosa
PEER = "torchlibrosa"
Method = Callable[[np.ndarray, FrontEnd], np.ndarray]  # (clips, samples) -> (clips, frames, mels)


@dataclasses.dataclass(frozen=True)
class Measured:
    """All methods at one pair of rates."""

    num_frames: int
    clips_per_cpu_s: dict[str, float]
    max_error_db: dict[str, float]  # from float64
    difference_db: float  # the largest difference between ours and torchlibrosa


def ours(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by `trainable.network.frontend.logmel`."""
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
    """The log-mel by torchaudio's transform on a whole batch, with Slaney's bands (its default is up to 55 dB off)."""
    power: torch.Tensor = _torchaudio_transform(front_end)(torch.from_numpy(wave))
    return (10 * power.clamp(min=1e-10).log10()).transpose(1, 2).numpy()


def by_torchaudio_singly(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by torchaudio's transform, one clip at a time, so that a clip fits the cache."""
    return np.concatenate([by_torchaudio(clip[None], front_end) for clip in wave])


def by_librosa(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by librosa.feature, one clip at a time, in the precision of the wave."""
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


@lru_cache
def _torchlibrosa_modules(front_end: FrontEnd) -> torch.nn.Sequential:
    spectrogram = torchlibrosa.stft.Spectrogram(n_fft=front_end.window, hop_length=front_end.hop)
    mel = torchlibrosa.stft.LogmelFilterBank(
        sr=front_end.rate_hz,
        n_fft=front_end.window,
        n_mels=front_end.num_mels,
        fmin=front_end.f_min_hz,
        fmax=front_end.f_max_hz,
        top_db=None,
    )
    return torch.nn.Sequential(spectrogram, mel)


def by_torchlibrosa(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by torchlibrosa's modules on the whole batch, as in the first layers of the PANNs."""
    logmels: torch.Tensor = _torchlibrosa_modules(front_end)(torch.from_numpy(wave))
    return logmels[:, 0].numpy()


METHODS: dict[str, Method] = {
    "soundings": ours,
    PEER: by_torchlibrosa,
    "torchaudio": by_torchaudio,
    "torchaudio, one by one": by_torchaudio_singly,
    "librosa": by_librosa,
}


def float64_reference(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel by its definition, in float64 with numpy's FFT."""
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


def measure(pretrain_hz: int, data_hz: int, num_clips: int, num_rounds: int) -> Measured:
    """Times all methods on the same noise, in turn, for `num_rounds` rounds after one that is checked instead."""
    front_end, num_samples = FRONT_ENDS[pretrain_hz], CLIP_S * data_hz
    wave = (0.1 * np.random.default_rng(0).standard_normal((num_clips, num_samples))).astype(np.float32)
    reference = float64_reference(wave, front_end)
    outputs = {name: method(wave, front_end) for name, method in METHODS.items()}
    cpu_s: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(num_rounds):
        for name, method in METHODS.items():
            start = time.process_time()
            method(wave, front_end)
            cpu_s[name].append(time.process_time() - start)
    return Measured(
        num_frames=reference.shape[1],
        clips_per_cpu_s={name: num_clips / statistics.median(times) for name, times in cpu_s.items()},
        max_error_db={name: float(np.abs(logmels - reference).max()) for name, logmels in outputs.items()},
        difference_db=float(np.abs(outputs["soundings"] - outputs[PEER]).max()),
    )


def rows(measured: Measured, pretrain_hz: int, data_hz: int, at_least: float) -> list[Row]:
    """A row for ours against torchlibrosa, with a goal, and rows against each of the others, without one."""
    case = f"{measured.num_frames} frames ({pretrain_hz / 1000:g} kHz network, {data_hz / 1000:g} kHz data)"
    speed, error = measured.clips_per_cpu_s, measured.max_error_db
    table = []
    for peer in list(METHODS)[1:]:
        goal = at_least if peer == PEER else None
        note = f"error {error['soundings']:.0e} dB, {peer} {error[peer]:.0e}"
        row = against(case, "clips/CPU-s", speed["soundings"], speed[peer], peer, goal, note, more_is_better=True)
        table.append(with_difference(row, measured) if goal else row)
    return table


def with_difference(row: Row, measured: Measured) -> Row:
    """The row with the goal, which is met only if the two agree."""
    agree = measured.difference_db <= MAX_DIFFERENCE_DB
    note = f"the two differ by {measured.difference_db:.0e} dB; {row.note}"
    if stretch := STRETCH.get(measured.num_frames):
        note += f"; stretch {stretch:g}x"
    goal = f"{row.goal}, <= {MAX_DIFFERENCE_DB:g} dB"
    return dataclasses.replace(row, goal=goal, met=bool(row.met) and agree, note=note)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the results as JSON if asked."""
    options = parser(__doc__)
    options.add_argument("--clips", type=int, default=16, metavar="N", help="at once; default 16")
    options.add_argument("--rounds", type=int, default=9, metavar="N", help="default 9")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    table: list[Row] = []
    with threadpool_limits(1):
        for pretrain_hz, data_hz, at_least in CASES:
            measured = measure(pretrain_hz, data_hz, args.clips, args.rounds)
            table += rows(measured, pretrain_hz, data_hz, at_least)
    show(table, args)


if __name__ == "__main__":
    main()
