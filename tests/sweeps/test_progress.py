"""The display of a running sweep is true, and readable without a terminal."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sweeps.engine.display import progress
from sweeps.engine.display.progress import TrialProgress, each
from sweeps.engine.display.standing import Failed, Finished, Running, duration
from sweeps.engine.forecast.budget import Times
from sweeps.engine.plan import grid
from sweeps.recipes.mohammadi import RATES

BASE = RATES.but(epochs=10)
TRIALS = grid(BASE, data_hz=(8_000, 32_000), seed=(1, 2))
SCORES = {"test_accuracy": 0.8123, "best_val_accuracy": 0.75, "best_epoch": 3, "epochs_run": 5}


class Clock:
    """A time that the test sets."""

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
    """Without a terminal, one line says what is done to how many files, and nothing more."""
    assert list(each(iter("abc"), 3, "reading")) == ["a", "b", "c"]
    assert capfd.readouterr() == ("reading: 3 files\n", "")


def test_every_finished_trial_is_one_plain_line(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """It has the trial, its score, the kept epoch and the state of the sweep, without control characters."""
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
    """Nobody would read a log with a hundred epochs per trial."""
    shown.started(TRIALS[0].key)
    shown.epoch(TRIALS[0].key, {"epoch": 1})
    assert capfd.readouterr() == ("", "")


def test_a_failed_trial_is_said_with_its_reason(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """The line has the last line of the traceback and the key; the trial counts as failed, and as ended."""
    shown.started(TRIALS[0].key)
    shown.failed(TRIALS[0].key, "Traceback:\n  a line\nNotFinite: lower lr\n")
    shown.failed(TRIALS[1].key, "")
    shown.finished(TRIALS[2].key, SCORES)
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"FAILED cnn14-32k on 8 kHz, seed 1 (key {TRIALS[0].key}): NotFinite: lower lr"
    assert lines[1].endswith("no reason is known")
    assert lines[2].startswith("[3/4]")
    assert "0 running, 2 failed" in lines[2]


def test_a_line_says_what_the_sweep_varies(clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """Trials that differ in a field that is not in their usual names are told apart, finished or failed."""
    trials = grid(BASE, augment=("none", "mixup"), seed=(1, 2))
    shown = TrialProgress(trials)
    shown.finished(trials[0].key, SCORES)
    shown.failed(trials[2].key, "NotFinite: lower lr")
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("[1/4] augment=none, cnn14-32k on 32 kHz, seed 1: test accuracy 81.2 %")
    assert lines[1] == (f"FAILED augment=mixup, cnn14-32k on 32 kHz, seed 1 (key {trials[2].key}): NotFinite: lower lr")


def test_the_best_trial_is_kept_in_sight(shown: TrialProgress, capfd: pytest.CaptureFixture[str]) -> None:
    """The largest validation score so far is shown with its trial."""
    for trial, accuracy in zip(TRIALS, (0.5, 0.7, 0.6), strict=False):
        shown.finished(trial.key, {**SCORES, "best_val_accuracy": accuracy})
    assert capfd.readouterr().out.splitlines()[-1].endswith("best validation 70.0 % (cnn14-32k on 8 kHz, seed 2)")


def test_the_time_left_follows_the_work(shown: TrialProgress, clock: Clock) -> None:
    """Trials at 8 kHz have a quarter of the frames: when both are done in 10 s, a fifth of the work is done."""
    assert shown.eta_s is None
    clock.now_s = 10.0
    shown.finished(TRIALS[0].key, SCORES)
    shown.finished(TRIALS[1].key, SCORES)
    assert shown.eta_s == pytest.approx(40, rel=0.06)


def test_epochs_count_as_work(shown: TrialProgress, clock: Clock) -> None:
    """Half the epochs of one of the large trials is a fifth of all work."""
    clock.now_s = 20.0
    shown.epoch(TRIALS[2].key, {"epoch": 5})
    assert shown.eta_s == pytest.approx(80, rel=0.02)


def test_how_long_trials_worked_is_known(shown: TrialProgress, clock: Clock) -> None:
    """The times of finished, failed and running trials are each counted from their own start."""
    for now_s, trial in zip((0.0, 1.0, 2.0), TRIALS, strict=False):
        clock.now_s = now_s
        shown.started(trial.key)
    clock.now_s = 10.0
    shown.finished(TRIALS[0].key, SCORES)
    shown.failed(TRIALS[1].key, "lost")
    assert shown.finished_s == {TRIALS[0].key: 10.0}
    assert shown.times() == Times({TRIALS[0].key: 10.0, TRIALS[1].key: 9.0}, {TRIALS[2].key: 8.0})


def test_a_trial_that_stops_early_is_done(shown: TrialProgress, clock: Clock) -> None:
    """Epochs that will not run are not waited for."""
    clock.now_s = 10.0
    for trial in TRIALS:
        shown.epoch(trial.key, {"epoch": 2})
        shown.finished(trial.key, SCORES)
    assert shown.eta_s == 0


def test_an_eta_needs_no_trial_to_have_an_end(clock: Clock) -> None:
    """A single trial, half done after a minute, has a minute left."""
    trial = dataclasses.replace(BASE, epochs=2)
    shown = TrialProgress([trial])
    clock.now_s = 60.0
    shown.epoch(trial.key, {"epoch": 1})
    assert shown.eta_s == 60


def test_workers_that_start_take_no_time_of_the_work(shown: TrialProgress, clock: Clock) -> None:
    """With a minute until the first trial, and a fifth of the work in the next 20 s, 80 s are left."""
    clock.now_s = 60.0
    shown.started(TRIALS[2].key)
    clock.now_s = 80.0
    shown.epoch(TRIALS[2].key, {"epoch": 5})
    assert shown.eta_s == pytest.approx(80, rel=0.02)


def test_a_running_trial_is_known_by_its_epochs(shown: TrialProgress, clock: Clock) -> None:
    """It shows the last epoch's numbers, the best score, and the time left, which a late epoch does not shorten."""
    first, second = TRIALS[0], TRIALS[1]
    shown.started(first.key)
    shown.started(second.key)
    row = {"train_loss": 0.5, "val_loss": 0.75, "epoch_s": 4.0}
    shown.epoch(first.key, {**row, "epoch": 1, "val_accuracy": 0.875})
    shown.epoch(first.key, {**row, "epoch": 2, "val_accuracy": 0.625})
    clock.now_s = 1.0
    expected = Running("cnn14-32k on 8 kHz, seed 1", 10, 2, 0.875, 0.5, 0.75, 4.0, left_s=31.0)
    assert shown.standing().running == [expected, Running("cnn14-32k on 8 kHz, seed 2", 10)]
    clock.now_s = 100.0
    assert shown.standing().running[0].left_s == 28.0
    shown.epoch(first.key, {**row, "epoch": 10, "val_accuracy": 0.5})
    assert shown.standing().running[0].left_s == 0.0


