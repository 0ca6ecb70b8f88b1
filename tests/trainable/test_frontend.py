"""The front end gives librosa's numbers at every rate and length, for any batch size and precision around it."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from trainable.network.card import FrontEnd
from trainable.network.frontend import BLOCK_SAMPLES, logmel, mel_matrix
from trainable.network.panns.rates import FRONT_ENDS

PRIMATES = FrontEnd(rate_hz=16_000, window=1024, hop=320, f_min_hz=10, f_max_hz=8_000, num_mels=64)


def noise(num_clips: int, num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_clips, num_samples, generator=torch.Generator().manual_seed(seed))


def librosa_logmel(wave: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The log-mel in float64 by librosa's defaults (Slaney's bands, Hann window), reflected at the ends."""
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=front_end.rate_hz,
        n_fft=front_end.window,
        hop_length=front_end.hop,
        n_mels=front_end.num_mels,
        fmin=front_end.f_min_hz,
        fmax=front_end.f_max_hz,
        pad_mode="reflect",
    )
    return np.asarray(librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)).T


@pytest.mark.slow
@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), PRIMATES], ids=lambda f: f"{f.rate_hz}-{f.window}")
@pytest.mark.parametrize("num_samples", [10_000, 16_001, 31_999])
def test_equals_librosa(front_end: FrontEnd, num_samples: int) -> None:
    """The two agree within 1e-3 dB, even if the last hop is incomplete."""
    wave = noise(2, num_samples)
    actual = logmel(wave, front_end)
    for clip, of_clip in zip(wave, actual, strict=True):
        np.testing.assert_allclose(of_clip.numpy(), librosa_logmel(clip.numpy(), front_end), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("front_end", "mean", "std", "highest", "loudest_mel"),
    [
        (FRONT_ENDS[32_000], -73.49876, 38.03813, 24.8555, 6),
        (FRONT_ENDS[16_000], -73.02837, 37.13181, 18.2558, 8),
        (FRONT_ENDS[8_000], -71.63058, 34.92454, 14.7595, 10),
        (PRIMATES, -72.82792, 37.42066, 25.6064, 8),
    ],
)
def test_equals_torchlibrosa_on_tones(
    front_end: FrontEnd, mean: float, std: float, highest: float, loudest_mel: int
) -> None:
    """Two tones match torchlibrosa 0.1.0; near the floor, float32 implementations differ by 0.06 dB."""
    t = np.arange(front_end.rate_hz) / front_end.rate_hz
    wave = (0.5 * np.sin(2 * np.pi * 440 * t) + 0.25 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    actual = logmel(torch.from_numpy(wave)[None], front_end)
    assert actual.shape == (1, front_end.num_frames(len(wave)), 64)
    assert actual.mean().item() == pytest.approx(mean, abs=2e-3)
    assert actual.std().item() == pytest.approx(std, abs=2e-3)
    assert actual.max().item() == pytest.approx(highest, abs=1e-3)
    assert actual.min().item() == pytest.approx(-100, abs=1e-4)
    assert actual.mean(dim=(0, 1)).argmax().item() == loudest_mel


def test_silence_is_the_floor() -> None:
    """A silent clip is -100 dB everywhere, not minus infinity."""
    assert torch.allclose(logmel(torch.zeros(1, 8_000), FRONT_ENDS[8_000]), torch.tensor(-100.0))


@pytest.mark.parametrize("num_samples", [2_000, 10_000, 320_000])
def test_a_clip_does_not_depend_on_its_batch(num_samples: int) -> None:
    """Clips are the same alone and in a batch that is split into uneven blocks."""
    front_end = FRONT_ENDS[8_000]
    per_block = BLOCK_SAMPLES["cpu"] // (front_end.num_frames(num_samples) * front_end.window)
    wave = noise(max(1, per_block) + 1, num_samples)
    alone = torch.cat([logmel(clip[None], front_end) for clip in wave])
    torch.testing.assert_close(logmel(wave, front_end), alone, rtol=0, atol=1e-4)


def test_num_frames_is_what_the_card_says() -> None:
    """The plan's number of frames is the tensor's, at every rate and for lengths around a hop."""
    for front_end in FRONT_ENDS.values():
        for num_samples in (front_end.hop * 40 - 1, front_end.hop * 40, front_end.hop * 40 + 1):
            frames = logmel(noise(1, num_samples), front_end)
            assert frames.shape == (1, front_end.num_frames(num_samples), front_end.num_mels)


def test_audio_of_another_rate_is_fed_as_it_is() -> None:
    """In a 32 kHz front end, a tone at f in 2 kHz audio falls into the band of f * 32 / 2."""
    front_end = FRONT_ENDS[32_000]

    def loudest_mel(tone_hz: float, rate_hz: int) -> int:
        tone = torch.sin(2 * torch.pi * tone_hz * torch.arange(10_000) / rate_hz)
        return int(logmel(tone[None], front_end).mean(dim=(0, 1)).argmax())

    assert loudest_mel(200, 2_000) == loudest_mel(3_200, 32_000) != loudest_mel(200, 32_000)


def test_autocast_does_not_reach_it() -> None:
    """Under bfloat16 autocast the log-mel keeps its precision; bfloat16 would be off by 0.1 to 1 dB."""
    wave, front_end = noise(2, 16_000), FRONT_ENDS[16_000]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = logmel(wave, front_end)
    assert torch.equal(actual, logmel(wave, front_end))


def test_serves_training_after_evaluation() -> None:
    """Constants that were first made in inference mode let gradients reach the wave later."""
    front_end = FrontEnd(rate_hz=8_000, window=128, hop=64, f_min_hz=0, f_max_hz=4_000, num_mels=8)
    with torch.inference_mode():
        logmel(noise(1, 1_000), front_end)
    wave = noise(1, 1_000).requires_grad_()
    logmel(wave, front_end).sum().backward()
    assert wave.grad is not None
    assert wave.grad.abs().max() > 0


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda f: f.rate_hz)
def test_mel_matrix_is_slaneys(front_end: FrontEnd) -> None:
    """The mel bands are librosa's, and none of them is empty."""
    expected = librosa.filters.mel(
        sr=front_end.rate_hz, n_fft=front_end.window, n_mels=64, fmin=front_end.f_min_hz, fmax=front_end.f_max_hz
    ).T
    matrix = mel_matrix(front_end).numpy()
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-4 * expected.max())
    assert matrix.any(axis=0).all()
