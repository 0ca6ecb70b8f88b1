"""Runs are read from a file or a server with the same results as MLflow's own client."""

from __future__ import annotations

import http.server
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from sweeps.engine.store import runs
from sweeps.engine.store.runs import Run, StoreError, read_runs, sqlite_path
from sweeps.engine.store.store import Store, artifact_path
from sweeps.recipes.mohammadi import RATES

pytestmark = pytest.mark.slow

TRIAL = RATES
STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


def fill(store: Store, name: str = "toy") -> None:
    """Fills a store with two sweeps' runs of every status, with difficult numbers and texts."""
    client = MlflowClient(tracking_uri=store.uri)
    for sweep in (name, f"{name} more"):
        parent = store.open_sweep(sweep, "", {})
        for number, status in enumerate(STATUSES):
            tags = {"key": f"{number:012d}", "role": "trial", "empty": "", "note": "a 'b' \"c\" é\n%20"}
            run_id = store.begin(parent, f"run {number}", TRIAL.to_dict(), tags, None)
            for epoch in (1, 2):
                store.log_epoch(run_id, {"epoch": epoch, "val_loss": 0.1 / epoch, "zero": 0.0, "nan": math.nan})
            client.log_batch(
                run_id, metrics=[Metric("tiny", 1.2345678901234567e-300, 1, 0), Metric("large", -math.inf, 1, 0)]
            )
            if status != "RUNNING":
                store.end(run_id, status)
    client.create_run("0", tags={"note": "not a trial's"})


def by_client(uri: str) -> dict[str, Run]:
    """The runs of all trials, read by MLflow itself."""
    client = MlflowClient(tracking_uri=uri)
    experiments = {e.experiment_id: e.name for e in client.search_experiments()}
    return {
        r.info.run_id: Run(
            r.info.run_id,
            experiments[r.info.experiment_id],
            r.info.run_name,
            r.info.status,
            dict(r.data.params),
            dict(r.data.metrics),
            dict(r.data.tags),
            r.info.artifact_uri,
            took_s=(r.info.end_time - r.info.start_time) / 1000 if r.info.end_time else 0.0,
            ended_unix_s=(r.info.end_time or 0) / 1000,
        )
        for r in client.search_runs(list(experiments))
        if "key" in r.data.tags
    }


def comparable(run: Run) -> tuple[object, ...]:
    """A run whose NaNs equal each other."""
    metrics = {name: repr(value) for name, value in run.metrics.items()}
    times = run.took_s, run.ended_unix_s
    return run.run_id, run.experiment, run.name, run.status, run.params, metrics, run.tags, run.artifact_uri, times


def assert_same(runs_read: list[Run], uri: str) -> None:
    expected = by_client(uri)
    assert len(runs_read) == len(expected) == 2 * len(STATUSES)
    for run in runs_read:
        assert comparable(run) == comparable(expected[run.run_id])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """The address of a real MLflow server with runs in it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    # Its job runner is seven more processes that each load MLflow.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=environment)
    try:
        uri = f"http://127.0.0.1:{port}"
        for _ in range(3000):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        fill(Store(uri))
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the server and its worker: they are a session of their own
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_file_is_read_as_mlflow_reads_it(open_store: Callable[..., Store]) -> None:
    """Every param, metric, tag, status, name and path agrees, also NaN, infinities and tiny numbers."""
    store = open_store()
    fill(store)
    assert_same(read_runs(store.uri), store.uri)


def test_a_server_is_read_as_mlflow_reads_it(server: str) -> None:
    """The same holds over REST."""
    assert_same(read_runs(server), server)
    assert_same(read_runs(f"{server}/"), server)


def test_all_pages_of_a_server_are_read(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few runs or experiments an answer holds, none is lost, and none comes twice."""
    all_ids = [run.run_id for run in read_runs(server)]
    monkeypatch.setattr(runs, "PAGE", 2)
    assert [run.run_id for run in read_runs(server)] == all_ids


@pytest.mark.parametrize("kind", ["file", "server"])
def test_curves_are_those_that_were_logged(
    kind: str, request: pytest.FixtureRequest, open_store: Callable[..., Store]
) -> None:
    """Each epoch in order with the metrics that it has, a NaN too; neither other runs nor scores at step 0."""
    if kind == "file":
        fill(store := open_store())
        uri = store.uri
    else:
        uri = request.getfixturevalue("server")
    first, *_ = read_runs(uri)
    curves = runs.read_curves(uri, {first.run_id}, ["val_loss", "nan", "large", "no_such_metric"])
    assert [*curves] == [first.run_id]
    one, two, *more = curves[first.run_id]
    assert (one["epoch"], one["val_loss"], math.isnan(one["nan"])) == (1, 0.1, True)
    assert (two["epoch"], two["val_loss"], more) == (2, 0.05, [])
    assert runs.read_curves(uri, [], ["val_loss"]) == {}


