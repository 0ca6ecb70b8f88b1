"""Clips are scaled by the training clips only; half precision costs less than a network can notice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from datasets.engine.clips import Clips
from datasets.engine.splits import Split
from sweeps.recipes.mohammadi import RATES
from trainable.backbones import panns
from trainable.config import TrialConfig
from trainable.examples import CLIPS_AT_ONCE, Examples, Scale, load, moments, waveform_scale
from trainable.network.card import FrontEnd
from trainable.network.frontend import FLOOR, logmel

CPU = torch.device("cpu")
CONFIG = RATES.but(corpus="toy", pretrain_hz=8_000, data_hz=8_000, augment="none", clip_s=0.5, weights="none")
ROLES = {"a": "train", "b": "validation", "c": "test", "d": "train"}  # and `e`, which is not in the split
SPLIT = Split("recording", ROLES)


def toy(clips_each: int = 3, loud: float = 0.1) -> Clips:
    """Noise: five recordings of two classes, ordered by id."""
    rng = np.random.default_rng(0)
    recording = np.repeat(["a", "b", "c", "d", "e"], clips_each)
    wave = (32767 * loud * rng.uniform(-1, 1, (len(recording), 4_000))).astype(np.int16)
    label = np.repeat([0, 1, 0, 1, 0], clips_each)
    return clips_of(wave, recording, np.arange(5 * clips_each), label)


def clips_of(wave: np.ndarray, recording: np.ndarray, number: np.ndarray, label: np.ndarray) -> Clips:
    levels = np.stack([wave.min(axis=1), wave.max(axis=1)], axis=1)
    lengths = 4_000 - np.arange(len(wave))
    return Clips(wave, levels, lengths, recording, number, label, ("cargo", "tug"), 8_000)


def louder(clips: Clips, recording: str) -> Clips:
    """The clips with one recording at full scale."""
    wave = clips.wave.copy()
    wave[clips.recording == recording] = np.where(wave[clips.recording == recording] > 0, 32767, -32768)
    return clips_of(wave, clips.recording, clips.number, clips.label)


def load_role(role: str, clips: Clips, config: TrialConfig = CONFIG) -> Examples:
    return load(config, clips, SPLIT, role, CPU)


@pytest.mark.parametrize("scale", ["minmax", "pcm"])
@pytest.mark.parametrize("recording", ["c", "e"])
def test_a_louder_test_clip_changes_nothing_else(scale: str, recording: str) -> None:
    """Clips of the test role, or of no role, change no bit of the training and validation inputs."""
    config = dataclasses.replace(CONFIG, scale=scale)
    for role in ("train", "validation"):
        before, after = (load_role(role, clips, config).inputs for clips in (toy(), louder(toy(), recording)))
        assert torch.equal(before, after)


def test_a_louder_validation_clip_changes_no_training_input() -> None:
    """The scale depends on the training clips only."""
    assert torch.equal(load_role("train", toy()).inputs, load_role("train", louder(toy(), "b")).inputs)


def test_a_louder_training_clip_scales_all_roles() -> None:
    """The extremes of the training clips set the scale of every role."""
    for role in ("train", "validation", "test"):
        assert not torch.equal(load_role(role, toy()).inputs, load_role(role, louder(toy(), "a")).inputs)


def test_each_role_has_its_clips_in_order() -> None:
    """Inputs, labels, recordings and clip numbers match; a recording without a role is in no role."""
    clips = toy()
    for role, recordings in {"train": ["a", "d"], "validation": ["b"], "test": ["c"]}.items():
        examples = load_role(role, clips)
        in_role = np.isin(clips.recording, recordings)
        assert examples.number.tolist() == clips.number[in_role].tolist()
        assert examples.recording.tolist() == clips.recording[in_role].tolist()
        assert examples.labels.tolist() == clips.label[in_role].tolist()
        scale = waveform_scale("minmax", clips.levels[np.isin(clips.recording, ["a", "d"])])
        wave = (torch.from_numpy(clips.wave[in_role]).float() - scale.offset) * scale.gain
        assert torch.equal(examples.inputs, logmel(wave, CONFIG.card.front_end).half())


def test_many_clips_are_the_same_as_few() -> None:
    """A role with more clips than are transformed at once has every clip."""
    clips = toy(clips_each=CLIPS_AT_ONCE + 5)
    examples = load_role("validation", clips)
    scale = waveform_scale("minmax", clips.levels[np.isin(clips.recording, ["a", "d"])])
    for place in (0, CLIPS_AT_ONCE - 1, CLIPS_AT_ONCE, CLIPS_AT_ONCE + 4):
        wave = (torch.from_numpy(clips.wave[clips.recording == "b"][[place]]).float() - scale.offset) * scale.gain
        torch.testing.assert_close(
            examples.inputs[[place]].float(), logmel(wave, CONFIG.card.front_end), atol=0.1, rtol=0
        )


def test_minmax_maps_the_training_extremes_to_0_and_1() -> None:
    """The smallest training sample becomes 0, the largest 1."""
    scale = waveform_scale("minmax", np.array([[-100, 50], [-20, 300]], dtype=np.int16))
    assert [(sample - scale.offset) * scale.gain for sample in (-100, 300)] == [0.0, pytest.approx(1)]


def test_minmax_of_full_scale_does_not_overflow() -> None:
    """The range of 16-bit samples does not fit into 16 bits."""
    assert waveform_scale("minmax", np.array([[-32768, 32767]], dtype=np.int16)) == Scale(-32768.0, 1 / 65535)


def test_pcm_does_not_depend_on_the_clips() -> None:
    """pcm maps full scale to 1 for any recordings."""
    scale = waveform_scale("pcm", np.array([[-1, 1]], dtype=np.int16))
    assert scale == Scale(0.0, 1 / 32767)


@pytest.mark.parametrize("front_end", panns.FRONT_ENDS.values(), ids=lambda f: f"{f.rate_hz} Hz")
@pytest.mark.parametrize("level", [1.0, 0.1], ids=["0 dB", "-20 dB"])
def test_minmax_is_a_constant_gain_of_the_logmel(front_end: FrontEnd, level: float) -> None:
    """Compared with pcm, every mel power has the same factor: the offset is below the lowest band.

    If a clip is up to 20 dB below the loudest training clip, and a band up to 40 dB below the clip's loudest band, then
    adding half of full scale to each sample in single precision costs less than 1e-3 dB.
    """
    rng = np.random.default_rng(1)
    wave = torch.from_numpy((32767 * level * rng.uniform(-1, 1, (4, 2 * front_end.rate_hz))).astype(np.int16)).float()
    minmax = waveform_scale("minmax", np.array([[-32768, 32767]], dtype=np.int16))
    pcm = waveform_scale("pcm", np.empty((0, 2), dtype=np.int16))
    scaled, plain = (logmel((wave - s.offset) * s.gain, front_end) for s in (minmax, pcm))
    audible = scaled > max(10 * math.log10(FLOOR), float(scaled.max()) - 40)
    assert audible.float().mean() > 0.99
    gain_db = 20 * math.log10(minmax.gain / pcm.gain)
    assert (scaled - plain - gain_db)[audible].abs().max() < 1e-3


def test_half_precision_costs_a_32nd_of_a_decibel() -> None:
    """From the floor at -100 dB up, the stored log-mel is this close to the exact one."""
    clips = toy()
    wave = torch.from_numpy(clips.wave[clips.recording == "c"]).float() / 32767
    exact = logmel(wave * torch.logspace(0, -6, 3)[:, None], CONFIG.card.front_end)
    assert exact.min() == -100
    assert (exact.half().float() - exact).abs().max() <= 1 / 32
    stored = load_role("test", clips, dataclasses.replace(CONFIG, scale="pcm")).inputs
    assert stored.dtype == torch.float16
    assert (stored.float() - logmel(wave, CONFIG.card.front_end)).abs().max() <= 1 / 32


@pytest.mark.parametrize("scale", ["minmax", "pcm"])
@pytest.mark.parametrize("backbone", ["res1dnet31", "wavegram_logmel_cnn14"])
def test_waveforms_are_kept_as_they_were_read(backbone: str, scale: str) -> None:
    """The 16-bit samples are exact; a batch of them is scaled by the training clips only."""
    config = dataclasses.replace(CONFIG, backbone=backbone, pretrain_hz=32_000, data_hz=64_000, scale=scale)
    wide = toy()
    clips = clips_of(np.tile(wide.wave, 8), wide.recording, wide.number, wide.label)  # 0.5 s at 64 kHz
    examples, in_role = load(config, clips, SPLIT, "test", CPU), clips.recording == "c"
    assert examples.inputs.dtype == torch.int16
    assert (examples.inputs.numpy() == clips.wave[in_role]).all()
    expected = waveform_scale(scale, clips.levels[np.isin(clips.recording, ["a", "d"])])
    scaled = (torch.from_numpy(clips.wave[in_role]).double() - expected.offset) * expected.gain
    torch.testing.assert_close(examples.batch(slice(None)).double(), scaled, atol=1e-7, rtol=1e-6)
    assert torch.equal(examples.batch(torch.tensor([2, 0])), examples.batch(slice(None))[[2, 0]])


def test_a_batch_of_log_mels_is_what_is_stored() -> None:
    """A batch is in single precision, in the requested order."""
    examples = load_role("test", toy())
    assert examples.scale is None
    assert torch.equal(examples.batch(torch.tensor([1, 0])), examples.inputs[[1, 0]].float())


def test_moments_are_those_of_all_that_is_stored() -> None:
    """Mean and population standard deviation are over clips, frames and mel bands."""
    examples = load_role("train", toy(clips_each=CLIPS_AT_ONCE))
    values = examples.inputs.double()
    assert moments(examples) == pytest.approx((values.mean().item(), values.std(correction=0).item()), rel=1e-9)


def test_an_input_may_use_the_clips_own_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand beside the examples, and go to an input that asks for them."""
    clips = toy()
    examples = load_role("train", clips)
    assert examples.lengths is not None
    assert examples.lengths.tolist() == clips.lengths[np.isin(clips.recording, ["a", "d"])].tolist()
    first = examples.first(2).lengths
    assert first is not None
    assert first.tolist() == examples.lengths.tolist()[:2]
    seen: list[int] = []
    kind, made = type(CONFIG.given), type(CONFIG.given).made
    monkeypatch.setattr(kind, "takes_lengths", True)
    monkeypatch.setattr(kind, "made", lambda self, *args: seen.extend(args[3]) or made(self, *args[:3]))  # type: ignore[func-returns-value]
    load_role("train", clips)
    assert seen == examples.lengths.tolist()
