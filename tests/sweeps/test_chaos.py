"""Whatever is killed, and whenever: nothing is lost, nothing is done twice. Real files and a real store, without Ray.

A child process is a driver and its worker: it is started by `launch`, as a study is. Only Ray is replaced, by a loop in
the child, and the network, by one that trains in milliseconds. The parent kills it, starts it again until it exits with
0, and then looks at what is left.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import mlflow.store.db.utils
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine import launch
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.running import drive, tuner  # noqa: F401 - loaded once, before the forks
from sweeps.engine.store import lock as driver_lock
from sweeps.engine.store.runs import Run, read_all
from sweeps.engine.store.store import artifact_path
from tests.sweeps.small import BASE, Small
from trainable import finetune, trial
from trainable.config import TrialConfig
from trainable.device import faults
from trainable.learning.learner import Learner
from trainable.network import networks
from trainable.result import record
from trainable.result.record import Record
from trainable.result.usage import MEASURED

pytestmark = pytest.mark.slow

NUM_TRIALS, FEW = 6, 4
KILLS = 50  # at random, for each of the seeds
SWEEP = Sweep("chaos", grid(BASE, seed=range(1, NUM_TRIALS + 1)))


def in_this_process(jobs: Iterable[tuner.Job], num_jobs: int, listener: Any, *rest: Any) -> None:
    """Runs one job after another and tells the listener, as Ray does: a trial that raises is tried again."""
    for job in jobs:
        key = job.config.key
        listener.started(key)
        for _ in range(3):
            try:
                trial.run(job.config, job.place, lambda row, key=key: listener.epoch(key, row))  # type: ignore[misc]
            except Exception:
                reason = traceback.format_exc()
                print(reason)
            else:
                listener.finished(key, "node")
                break
        else:
            listener.failed(key, reason)


class Line(NamedTuple):
    """A line of the work log: a process began a trial (epoch 0), or an epoch."""

    pid: int
    key: str
    epoch: int


@dataclass
class Study:
    """A sweep in its own storage, whose drivers are killed."""

    sweep: Sweep
    data: Path
    cache: Path
    storage: Path
    network: Callable[..., nn.Module] = Small
    kills: int = 0

    def start(self, lock: bool = True, **environment: str) -> int:
        """Starts a driver in a child process, and returns its process id."""
        if child := os.fork():
            return child
        code = 70
        try:
            with self.storage.with_name("said").open("a", buffering=1) as output:
                sys.stdout = sys.stderr = output
                os.environ |= environment
                with self.replaced(lock):
                    words = ["--data-root", self.data, "--cache-dir", self.cache, "--storage", self.storage]
                    code = launch.launch(self.sweep, list(map(str, words)))
        except BaseException:
            with self.storage.with_name("said").open("a") as output:
                traceback.print_exc(file=output)
        finally:
            os._exit(code)

    @contextmanager
    def replaced(self, lock: bool) -> Iterator[None]:
        """Replaces Ray and the network, and logs the work."""
        train_epoch = finetune.train_epoch

        def begin(config: TrialConfig, num_classes: int, checkpoint: Path | None) -> nn.Module:
            self.note(config, 0)
            return self.network(config, num_classes, checkpoint)

        def train(learner: Learner, examples: Any, epoch: int, *more: Any) -> Any:
            self.note(learner.config, epoch)
            return train_epoch(learner, examples, epoch, *more)

        with (
            mock.patch.object(tuner, "run", in_this_process),
            mock.patch.object(launch, "joined", return_value=mock.Mock()),
            mock.patch.object(trial, "start_network", begin),
            mock.patch.object(finetune, "train_epoch", train),
            nullcontext() if lock else mock.patch.object(driver_lock, "only_driver", return_value=nullcontext(True)),
        ):
            yield

    def note(self, config: TrialConfig, epoch: int) -> None:
        """Adds a line to the work log."""
        with self.storage.with_name("work").open("a") as log:
            log.write(f"{os.getpid()} {config.key} {epoch}\n")

    def work(self) -> list[Line]:
        """The work that was done, in order."""
        log = self.storage.with_name("work")
        lines = log.read_text().splitlines() if log.exists() else []
        return [Line(int(pid), key, int(epoch)) for pid, key, epoch in map(str.split, lines)]

    def run(self, kill_after_s: float | None = None, **environment: str) -> int:
        """Runs a driver to its exit code; it must neither execute nor change committed trials."""
        before = self.records()
        child = self.start(**environment)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        code = wait(child)
        self.kills += code == -signal.SIGKILL
        assert not {line.key for line in self.work() if line.pid == child} & set(before), "P2: executed again"
        after = self.records()
        assert {key: after.get(key) for key in before} == before, "P3: a record was lost or altered"
        return code

    def until_done(self, **environment: str) -> None:
        """Starts drivers until one exits with 0; each that does not must have been killed."""
        while code := self.run(**environment):
            assert code == -signal.SIGKILL, self.said()

    def said(self) -> str:
        """The output of the drivers."""
        return self.storage.with_name("said").read_text()

    def records(self) -> dict[str, bytes]:
        """The bytes of every record, by key."""
        return {path.parent.name[:12]: path.read_bytes() for path in self.storage.glob(f"trials/*/{record.FILE}")}

    def results(self) -> dict[str, tuple[Path, Record]]:
        """The folder and complete record of every trial, by key."""
        folders = {path.name[:12]: path for path in self.storage.glob("trials/*")}
        return {key: (folder, committed) for key, folder in folders.items() if (committed := record.read(folder))}

    def runs(self) -> list[Run]:
        return read_all(f"sqlite:///{self.storage / 'mlflow.db'}")


def wait(child: int) -> int:
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def curve(study: Study, run: Run, name: str) -> list[tuple[int, float]]:
    """All points of a run's curve."""
    query = "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step"
    with closing(sqlite3.connect(study.storage / "mlflow.db")) as database:
        return list(database.execute(query, (run.run_id, name)))


