"""The store goes away, the disk is full, the clock is wrong: nobody waits, nothing is torn, nothing is lost.

Each test asserts that its fault happened. Those of the store run the driver's own `Recorder` against a real MLflow.
"""

from __future__ import annotations

import dataclasses
import http.client
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partialmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
import torch
from mlflow import MlflowClient

from datasets.engine import cache, splits
from datasets.engine.clips import open_clips
from datasets.engine.corpus import Corpus, CorpusError, Recording
from datasets.engine.scan import Scan, scan
from datasets.engine.splits import Split
from sweeps.engine.forecast import placement
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.running.drive import Recorder, while_it_makes_sense
from sweeps.engine.running.near import NearData
from sweeps.engine.situation import Inputs, Situation, folder_name
from sweeps.engine.store import mirror, reconcile, runs
from sweeps.engine.store.mirror import PATIENCE_S, Mirror
from sweeps.engine.store.reconcile import Repair
from sweeps.engine.store.runs import StoreError, read_runs, sqlite_path
from sweeps.engine.store.store import Store, artifact_path
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.device.place import Place
from trainable.result import record
from trainable.result.record import Record
from trainable.trial import save_arrays
from trainable.weights import checkpoint, weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BASE = RATES
INPUTS = Inputs("d" * 64, "5" * 64, "e" * 64)
CODE = {"git_commit": "c0ffee", "git_dirty": "False", "code_sha256": "c0de" * 16}
NUM_EPOCHS = 5
OpenStore = Callable[..., Store]


def rows(num_epochs: int) -> list[dict[str, float]]:
    return [{"epoch": n, "val_loss": 1 / n, "val_accuracy": n / (n + 1)} for n in range(1, num_epochs + 1)]


def commit(folder: Path, trial: TrialConfig, tags: dict[str, str], num_epochs: int = NUM_EPOCHS) -> Record:
    """Commits the files of a finished trial, as a worker does."""
    attempt = folder / "attempt-1"
    attempt.mkdir(parents=True)
    arrays = {"logits": np.eye(4, dtype=np.float32), "labels": np.arange(4), "classes": np.array(["a", "b", "c", "d"])}
    save_arrays(attempt / "predictions.npz", **arrays)
    scores = {"test_accuracy": 0.5, "best_val_accuracy": 0.75, "best_epoch": 2.0, "epochs_run": float(num_epochs)}
    files = {"predictions.npz": weights.sha256(attempt / "predictions.npz")}
    sizes = {"predictions.npz": (attempt / "predictions.npz").stat().st_size}
    written = rows(num_epochs)
    mine = Record(trial.key, trial.to_dict(), tags, scores, written, {"device": "cpu"}, attempt.name, files, sizes)
    committed = record.commit(folder, mine)
    record.put_in_place(folder, committed)
    return committed


