"""Measurements of a cell use the trial's own steps, and leave no files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.cost import measure as measuring
from trainable.cost.measure import ROUNDS, measure, random_examples, rounds

SMALL = RATES.but(data_hz=2_000, weights="none", width=1 / 16, batch=2)
WAVE = dataclasses.replace(SMALL, backbone="res1dnet31", data_hz=32_000, clip_s=1.0, augment="mixup")


@pytest.fixture(autouse=True)
def one_short_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ROUND_S", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, WAVE], ids=["log-mel", "waveform"])
def test_every_number_is_measured(config: TrialConfig, tmp_path: Path) -> None:
    """Times are above 0, except for a waveform's log-mel; a step costs more than a prediction; no file is left."""
    measured = measure(config, 1, tmp_path)
    assert len(measured.step_s) == len(measured.eval_s) == ROUNDS
    assert min(measured.step_s) > min(measured.eval_s) > 0
    assert measured.save_s > 0
    assert measured.build_s > 0
    assert measured.peak_gb >= 0
    assert measured.load > 0.9
    assert (measured.load_s > 0) == (config is SMALL)
    assert list(tmp_path.iterdir()) == []


def test_clips_have_the_trial_s_shape() -> None:
    """Clips are noise with the level of a log-mel, or 16-bit samples, for at most a few batches."""
    clips = random_examples(SMALL, 12, torch.device("cpu"))
    assert (clips.inputs.shape, clips.inputs.dtype) == ((12, *SMALL.logmel_shape), torch.float16)
    assert -32 < float(clips.inputs.float().mean()) < -28
    waves = random_examples(WAVE, 12, torch.device("cpu"))
    assert (waves.inputs.shape, waves.inputs.dtype) == ((12, WAVE.num_samples), torch.int16)
    assert waves.scale is not None


def test_many_long_clips_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is at least one batch."""
    monkeypatch.setattr(measuring, "MAX_CLIP_BYTES", 1)
    assert len(random_examples(SMALL, 1000, torch.device("cpu")).labels) == 2 * SMALL.batch


class TestRounds:
    @staticmethod
    def worked(unit_s: float, most: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], tuple[float, ...]]:
        """The units of each call of a work that takes `unit_s` for each, and the measured seconds."""
        time_s, calls = [0.0], list[int]()

        def work(num: int) -> None:
            calls.append(num)
            time_s[0] += num * unit_s

        monkeypatch.setattr(measuring.time, "perf_counter", lambda: time_s[0])
        return calls, rounds(work, most, lambda: time_s[0])

    def test_quick_work_is_done_several_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After two units to warm up, rounds are long enough to be measured."""
        monkeypatch.setattr(measuring, "ROUND_S", 0.3)
        calls, seconds = self.worked(0.1, 99, monkeypatch)
        assert calls == [1, 1, 3, 3, 3, 3, 3]
        assert seconds == pytest.approx([0.1] * ROUNDS)

    def test_a_round_has_no_more_than_there_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A round does not exceed the number of clips."""
        monkeypatch.setattr(measuring, "ROUND_S", 9.0)
        assert self.worked(0.1, 2, monkeypatch)[0] == [1, 1, 2, 2, 2, 2, 2]

    def test_slow_work_is_measured_as_often_as_time_allows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For units of 8 s, the second is the first measurement, and none begins after 20 s."""
        assert self.worked(8.0, 99, monkeypatch) == ([1, 1, 1], (8.0, 8.0))

    def test_work_beyond_the_limit_is_done_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step of a minute is measured once."""
        assert self.worked(60.0, 99, monkeypatch) == ([1], (60.0,))