def logits(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as stored:
        return np.array(stored["logits"])


def timeless(found: Record) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if not name.startswith(MEASURED)} for row in found.history]


def check_committed(study: Study, alone: Study) -> None:
    """Every planned trial has one complete record with its files, and the same bits as without kills."""
    results, expected = study.results(), alone.results()
    planned = {t.key for t in study.sweep.trials}
    assert set(results) == planned
    assert len(list(study.storage.glob("trials/*"))) == len(planned)
    for key, (folder, mine) in results.items():
        record.check_files(folder, mine)
        assert not list(folder.glob(f"{record.ATTEMPT}*")), "an attempt's folder was left"
        assert timeless(mine) == timeless(expected[key][1])
        assert np.array_equal(logits(folder), logits(expected[key][0]))


def check_shown(study: Study, whole_curves: bool = True) -> None:
    """The store has exactly one complete, finished run for each record, and none that is running."""
    runs = study.runs()
    assert "RUNNING" not in {run.status for run in runs}, "P4: a run has no driver"
    for key, (folder, mine) in study.results().items():
        (run,) = [r for r in runs if r.tags.get("key") == key and r.status == "FINISHED"]
        assert run.tags["record"] == mine.sha256
        assert run.metrics.items() >= mine.scores.items()
        assert run.params == {name: str(value) for name, value in mine.config.items()}
        assert artifact_path(run, "predictions.npz").read_bytes() == (folder / "predictions.npz").read_bytes()
        assert all(artifact_path(run, name).exists() for name in ("config.json", "confusion.png"))
        points = curve(study, run, "val_accuracy")
        expected = [(row["epoch"], row["val_accuracy"]) for row in mine.history]
        assert points == expected if whole_curves else set(points) == set(expected)


def check_work(study: Study) -> None:
    """A killed driver's trial resumed from its last epoch, or did that one epoch again."""
    done: dict[str, list[Line]] = defaultdict(list)
    for line in study.work():
        if line.epoch:
            done[line.key].append(line)
    for lines in done.values():
        assert lines[0].epoch == 1
        for last, line in itertools.pairwise(lines):
            step = line.epoch - last.epoch
            assert step == 1 if line.pid == last.pid else step in (0, 1), "P6: more than an epoch was lost"
        assert lines[-1].epoch == BASE.epochs
    trained = sum(map(len, done.values()))
    assert len(study.sweep.trials) * BASE.epochs <= trained <= len(study.sweep.trials) * BASE.epochs + study.kills