class Drive:
    """A driver of two trials with simulated workers, which remembers its longest wait."""

    open_ones: ClassVar[list[Drive]] = []

    def __init__(self, store: Store, storage: Path, num_epochs: int = NUM_EPOCHS) -> None:
        self.store, self.num_epochs = store, num_epochs
        self.trials = grid(BASE, seed=(1, 2))
        self.storage_id = reconcile.storage_id(storage)
        sweep, inputs = Sweep("toy", self.trials), {t.key: INPUTS for t in self.trials}
        data: Any = {"": SimpleNamespace(notes=(), scan=SimpleNamespace(sha256=INPUTS.data_sha256))}
        self.tags = {"sweep": "toy", "variant": "", **CODE, "storage": self.storage_id, **INPUTS.tags}
        self.folders = {t.key: storage / "trials" / folder_name(t, INPUTS) for t in self.trials}
        (storage / "split.csv").write_text("recording,role\n")
        self.places = {
            key: Place(storage, storage / "split.csv", None, folder, tags=self.tags)
            for key, folder in self.folders.items()
        }
        self.longest_s = 0.0
        self.open_ones.append(self)
        self.situation = Situation(sweep, "", data, inputs, read_runs(store.uri), {})
        self.near = NearData(self.trials, {key: place.clips for key, place in self.places.items()})
        self.recorder: Recorder = self.timed(Recorder, self.situation, self.places, store, self.near)

    def timed(self, call: Callable[..., Any], *args: Any) -> Any:
        began = time.monotonic()
        result = call(*args)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        return result

    def begin(self, trial: TrialConfig, num_epochs: int) -> None:
        """Starts a trial and completes some epochs."""
        self.timed(self.recorder.started, trial.key)
        for row in rows(num_epochs):
            self.timed(self.recorder.epoch, trial.key, row)

    def end(self, trial: TrialConfig, after: int) -> None:
        """Completes the other epochs, commits the trial and ends it."""
        for row in rows(self.num_epochs)[after:]:
            self.timed(self.recorder.epoch, trial.key, row)
        commit(self.folders[trial.key], trial, self.tags, self.num_epochs)
        self.timed(self.recorder.finished, trial.key, "node")

    def close(self) -> float:
        """Ends the driver, and returns how long that took [s]."""
        began = time.monotonic()
        self.recorder.close()
        return time.monotonic() - began

    def repair(self) -> list[Repair]:
        """Makes the repairs of the next start."""
        return reconcile.reconcile(self.store, reconcile.committed(self.folders.values()), self.storage_id)

    def statuses(self) -> Counter[tuple[str, str]]:
        """The number of runs of each trial in each state."""
        return Counter((run.key, run.status) for run in read_runs(self.store.uri))

    def assert_whole(self, each_once: bool = False) -> None:
        """Every trial has exactly one finished run, with every epoch in its curves, its scores and its files.

        Args:
            each_once: whether an epoch may not be two points of one value, as it is when an answer was lost.
        """
        client = MlflowClient(tracking_uri=self.store.uri)
        finished = [run for run in read_runs(self.store.uri) if run.status == "FINISHED"]
        assert sorted(run.key for run in finished) == sorted(self.folders)
        expected = [(int(row["epoch"]), row["val_loss"]) for row in rows(self.num_epochs)]
        for run in finished:
            points = [(p.step, p.value) for p in client.get_metric_history(run.run_id, "val_loss")]
            assert sorted(points if each_once else set(points)) == expected
            assert run.metrics["test_accuracy"] == 0.5
            assert run.tags["record"] == (record.read(self.folders[run.key]) or pytest.fail("no record")).sha256
            files = {file.path for file in client.list_artifacts(run.run_id)}
            assert files == {"config.json", "confusion.png", "predictions.npz"}
        assert not any(status == "RUNNING" for _, status in self.statuses())


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def mirror_is_alive() -> bool:
    return any(thread.name == "store" for thread in threading.enumerate())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """A real MLflow server on a SQLite file, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.database = folder / "mlflow.db"

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination", "files"]
        # Its job runner is seven more processes that each load MLflow.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [sys.executable, "-m", "mlflow", *words]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self.folder, env=environment
            )
        until(self._answers, 600)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def kill(self) -> int:
        """Kills the server and its worker with SIGKILL, and returns the exit status."""
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """A server for the whole module, because starting one takes ten seconds."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    yield server
    if server.process.poll() is None:
        server.kill()


class Wire:
    """The connection between a driver and its server, which can be cut.

    `fault` is empty, or: "refused" (nobody listens), "silent" (accepts and never answers), "500" (errors), "deaf" (the
    server does what it is asked, and its answer is lost).
    """

    def __init__(self, server: Server) -> None:
        self.fault, self.num_faults, self.port = "", 0, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._mended = threading.Event()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                fault = wire.fault
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if fault:
                    wire.num_faults += 1
                if fault == "silent":
                    wire._mended.wait(60)
                if fault in ("silent", "refused"):
                    return
                status, answer = 500, b"{}"
                if fault != "500":
                    onward = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
                    onward.request(self.command, self.path, body, headers)
                    reply = onward.getresponse()
                    status, answer = reply.status, reply.read()
                    onward.close()
                if fault != "deaf":
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads, allow_reuse_address = True, True

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignores that the client has gone, which is the point of these tests."""

        self._listen = lambda: Listener(("127.0.0.1", self.port), Handler)
        self._open()

    def _open(self) -> None:
        self._listener = self._listen()
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def cut(self, fault: str) -> None:
        self.fault = fault
        self._mended.clear()
        if fault == "refused":
            self.close()
            with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port), 5):
                pass
            self.num_faults += 1

    def repair(self) -> None:
        if self.fault == "refused":
            self._open()
        self.fault = ""
        self._mended.set()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """A connection to the server; each test has an empty one."""
    wire = Wire(server)
    yield wire
    wire.repair()
    wire.close()


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves no mirror for the next test, even after a failure, and no runs of earlier tests on a shared server."""
    yield
    while Drive.open_ones:
        Drive.open_ones.pop().recorder._mirror.close(0)
    until(lambda: not mirror_is_alive())
    if "server" in request.fixturenames:
        server: Server = request.getfixturevalue("server")
        if server.process.poll() is None:
            client = MlflowClient(tracking_uri=server.uri)
            experiment = client.get_experiment_by_name("toy")
            assert experiment is not None
            client.rename_experiment(experiment.experiment_id, f"toy {experiment.experiment_id}")
            client.delete_experiment(experiment.experiment_id)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls fail soon, retries come soon, and a driver has two seconds of patience at its end."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setattr(mirror, "LONGEST_WAIT_S", 2.0)
    monkeypatch.setattr(Mirror, "close", partialmethod(Mirror.close, 2.0))


