"""Drivers and workers are killed while results lie in an object store: each trial ends as one committed result.

A child process is a driver and its worker, started by `launch` with `--storage file://...`; only Ray and the network
are replaced. Each driver's worker is a node of its own with an empty disk: what goes on comes from the store alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import mlflow.store.db.utils
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from datasets.engine.remote import Remote, RemoteError
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine import launch
from sweeps.engine.command import located
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.running import drive, node, tuner  # noqa: F401 - loaded before the forks
from sweeps.engine.store import reconcile, remote
from sweeps.engine.store.runs import read_all
from tests.sweeps.small import BASE, Small
from trainable import finetune, trial
from trainable.device.place import Place
from trainable.learning.learner import Learner
from trainable.result import record

pytestmark = pytest.mark.slow

SWEEP = Sweep("remote", grid(BASE, seed=range(1, 3)))
TAKE = remote.take


@dataclass
class Study:
    """A sweep whose storage is an object store, and the machines that drive it."""

    folder: Path
    data: Path
    database: Path  # with tables and no runs
    head: str = "head"
    starts: int = 0
    take: Callable[[Remote, str], Path] = TAKE

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def copy(self) -> Path:
        """The working copy on the driver's machine."""
        with mock.patch.dict(os.environ, SOUNDINGS_CACHE_DIR=str(self.folder / self.head)):
            return located.located(self.store.as_uri(), "storage-")[1]

    def run(self, **environment: str) -> int:
        """Runs a driver to its exit code, or minus the signal that killed it."""
        self.starts += 1
        if not (self.copy / "mlflow.db").exists():
            self.copy.mkdir(parents=True)
            shutil.copy(self.database, self.copy / "mlflow.db")
        if child := os.fork():
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 70
        try:
            with (self.folder / "said").open("a", buffering=1) as output:
                sys.stdout = sys.stderr = output
                os.environ |= {**environment, "SOUNDINGS_CACHE_DIR": str(self.folder / self.head)}
                with self.replaced():
                    words = ["--data-root", self.data.as_uri(), "--storage", self.store.as_uri()]
                    code = launch.launch(SWEEP, words)
        except BaseException:
            with (self.folder / "said").open("a") as output:
                traceback.print_exc(file=output)
        finally:
            os._exit(code)

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Replaces Ray and the network, and logs the work."""
        train_epoch = finetune.train_epoch

        def train(learner: Learner, examples: Any, epoch: int, *more: Any) -> Any:
            with (self.folder / "work").open("a") as log:
                log.write(f"{learner.config.key} {epoch}\n")
            return train_epoch(learner, examples, epoch, *more)

        with (
            mock.patch.object(tuner, "run", self.in_this_process),
            mock.patch.object(remote, "take", self.take),
            mock.patch.object(launch, "joined", return_value=mock.Mock()),
            mock.patch.object(trial, "start_network", Small),
            mock.patch.object(finetune, "train_epoch", train),
        ):
            yield

    def in_this_process(self, jobs: Iterable[tuner.Job], num_jobs: Any, listener: Any, *rest: Any) -> None:
        """Runs one job after another on a node of its own, as Ray does."""
        for job in jobs:
            key = job.config.key
            listener.started(key)
            with (self.folder / "begun").open("a") as log:
                log.write(f"{listener._begun[key]}\n")
            try:
                node.run(job.config, self.elsewhere(job.place), lambda row: listener.epoch(key, row), listener.note)  # noqa: B023
            except Exception:
                listener.failed(key, traceback.format_exc())
            else:
                listener.finished(key, "node")

    def elsewhere(self, place: Place) -> Place:
        """A place on an empty machine."""
        machine = self.folder / f"node-{self.starts}"
        assert place.scan
        return replace(
            place,
            split=machine / place.split.relative_to(self.copy),
            scan=machine / place.scan.relative_to(self.copy),
            folder=machine / place.folder.relative_to(self.copy),
        )

    def work(self) -> Counter[str]:
        """The number of times that each epoch of each trial was trained."""
        log = self.folder / "work"
        return Counter(log.read_text().splitlines() if log.exists() else [])

    def said(self) -> str:
        return (self.folder / "said").read_text()


def logits(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as stored:
        return np.array(stored["logits"])


def check(study: Study) -> dict[str, np.ndarray]:
    """Checks for one committed result per trial, in all places, and nothing else; returns the test logits by key."""
    logits_by_key = {}
    assert len(list((study.store / "trials").iterdir())) == len(SWEEP.trials)
    for folder in (study.store / "trials").iterdir():
        here = study.copy / "trials" / folder.name
        mine = record.read(here)
        assert mine
        record.check_files(here, mine, ("predictions.npz",))
        record.check_files(folder / mine.attempt, mine)
        assert (folder / "record.json").read_bytes() == (here / "record.json").read_bytes()
        names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert names == {"record.json", *(f"{mine.attempt}/{n}" for n in (*mine.files, "record.json"))}
        logits_by_key[mine.key] = logits(here)
    runs = [run for run in read_all(f"sqlite:///{study.copy / 'mlflow.db'}") if "key" in run.tags]
    assert sorted(run.tags["key"] for run in runs if run.status == "FINISHED") == sorted(t.key for t in SWEEP.trials)
    assert "RUNNING" not in {run.status for run in runs}
    return logits_by_key


@pytest.fixture(scope="module")
def new_study(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Callable[[], Study]]:
    """A function that makes a study; common work of the children is done once, before the forks."""
    ships = tmp_path_factory.mktemp("corpus") / "ships"
    write_deepship(ships, num_per_class=4, seconds=(2, 3), rate_hz=8_000)
    Figure().savefig(os.devnull, format="png")  # loads what draws, and looks for fonts
    torch.optim.Adam(nn.Linear(1, 1).parameters())  # loads torch's compiler: 4 s
    newest = mlflow.store.db.utils._get_latest_schema_revision()  # loads all migrations of MLflow's tables
    with mock.patch.object(mlflow.store.db.utils, "_get_latest_schema_revision", return_value=newest):
        yield lambda: Study(tmp_path_factory.mktemp("study"), ships, empty_database)


@pytest.fixture(scope="module")
def alone(new_study: Callable[[], Study]) -> dict[str, np.ndarray]:
    """The logits of an undisturbed study."""
    study = new_study()
    assert study.run() == launch.COMPLETE, study.said()
    assert set(study.work().values()) == {1}
    return check(study)


@pytest.mark.parametrize("at", [*node.PLACES, *(p for p in remote.PLACES if p != "record is set aside")])
def test_killed_at_every_place(
    new_study: Callable[[], Study], alone: dict[str, np.ndarray], tmp_path: Path, at: str
) -> None:
    """Each is killed twice, as the log confirms. The next start ends with the same bits and repeats nothing."""
    study = new_study()
    fault = {"SOUNDINGS_FAULT": at, "SOUNDINGS_FAULT_TIMES": "1,2", "SOUNDINGS_FAULT_LOG": str(tmp_path)}
    codes = []
    while not codes or codes[-1]:
        committed = {p.parent.name.partition("-")[0] for p in study.store.glob("trials/*/record.json")}
        before = study.work()
        codes.append(study.run(**fault))
        assert codes[-1] in (launch.COMPLETE, -signal.SIGKILL), study.said()
        assert not {line.split()[0] for line in study.work() - before} & committed, "a committed trial was executed"
    assert {f"{at} 1", f"{at} 2"} <= {path.name for path in tmp_path.iterdir()}
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, launch.COMPLETE]
    logits = check(study)
    assert all(np.array_equal(logits[key], alone[key]) for key in alone)


def test_a_new_head_knows_what_was_trained(new_study: Callable[[], Study], tmp_path: Path) -> None:
    """A trial that resumes from another node's checkpoint continues in its run, with the code that it began with."""
    study = new_study()
    fault = {"SOUNDINGS_FAULT": "checkpoints are sent", "SOUNDINGS_FAULT_LOG": str(tmp_path)}
    assert study.run(**fault) == -signal.SIGKILL
    study.head = "new"
    assert study.run() == launch.COMPLETE, study.said()
    first, *others = (study.folder / "begun").read_text().split()
    assert first == "0"
    assert int(others[0]) >= 1