def test_the_whole_is_counted(shown: TrialProgress, clock: Clock) -> None:
    """Ended trials have their results, newest first; until the first trial starts, the reason for waiting is shown."""
    shown.waiting("starting Ray")
    clock.now_s = 5.0
    assert (shown.standing().waiting, shown.standing().waited_s) == ("starting Ray", 5.0)
    for trial in TRIALS[:3]:
        shown.started(trial.key)
    clock.now_s = 15.0
    shown.failed(TRIALS[0].key, "Traceback:\nlost")
    shown.finished(TRIALS[1].key, SCORES)
    shown.finished(TRIALS[2].key, {"epochs_run": 2, "diverged": 1.0})
    standing = shown.standing()
    assert (standing.total, standing.num_finished, standing.num_failed, standing.waiting, standing.running) == (
        4,
        2,
        1,
        "",
        [],
    )
    assert standing.finished == [
        Finished("cnn14-32k on 32 kHz, seed 1", None, 0, 2, 10.0),
        Finished("cnn14-32k on 8 kHz, seed 2", 0.8123, 3, 5, 10.0),
    ]
    assert standing.failed == [Failed("cnn14-32k on 8 kHz, seed 1", "lost")]
    assert standing.best == (0.75, "cnn14-32k on 8 kHz, seed 2")
    assert standing.part_done == pytest.approx(0.6, rel=0.02)


def test_events_come_from_several_threads() -> None:
    """A snapshot of a sweep never shows half an event, while trials start and end in another thread."""
    trials = grid(BASE, seed=range(1, 1001))
    shown = TrialProgress(trials)
    for trial in trials[:200]:
        shown.started(trial.key)

    def look() -> None:
        while (standing := shown.standing()).num_finished < 800:
            assert len(standing.running) in (200, 201)
            assert len(shown.times().running) >= 200

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor() as pool:
            looking = pool.submit(look)
            for ends, starts in zip(trials[:800], trials[200:], strict=True):
                shown.started(starts.key)
                shown.finished(ends.key, {})
            looking.result(timeout=60)
    finally:
        sys.setswitchinterval(interval_s)


def test_trials_of_a_search_are_told_apart() -> None:
    """They differ in the searched fields, and have no test accuracy."""
    base = dataclasses.replace(BASE, score_on="validation")
    trials = grid(base, lr=(1.234e-4, 1e-3), batch=(16, 32))
    shown = TrialProgress(trials)
    shown.started(trials[0].key)
    shown.finished(trials[3].key, {"best_val_accuracy": 0.5, "best_epoch": 1, "epochs_run": 2})
    standing = shown.standing()
    assert [one.name for one in standing.running] == ["lr=0.000123, batch=16"]
    assert (standing.tested, standing.finished) == (False, [Finished("lr=0.001, batch=32", 0.5, 1, 2, 0.0)])
    both = TrialProgress(grid(base, backbone=("cnn10", "cnn14"), lr=(1e-4, 1e-3)))
    assert both.standing().longest_name == "lr=0.0001, cnn10-32k on 32 kHz, seed 1"


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
    """They have at most two units, rounded."""
    assert duration(seconds) == text