FAULTS = ("refused", "silent", "500", "deaf")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("_quick")
def test_an_outage_that_passes_is_made_up_for(
    fault: str, wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trials begin, continue and end during it; the driver's writes wait, and the store becomes complete by itself."""
    drive = Drive(Store(wire.uri), tmp_path)
    one, two = drive.trials
    drive.begin(one, 2)
    until(lambda: any("val_loss" in run.metrics for run in read_runs(wire.uri)))
    wire.cut(fault)
    drive.begin(two, 3)
    drive.end(one, after=2)
    drive.end(two, after=3)
    until(lambda: wire.num_faults > 0)
    time.sleep(1.5)  # an outage, not a hiccup that MLflow's own retries bridge
    wire.repair()
    until(lambda: drive.statuses()[two.key, "FINISHED"])
    assert drive.close() < 2
    assert drive.longest_s < 1
    drive.repair()
    drive.assert_whole()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("_quick")
def test_an_outage_that_outlasts_the_sweep_is_repaired(
    fault: str, wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The driver still ends and says so; the next start leaves one finished run per trial, with complete curves."""
    drive = Drive(Store(wire.uri), tmp_path)
    one, two = drive.trials
    drive.begin(one, 2)
    until(lambda: any("val_loss" in run.metrics for run in read_runs(wire.uri)))
    wire.cut(fault)
    drive.begin(two, 3)
    drive.end(one, after=2)
    drive.end(two, after=3)
    assert drive.close() < 2 + 5
    assert drive.longest_s < 1
    assert wire.num_faults > 0
    assert "the store is behind" in capsys.readouterr().out
    until(lambda: not mirror_is_alive())
    wire.repair()
    assert {repair.kind for repair in drive.repair()} >= {"show"}
    assert drive.repair() == []
    drive.assert_whole()


@pytest.mark.usefixtures("_quick")
def test_an_epoch_whose_answer_was_lost_is_one_point(wire: Wire, tmp_path: Path) -> None:
    """The server took it but the answer was lost, so it is written again: the curve still has one point per epoch."""
    drive = Drive(Store(wire.uri), tmp_path)
    one, two = drive.trials
    drive.begin(one, 1)
    drive.begin(two, 1)
    until(lambda: sum("val_loss" in run.metrics for run in read_runs(wire.uri)) == 2)
    wire.cut("deaf")
    drive.end(one, after=1)
    drive.end(two, after=1)
    until(lambda: wire.num_faults > 4)
    wire.repair()
    assert drive.close() < 10
    drive.repair()
    drive.assert_whole(each_once=True)


def test_a_server_that_never_answers_holds_the_driver_for_its_patience(wire: Wire, tmp_path: Path) -> None:
    """With the settings that users have: no call waits, and the end comes within its patience and five seconds.

    The write that hangs then cannot be stopped, and arrives while the store is repaired. There is one finished run all
    the same.
    """
    drive = Drive(Store(wire.uri), tmp_path)
    one, two = drive.trials
    drive.begin(one, 2)
    until(lambda: any("val_loss" in run.metrics for run in read_runs(wire.uri)))
    wire.cut("silent")
    drive.end(one, after=2)
    drive.begin(two, 3)
    drive.end(two, after=3)
    assert drive.close() < PATIENCE_S + 5
    assert drive.longest_s < 1
    assert wire.num_faults > 0
    assert mirror_is_alive()
    wire.repair()
    drive.repair()
    until(lambda: not mirror_is_alive())
    drive.repair()
    assert [drive.statuses()[t.key, "FINISHED"] for t in drive.trials] == [1, 1]


@pytest.mark.usefixtures("_quick")
def test_a_server_that_is_killed_while_it_writes_takes_up_where_it_was(server: Server, tmp_path: Path) -> None:
    """After SIGKILL and a new server on the same database, the database and all curves are intact."""
    num_epochs, others = 1000, points_in(server.database)  # several writes for each run
    drive = Drive(Store(server.uri), tmp_path, num_epochs)
    one, two = drive.trials
    drive.begin(one, num_epochs)
    drive.begin(two, num_epochs)
    until(lambda: points_in(server.database) - others > 5 * 2)
    assert server.kill() == -signal.SIGKILL
    assert points_in(server.database) - others < 2 * 2 * num_epochs, "it was killed too late"
    drive.end(one, after=num_epochs)
    drive.end(two, after=num_epochs)
    assert drive.longest_s < 1
    server.start()
    until(lambda: drive.statuses()[two.key, "FINISHED"])
    assert drive.close() < 2
    drive.repair()
    drive.assert_whole()
    with closing(sqlite3.connect(server.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def points_in(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=20)) as database:
        return int(database.execute("SELECT COUNT(*) FROM metrics").fetchone()[0])


def test_epochs_that_pile_up_are_written_together(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a write hangs, the epochs of two trials wait; then each trial's are written together."""
    gate, write = threading.Event(), MlflowClient.log_batch
    num_points: list[int] = []

    def slow(self: MlflowClient, run_id: str, metrics: Any = (), **others: Any) -> None:
        if any(metric.key == "val_loss" for metric in metrics):  # not the sweep's own numbers
            num_points.append(len(metrics))
            assert gate.wait(60)
        write(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", slow)
    drive = Drive(open_store(), tmp_path)
    one, two = drive.trials
    drive.begin(one, 1)
    until(lambda: num_points)
    for row in rows(4)[1:]:
        drive.timed(drive.recorder.epoch, one.key, row)
    drive.begin(two, 3)
    gate.set()
    until(lambda: len(num_points) == 3)
    assert num_points == [2 * 1, 2 * 3, 2 * 3]
    drive.end(one, after=4)
    drive.end(two, after=3)
    drive.close()
    drive.assert_whole(each_once=True)


@pytest.mark.usefixtures("_quick")
def test_a_run_that_is_deleted_while_it_goes_on_holds_up_no_other(open_store: OpenStore, tmp_path: Path) -> None:
    """Its writes are refused and skipped, the other trial's arrive; at the end it has a run again."""
    drive = Drive(open_store(), tmp_path)
    one, two = drive.trials
    drive.begin(one, 2)
    drive.begin(two, 1)
    until(lambda: sum("val_loss" in run.metrics for run in read_runs(drive.store.uri)) == 2)
    (gone,) = (run.run_id for run in read_runs(drive.store.uri) if run.key == one.key)
    MlflowClient(tracking_uri=drive.store.uri).delete_run(gone)
    drive.end(one, after=2)
    drive.end(two, after=1)
    until(lambda: drive.statuses()[two.key, "FINISHED"])
    assert drive.close() < 2
    assert drive.statuses() == {(two.key, "FINISHED"): 1}
    drive.repair()
    drive.assert_whole()


LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("COMMIT")
"""


def test_pictures_that_cannot_be_drawn_cost_no_result(
    open_store: OpenStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message comes; both trials end FINISHED, with their scores and predictions."""
    (storage := tmp_path / "storage").mkdir()
    drive = Drive(open_store(), storage)
    for trial in drive.trials:
        drive.begin(trial, NUM_EPOCHS)
        (drive.folders[trial.key] / "confusion.png").mkdir(parents=True)
        drive.end(trial, NUM_EPOCHS)
    until(lambda: drive.statuses() == Counter((trial.key, "FINISHED") for trial in drive.trials))
    drive.close()
    assert drive.repair() == []
    for run in read_runs(drive.store.uri):
        assert (run.status, run.metrics["test_accuracy"]) == ("FINISHED", 0.5)
        assert artifact_path(run, "predictions.npz").is_file()
    assert capsys.readouterr().out.count("was not drawn (") == 1


def release(locker: subprocess.Popen[str]) -> None:
    assert locker.stdin is not None
    assert locker.stdout is not None
    locker.stdin.close()
    assert locker.wait(20) == 0
    locker.stdout.close()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """A function that makes another process lock a database until it receives a line."""
    lockers: list[subprocess.Popen[str]] = []

    def lock(path: Path) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, "-c", LOCKER, str(path)], subprocess.PIPE
        lockers.append(subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe))
        assert lockers[-1].stdout is not None
        assert lockers[-1].stdout.readline() == "locked\n"
        return lockers[-1]

    yield lock
    for locker in lockers:
        release(locker)


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.usefixtures("_quick")
def test_a_locked_file_holds_nobody(
    passes: bool,
    open_store: OpenStore,
    tmp_path: Path,
    locked: Callable[[Path], subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process locks the store's file, for a while or for longer than the sweep."""
    drive = Drive(open_store(), tmp_path)
    path = sqlite_path(drive.store.uri)
    one, two = drive.trials
    drive.begin(one, 2)
    until(lambda: any("val_loss" in run.metrics for run in read_runs(drive.store.uri)))
    locker = locked(path)
    drive.end(one, after=2)
    drive.begin(two, 3)
    drive.end(two, after=3)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "TIMEOUT_S", 0.1)
        with pytest.raises(StoreError, match="database is locked"):
            read_runs(drive.store.uri)
    if passes:
        release(locker)
        until(lambda: drive.statuses()[two.key, "FINISHED"])
    assert drive.close() < 2 + 5
    assert drive.longest_s < 1
    if not passes:
        assert mirror_is_alive()
        release(locker)
        until(lambda: not mirror_is_alive())
    drive.repair()
    drive.assert_whole()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


CROWD = """
import os, sys
from sweeps.engine.store.store import Store
Store(f"sqlite:///{sys.argv[3]}")  # another one: loads MLflow and its migrations once, for all of them

def member(gate):
    os.read(gate, 1)  # until all are there
    try:
        Store(sys.argv[1]).open_sweep("toy", "", {})
    except BaseException as error:
        os.write(2, f"{error}\\n".encode())
        os._exit(1)
    os._exit(0)

gate, starter = os.pipe()
members = []
for _ in range(int(sys.argv[2])):
    members.append(os.fork())
    if not members[-1]:
        os.close(starter)
        member(gate)
os.close(starter)
print(sum(os.waitpid(pid, 0)[1] != 0 for pid in members))
"""


def test_many_processes_may_make_one_store(tmp_path: Path, empty_database: Path) -> None:
    """Of 32 at once, on a file that does not exist yet, none fails, and there is one experiment; in MLflow 31 fail."""
    path = tmp_path / "new" / "mlflow.db"
    command = [sys.executable, "-c", CROWD, f"sqlite:///{path}", "32", str(shutil.copy(empty_database, tmp_path))]
    crowd = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert crowd.stdout == "0\n", crowd.stderr
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM experiments WHERE name = 'toy'").fetchone() == (1,)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def full_after(num_bytes: int) -> Iterator[None]:
    """Limits the size of files for this process: Python ignores the signal and sees the error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass(frozen=True)
class Site:
    """A place where something is written: the writing, and a check that it can be read (an error if it is torn)."""

    write: Callable[[Path], object]
    is_there: Callable[[Path], bool]
    num_bytes: int  # that it takes at least


def a_record(folder: Path) -> Record:
    (folder / "attempt-1").mkdir(parents=True, exist_ok=True)
    return record.commit(folder, Record("k", BASE.to_dict(), {}, {}, rows(40), {}, "attempt-1", {}))


def a_scan(folder: Path) -> Scan:
    """One recording of 8,000 samples, already scanned, so that only later steps can fail."""
    path = folder / "corpus" / "x.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000)
    corpus = Corpus("deepship", path.parent, ("Cargo",), (Recording("Cargo/x", path, "Cargo"),))
    return scan(corpus, 0.5, folder / "memory")


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.glob("clips/*") if not path.name.startswith(".")]


SPLIT = Split("recording", {f"Cargo/{number}": "train" for number in range(500)})
LOGITS = np.random.default_rng(0).normal(size=(2_000, 4)).astype(np.float32)
SITES = {
    "checkpoint": Site(
        lambda folder: checkpoint.save(folder / "epoch-0001.pt", {"best_epoch": 1, "weight": torch.zeros(4_000)}),
        lambda folder: (folder / "epoch-0001.pt").exists() and bool(checkpoint.load(folder / "epoch-0001.pt")),
        16_000,
    ),
    "record": Site(a_record, lambda folder: record.read(folder) is not None, 4_000),
    "predictions": Site(
        lambda folder: save_arrays(folder / "predictions.npz", logits=LOGITS),
        lambda folder: (folder / "predictions.npz").exists(),
        20_000,
    ),
    "split": Site(
        lambda folder: splits.write(SPLIT, folder),
        lambda folder: any(splits.read(path) for path in folder.glob("*.csv")),
        9_000,
    ),
    "clips": Site(
        lambda folder: cache.build(a_scan(folder), (8_000,), 0.5, folder),
        lambda folder: any(len(open_clips(path).wave) for path in entries(folder)),
        16_000,
    ),
}


@pytest.mark.parametrize("name", SITES)
def test_a_full_disk_is_an_error_and_nothing_torn_is_read(name: str, tmp_path: Path) -> None:
    """That holds wherever the disk fills up; with room, the same call succeeds."""
    site = SITES[name]
    a_scan(tmp_path)
    for num_bytes in np.linspace(70, site.num_bytes, 8, endpoint=False, dtype=int):
        with full_after(int(num_bytes)), pytest.raises((OSError, CorpusError), match="File too large"):
            site.write(tmp_path)
        assert not site.is_there(tmp_path)
    site.write(tmp_path)
    assert site.is_there(tmp_path)


def test_a_disk_that_runs_low_starts_no_further_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running trials continue; one message gives the reason, with the free and the needed space."""
    trials = grid(dataclasses.replace(BASE, width=0.125, weights="none"), seed=(1, 2, 3))
    places = {t.key: Place(tmp_path, tmp_path, None, tmp_path / t.key) for t in trials}
    free = iter([10**12, 10**12, 10**6])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    stops: list[str] = []
    recorder: Any = SimpleNamespace(stopped="", stop=stops.append)
    needs = {t.key: placement.needs(t, 1) for t in trials}
    jobs = list(while_it_makes_sense(trials, places, needs, tmp_path, recorder))
    assert [job.config for job in jobs] == list(trials[:2])
    (why,) = stops
    assert why.startswith(f"no further trial was started: {tmp_path} has 0.00 GB free, and the next trial needs 0.2")
    assert why.endswith("make room and start again")


def test_where_a_trial_has_finished_is_told(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next trial there may then have the same clips."""
    drive, nodes = Drive(open_store(), tmp_path), []
    monkeypatch.setattr(drive.near, "finished", lambda *news: nodes.append(news))
    drive.begin(drive.trials[0], 1)
    drive.end(drive.trials[0], after=1)
    drive.close()
    assert nodes == [(drive.trials[0].key, "node")]


@pytest.fixture
def _local_time() -> Iterator[None]:
    """Restores the time zone that a test has changed."""
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("_local_time")
def test_no_clock_and_no_time_zone_decides(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four drivers, each two hours before the one before it and in another zone: stopped, stopped, lost, and complete.

    One run a trial, taken up each time and finished once; its record is what was committed first.
    """
    true_time, zones = time.time, iter(["America/Los_Angeles", "Asia/Kolkata", "Pacific/Apia", "UTC"])

    def next_driver(hours: int) -> Drive:
        monkeypatch.setattr(time, "time", lambda: true_time() - 3_600 * hours)
        os.environ["TZ"] = next(zones)
        time.tzset()
        drive = Drive(open_store(), tmp_path)
        assert drive.situation.sweep.trials == grid(BASE, seed=(1, 2))
        return drive

    drive = next_driver(0)
    one, two = drive.trials
    drive.begin(one, 2)
    drive.close()

    drive = next_driver(2)
    assert set(drive.situation.unfinished) == {one.key}
    drive.begin(one, 3)
    drive.begin(two, 1)
    drive.close()

    drive = next_driver(4)
    drive.begin(one, 4)
    drive.end(one, after=4)
    drive.begin(two, 2)
    commit(drive.folders[two.key], two, drive.tags)
    drive.recorder._mirror.close()  # and no more is heard of it: its second trial is committed, and not finished

    drive = next_driver(6)
    assert drive.statuses() == {(one.key, "FINISHED"): 1, (two.key, "RUNNING"): 1}
    assert [(repair.kind, repair.key) for repair in drive.repair() if repair.key] == [("show", two.key)]
    drive.close()
    assert drive.repair() == []
    assert drive.statuses() == {(one.key, "FINISHED"): 1, (two.key, "FINISHED"): 1}
    drive.assert_whole(each_once=True)