def check(study: Study, alone: Study) -> None:
    """Checks all promises, after a driver has exited with 0."""
    check_committed(study, alone)
    assert not list(study.storage.glob("trials/*/*-0*.pt*")), "a checkpoint was left"
    check_shown(study)
    check_work(study)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The place of the studies: in memory if there is room, since a kill, unlike a power cut, loses no data."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2e9:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module")
def new_study(place: Path, empty_database: Path) -> Callable[..., Study]:
    """A function that makes a study of some trials, with a store that has tables and no runs."""
    write_deepship(place / "ships", num_per_class=4, seconds=(2, 3), rate_hz=8_000)

    def made(num_trials: int = NUM_TRIALS) -> Study:
        storage = Path(tempfile.mkdtemp(dir=place)) / "results"
        storage.mkdir()
        shutil.copy(empty_database, storage / "mlflow.db")
        return Study(Sweep("chaos", SWEEP.trials[:num_trials]), place / "ships", place / "cache", storage)

    return made


@pytest.fixture(scope="module")
def alone(new_study: Callable[..., Study]) -> Iterator[Study]:
    """An undisturbed study."""
    # What every child would do again is done once, before the forks.
    Figure().savefig(os.devnull, format="png")  # loads what draws, and looks for fonts
    torch.optim.Adam(nn.Linear(1, 1).parameters())  # loads torch's compiler: 4 s
    newest = mlflow.store.db.utils._get_latest_schema_revision()  # loads all migrations of MLflow's tables: 0.1 s
    with mock.patch.object(mlflow.store.db.utils, "_get_latest_schema_revision", return_value=newest):
        study = new_study()
        assert study.run() == launch.COMPLETE, study.said()
        yield study


@pytest.fixture(scope="module")
def seconds(alone: Study, new_study: Callable[..., Study]) -> float:
    """The time of an undisturbed study, with its clips in the cache."""
    began = time.monotonic()
    assert new_study(FEW).run() == launch.COMPLETE
    return time.monotonic() - began


def test_a_study_that_is_left_alone(alone: Study) -> None:
    """Every trial is executed once; a second driver has nothing to do, and does nothing."""
    check(alone, alone)
    work = alone.work()
    assert len(work) == NUM_TRIALS * (1 + BASE.epochs)
    before = alone.runs()
    assert alone.run() == launch.COMPLETE
    assert alone.work() == work
    assert [r for r in alone.runs() if "key" in r.tags] == [r for r in before if "key" in r.tags]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random(new_study: Callable[..., Study], alone: Study, seconds: float, seed: int) -> None:
    """Drivers live for a random time, one after another, until the study is complete; then comes the next study."""
    chance, kills = random.Random(seed), 0
    while kills < KILLS:
        study = new_study(FEW)
        while code := study.run(chance.uniform(0, seconds / 3) if kills + study.kills < KILLS else None):
            assert code == -signal.SIGKILL, study.said()
        check(study, alone)
        kills += study.kills
        shutil.rmtree(study.storage.parent)
    assert kills == KILLS


@pytest.mark.parametrize("times", ["1", "1,2"])
@pytest.mark.parametrize("at", faults.PLACES)
def test_killed_at_every_place(
    new_study: Callable[..., Study], alone: Study, tmp_path: Path, at: str, times: str
) -> None:
    """A kill comes at the first time that a place is reached, at the second, and at both; the log confirms it."""
    study = new_study(2)
    study.until_done(SOUNDINGS_FAULT=at, SOUNDINGS_FAULT_TIMES=times, SOUNDINGS_FAULT_LOG=str(tmp_path))
    assert {f"{at} {number}" for number in times.split(",")} <= {path.name for path in tmp_path.iterdir()}
    assert study.kills == len(times.split(","))
    check(study, alone)
    shutil.rmtree(study.storage.parent)


def until(holds: Callable[[], bool], child: int) -> None:
    """Waits for something, while the child lives."""
    while not holds():
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the driver ended first"
        time.sleep(0.002)


