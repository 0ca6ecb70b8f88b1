"""What is shown while a sweep works is true, and readable where there is no terminal."""

from __future__ import annotations

import dataclasses

import pytest

from sweeps import progress
from sweeps.budget import Times
from sweeps.plan import grid
from sweeps.progress import TrialProgress, duration, each
from trainable.config import TrialConfig

BASE = TrialConfig(
    corpus="deepship",
    backbone="cnn14",
    pretrain_hz=32_000,
    data_hz=32_000,
    augment="specaugment+mixup",
    seed=1,
    epochs=10,
)
TRIALS = grid(BASE, data_hz=(8_000, 32_000), seed=(1, 2))
SCORES = {"test_accuracy": 0.8123, "best_val_accuracy": 0.75, "best_epoch": 3, "epochs_run": 5}


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def shown(clock: Clock) -> TrialProgress:
    return TrialProgress(TRIALS)


def test_items_pass_unchanged(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal one line says what is done to how many files, and nothing more."""
    assert list(each(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert capfd.readouterr() == ("reading: 3 files\n", "")


def test_every_finished_trial_is_one_plain_line(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """Which trial, its score, the kept epoch, and how the sweep stands; no control characters."""
    shown.started(TRIALS[0].key)
    shown.started(TRIALS[1].key)
    shown.finished(TRIALS[0].key, SCORES)
    shown.close()
    out, err = capfd.readouterr()
    assert err == ""
    assert out == (
        "[1/4] cnn14-32k on 8 kHz, seed 1: test accuracy 81.2 %, epoch 3 of 5, 1 running, 0 failed, 0 s left, "
        "best validation 75.0 % (cnn14-32k on 8 kHz, seed 1)\n"
    )


def test_epochs_are_not_lines(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """A log of a hundred epochs a trial would be read by nobody."""
    shown.started(TRIALS[0].key)
    shown.epoch(TRIALS[0].key, {"epoch": 1})
    assert capfd.readouterr() == ("", "")


def test_a_failed_trial_is_said_with_its_reason(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """The last line of the traceback and the key to find it by; it counts as failed, and as ended."""
    shown.started(TRIALS[0].key)
    shown.failed(TRIALS[0].key, "Traceback:\n  a line\nNotFinite: lower lr\n")
    shown.failed(TRIALS[1].key, "")
    shown.finished(TRIALS[2].key, SCORES)
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"FAILED cnn14-32k on 8 kHz, seed 1 (key {TRIALS[0].key}): NotFinite: lower lr"
    assert lines[1].endswith("no reason is known")
    assert lines[2].startswith("[3/4]")
    assert "0 running, 2 failed" in lines[2]


def test_the_best_trial_is_kept_in_sight(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """The largest test accuracy so far, and whose it is."""
    for trial, accuracy in zip(TRIALS, (0.5, 0.7, 0.6), strict=False):
        shown.finished(trial.key, {**SCORES, "best_val_accuracy": accuracy})
    assert capfd.readouterr().out.splitlines()[-1].endswith("best validation 70.0 % (cnn14-32k on 8 kHz, seed 2)")


def test_the_time_left_follows_the_work(shown: TrialProgress, clock: Clock) -> None:
    """Trials at 8 kHz have a quarter of the frames: when both are done in 10 s, a fifth of the work is."""
    assert shown.eta_s is None
    clock.now_s = 10.0
    shown.finished(TRIALS[0].key, SCORES)
    shown.finished(TRIALS[1].key, SCORES)
    assert shown.eta_s == pytest.approx(40, rel=0.06)


def test_epochs_count_as_work(shown: TrialProgress, clock: Clock) -> None:
    """Half the epochs of one of the large trials is a fifth of the work of all."""
    clock.now_s = 20.0
    shown.epoch(TRIALS[2].key, {"epoch": 5})
    assert shown.eta_s == pytest.approx(80, rel=0.02)


def test_how_long_trials_worked_is_known(shown: TrialProgress, clock: Clock) -> None:
    """Those that finished, those that failed and those that run, each from its own start."""
    for now_s, trial in zip((0.0, 1.0, 2.0), TRIALS, strict=False):
        clock.now_s = now_s
        shown.started(trial.key)
    clock.now_s = 10.0
    shown.finished(TRIALS[0].key, SCORES)
    shown.failed(TRIALS[1].key, "lost")
    assert shown.finished_s == {TRIALS[0].key: 10.0}
    assert shown.times() == Times({TRIALS[0].key: 10.0, TRIALS[1].key: 9.0}, {TRIALS[2].key: 8.0})


def test_a_trial_that_stops_early_is_done(shown: TrialProgress, clock: Clock) -> None:
    """Epochs that will not be run are not waited for."""
    clock.now_s = 10.0
    for trial in TRIALS:
        shown.epoch(trial.key, {"epoch": 2})
        shown.finished(trial.key, SCORES)
    assert shown.eta_s == 0


def test_an_eta_needs_no_trial_to_have_an_end(clock: Clock) -> None:
    """One trial alone, half done after a minute, has a minute left."""
    trial = dataclasses.replace(BASE, epochs=2)
    shown = TrialProgress([trial])
    clock.now_s = 60.0
    shown.epoch(trial.key, {"epoch": 1})
    assert shown.eta_s == 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (12.4, "12 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (7 * 60, "7 min"),
        (3569, "59 min"),
        (3571, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    """Two units at most, rounded."""
    assert duration(seconds) == text