def test_a_nan_is_a_nan(open_store: Callable[..., Store]) -> None:
    """The file has 0 there, with a flag."""
    store = open_store()
    fill(store)
    assert all(math.isnan(run.metrics["nan"]) for run in read_runs(store.uri))
    assert all(run.metrics["zero"] == 0 for run in read_runs(store.uri))


def test_artefacts_come_from_a_server(server: str, tmp_path: Path) -> None:
    """Attached files are fetched; others give an error that names them."""
    (tmp_path / "config.json").write_text("{}")
    run = read_runs(server)[0]
    Store(server).attach(run.run_id, tmp_path / "config.json")
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = server
    try:
        assert artifact_path(run, "config.json").read_text() == "{}"
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI")
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.mark.parametrize("kind", ["file", "server"])
def test_runs_come_oldest_first(kind: str, request: pytest.FixtureRequest, open_store: Callable[..., Store]) -> None:
    """They are sorted by the time of their start."""
    if kind == "server":
        runs = read_runs(request.getfixturevalue("server"))
    else:
        store = open_store()
        fill(store)
        runs = read_runs(store.uri)
    assert [run.name for run in runs] == [f"run {n}" for n in range(len(STATUSES))] * 2
    assert [run.experiment for run in runs] == ["toy"] * 4 + ["toy more"] * 4


def test_a_store_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    """Reading does not create it."""
    assert read_runs(f"sqlite:///{tmp_path}/none/mlflow.db") == []
    assert not list(tmp_path.iterdir())


def test_a_store_is_read_while_it_is_written(open_store: Callable[..., Store]) -> None:
    """Reading takes no lock that a driver would wait for, and sees the last write."""
    store = open_store()
    run_id = store.begin(store.open_sweep("toy", "", {}), "run", TRIAL.to_dict(), {"key": "0" * 12}, None)
    for epoch in (1, 2, 3):
        store.log_epoch(run_id, {"epoch": epoch, "val_loss": float(epoch)})
        assert read_runs(store.uri)[0].metrics == {"val_loss": float(epoch)}


def test_reading_loads_no_mlflow(empty_database: Path) -> None:
    """A plan answers at once."""
    program = (
        f"import sys; from sweeps.engine.store.runs import read_runs; read_runs('sqlite:///{empty_database}'); "
        "sys.exit('mlflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("uri", ["mlruns", "file:///a", "postgresql://a/b", ""])
def test_another_kind_of_store_is_refused(uri: str) -> None:
    """The error lists the supported kinds."""
    with pytest.raises(StoreError, match=r"write sqlite:////absolute/path\.db, or the http"):
        read_runs(uri)


def test_a_server_that_is_not_there_is_an_error() -> None:
    """The server is named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StoreError, match=f"--store {uri}: no MLflow server answers there"):
        read_runs(uri)


@pytest.mark.parametrize("folder", ["results", "my results", "50%20"])
def test_a_file_is_the_one_that_mlflow_writes(open_store: Callable[..., Store], tmp_path: Path, folder: str) -> None:
    """The address means the same file to both."""
    store = open_store(folder)
    store.open_sweep("toy", "", {})
    assert sqlite_path(store.uri) == tmp_path / folder / "mlflow.db"
    assert list(tmp_path.rglob("mlflow.db")) == [tmp_path / folder / "mlflow.db"]


KILLED_WHILE_WRITING = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the transaction ends
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE tags SET value = 'half-written'")
for number in range(500):
    database.execute("INSERT INTO experiment_tags VALUES (?, ?, 0)", (f"k{number}", "x" * 4000))
os._exit(9)
"""


def test_a_store_whose_driver_was_killed_while_writing_is_read_as_it_was(open_store: Callable[..., Store]) -> None:
    """The part of a transaction that reached the file is rolled back."""
    store = open_store()
    parent = store.open_sweep("toy", "", {})
    store.begin(parent, "toy", {}, {"key": "abc"}, None)
    database = sqlite_path(store.uri)
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(database)], check=False)
    assert done.returncode == 9
    assert database.with_name(database.name + "-journal").stat().st_size > 0
    (run,) = read_runs(store.uri)
    assert run.key == "abc"


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "pass"}, "Basic bWU6cGFzcw=="),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        ({}, None),
    ],
)
def test_a_server_is_told_who_reads(
    environment: dict[str, str], header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are those of MLflow's own client."""
    seen: list[str | None] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert read_runs(f"http://127.0.0.1:{server.server_port}") == []
    assert seen == [header]