def test_a_second_driver_leaves(new_study: Callable[..., Study], alone: Study) -> None:
    """P12: while one driver works, another is refused at once, executes nothing and changes nothing."""
    study = new_study()
    first = study.start()
    until(lambda: bool(study.work()), first)
    second = study.start()
    assert wait(second) == launch.LOCKED
    assert wait(first) == launch.COMPLETE
    assert {line.pid for line in study.work()} == {first}
    check(study, alone)


@pytest.mark.parametrize("turn", range(3))
def test_two_drivers_without_a_lock(new_study: Callable[..., Study], alone: Study, turn: int) -> None:
    """P12: on a disk without locks both execute everything; each trial has one record, and in the end one run."""
    study = new_study()
    drivers = [study.start(lock=False) for _ in range(2)]
    codes = [wait(child) for child in drivers]
    assert set(codes) <= {launch.COMPLETE, launch.INCOMPLETE, launch.FAILED}, study.said()
    executed = [{line.key for line in study.work() if line.pid == child} for child in drivers]
    assert executed[0] & executed[1], "they did not meet"
    assert study.run() == launch.COMPLETE, study.said()
    check_committed(study, alone)
    check_shown(study, whole_curves=False)  # both may have written points into one run


def stop(child: int) -> None:
    """Stops a process and all its threads, and returns once they have stopped."""
    os.kill(child, signal.SIGSTOP)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the driver ended first"


def is_free(database: Path) -> bool:
    """Whether no stopped process is writing, or reading in a way that keeps others from writing."""
    with closing(sqlite3.connect(database, timeout=0)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
    return True


@pytest.mark.parametrize("epoch", [1, BASE.epochs])
def test_a_driver_that_comes_back_to_life_changes_nothing(
    new_study: Callable[..., Study], alone: Study, epoch: int
) -> None:
    """It is stopped in a trial, on a disk without locks; another driver finishes everything before it commits."""
    study = new_study()
    first, halfway = study.start(lock=False), NUM_TRIALS // 2
    until(lambda: [line.epoch for line in study.work()].count(epoch) == halfway, first)
    stop(first)
    while not is_free(study.storage / "mlflow.db"):  # stopped while it wrote: a little further
        os.kill(first, signal.SIGCONT)
        time.sleep(0.003)
        stop(first)
    assert len(study.records()) < NUM_TRIALS
    assert study.run() == launch.COMPLETE, study.said()
    before = study.records()
    files = {
        path: path.read_bytes()
        for folder, mine in study.results().values()
        for path in map(folder.joinpath, mine.files)
    }
    assert len(before) == NUM_TRIALS
    begun = [line for line in study.work() if line.epoch == 0]
    os.kill(first, signal.SIGCONT)
    assert wait(first) in {launch.COMPLETE, launch.INCOMPLETE, launch.FAILED}, study.said()
    assert [line for line in study.work() if line.epoch == 0] == begun, "P2: executed again"
    assert study.records() == before
    assert {path: path.read_bytes() for path in files} == files
    assert study.run() == launch.COMPLETE
    check_committed(study, alone)
    check_shown(study, whole_curves=False)


def test_a_network_killed_at_every_checkpoint_ends_with_the_same_bits(
    new_study: Callable[..., Study], alone: Study, tmp_path: Path
) -> None:
    """P5: a real network is killed whenever a checkpoint, or the kept weights, have just been written."""
    place = "checkpoint is written"
    undisturbed = new_study(1)
    undisturbed.network = networks.start_network
    (tmp_path / "whole").mkdir()
    undisturbed.until_done(
        SOUNDINGS_FAULT=place, SOUNDINGS_FAULT_TIMES="never", SOUNDINGS_FAULT_LOG=str(tmp_path / "whole")
    )
    times = len(list((tmp_path / "whole").iterdir()))
    assert times > BASE.epochs + 1
    for time_ in map(str, range(1, times + 1)):
        (tmp_path / time_).mkdir()
        study = new_study(1)
        study.network = networks.start_network
        study.until_done(SOUNDINGS_FAULT=place, SOUNDINGS_FAULT_TIMES=time_, SOUNDINGS_FAULT_LOG=str(tmp_path / time_))
        assert study.kills == 1
        check(study, undisturbed)