def test_a_new_head_runs_nothing(new_study: Callable[[], Study], alone: dict[str, np.ndarray]) -> None:
    """The first head's disk and MLflow's database are lost: everything is restored, and nothing is executed."""
    study = new_study()
    assert study.run() == launch.COMPLETE, study.said()
    work = study.work()
    shutil.rmtree(study.folder / "head")
    study.head = "new"
    assert study.run() == launch.COMPLETE, study.said()
    assert study.work() == work
    logits = check(study)
    assert all(np.array_equal(logits[key], alone[key]) for key in alone)


def test_a_store_that_is_down_when_results_come_is_asked_again(new_study: Callable[[], Study]) -> None:
    """A message says so, trials continue, and both are committed before the sweep ends."""
    study, asked = new_study(), []

    def take(there: Remote, name: str) -> Path:
        asked.append(name)
        if len(asked) == 1:
            raise RemoteError(f"{there.uri}: is down")
        return TAKE(there, name)

    study.take = take
    assert study.run() == launch.COMPLETE, study.said()
    assert "is down; trials continue" in study.said()
    check(study)


def test_a_damaged_result_fails_its_trial_until_the_next_start(new_study: Callable[[], Study]) -> None:
    """It is not committed, and the exit code says so; the next start commits another."""
    study = new_study()

    def take(there: Remote, name: str) -> Path:
        (path,) = (study.store / "trials" / name).glob("attempt-*/predictions.npz")
        path.write_bytes(path.read_bytes()[:-1])
        return TAKE(there, name)

    study.take = take
    assert study.run() == launch.FAILED, study.said()
    assert not list(study.store.glob("trials/*/record.json"))
    study.take = TAKE
    assert study.run() == launch.COMPLETE, study.said()
    assert set(study.work().values()) <= {1, 2}
    check(study)


def test_a_deleted_run_runs_again(new_study: Callable[[], Study], tmp_path: Path) -> None:
    """This is as with a folder; a kill while its record is set aside changes nothing."""
    study = new_study()
    assert study.run() == launch.COMPLETE, study.said()
    key = SWEEP.trials[0].key
    with closing(sqlite3.connect(study.copy / "mlflow.db")) as database, database:
        database.execute(
            "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = 'key' AND value = ?)",
            (key,),
        )
    work = study.work()
    fault = {"SOUNDINGS_FAULT": "record is set aside", "SOUNDINGS_FAULT_LOG": str(tmp_path)}
    assert study.run(**fault) == -signal.SIGKILL
    assert study.run() == launch.COMPLETE, study.said()
    assert {line.split()[0] for line in study.work() - work} == {key}
    assert len(list(study.store.glob("trials/*/forgotten-*.json"))) == 1
    assert len(list(study.store.glob("trials/*/record.json"))) == len(SWEEP.trials)


def test_reconcile_brings_a_new_head_into_step(
    new_study: Callable[[], Study], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sweeps.engine.store.reconcile --storage URI` writes the runs of trials committed there, on any machine."""
    study = new_study()
    assert study.run() == launch.COMPLETE, study.said()
    study.head = "laptop"
    study.copy.mkdir(parents=True)
    shutil.copy(study.database, study.copy / "mlflow.db")
    monkeypatch.setenv("SOUNDINGS_CACHE_DIR", str(study.folder / "laptop"))
    assert reconcile.main(["--storage", study.store.as_uri()]) == 0
    assert "2 committed trials, 2 repairs" in capsys.readouterr().out
    check(study)


@pytest.mark.ray
def test_through_ray_a_new_head_runs_nothing(tmp_path: Path) -> None:
    """Corpus and storage at URIs, real workers; started again where nothing is, the sweep has nothing to do."""
    write_deepship(tmp_path / "ships", num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    uris = ["--data-root", (tmp_path / "ships").as_uri(), "--storage", (tmp_path / "store").as_uri(), "--limit", "2"]
    sets = [w for f in ("weights=none", "width=0.0625", "lr=1e-3", "batch=4", "epochs=2") for w in ("--set", f)]
    for head, said in (("one", "2 planned, 0 done, 2 to run"), ("two", "2 planned, 2 done, 0 to run")):
        done = subprocess.run(
            [sys.executable, "-m", "sweeps.deepship_rates", *uris, *sets],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "RAY_ADDRESS": "local", "SOUNDINGS_CACHE_DIR": str(tmp_path / head)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == launch.COMPLETE, done.stdout + done.stderr
        assert said in done.stdout
        (database,) = (tmp_path / head).glob("storage-*/mlflow.db")
        assert [run.status for run in read_all(f"sqlite:///{database}") if "key" in run.tags] == ["FINISHED"] * 2
    names = [p.relative_to(tmp_path / "store/trials").parts[1] for p in (tmp_path / "store/trials").rglob("*.json")]
    assert sorted(name.partition("-")[0] for name in names) == ["attempt", "attempt", "record.json", "record.json"]
