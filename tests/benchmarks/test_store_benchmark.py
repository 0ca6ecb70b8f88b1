"""The benchmark of the store reads and writes the same values in both ways, and finds differences."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from benchmarks import store as benchmark
from sweeps.engine.store.runs import read_runs
from sweeps.engine.store.store import Store
from tests.sweeps.conftest import open_store  # noqa: F401 - a fixture

NUM_RUNS, NUM_EPOCHS = 5, 3


@pytest.fixture(autouse=True)
def _forgets() -> Iterator[None]:
    """MLflow's data frame is from the store that the process named last."""
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def store(open_store: Callable[..., Store], tmp_path: Path) -> Store:  # noqa: F811
    """A few runs: the first is written, the others are copies."""
    open_store()
    return benchmark.filled(tmp_path / "results", NUM_RUNS, NUM_EPOCHS)


def test_copies_are_runs_of_their_own(store: Store) -> None:
    """Each has its own key, scores and complete curves, for our reader and MLflow's."""
    runs = read_runs(store.uri)
    assert len({run.key for run in runs}) == len({run.metrics["test_loss"] for run in runs}) == NUM_RUNS
    assert {run.status for run in runs} == {"FINISHED"}
    client = MlflowClient(store.uri)
    curves = [client.get_metric_history(run.run_id, "val_loss") for run in runs]
    assert [[point.step for point in points] for points in curves] == [list(range(1, NUM_EPOCHS + 1))] * NUM_RUNS
    assert benchmark.differing(runs, benchmark.searched(store.uri)) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE params SET value = 'other' WHERE run_uuid = '{}' AND key = 'seed'",
        "DELETE FROM tags WHERE run_uuid = '{}' AND key = 'versions'",
        "UPDATE latest_metrics SET value = value + 1e-9 WHERE run_uuid = '{}' AND key = 'test_loss'",
        "UPDATE runs SET status = 'FAILED' WHERE run_uuid = '{}'",
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = '{}'",
    ],
)
def test_what_only_one_of_them_reads_is_found(change: str, store: Store, tmp_path: Path) -> None:
    """A difference in a setting, tag, score, status or a whole run is found."""
    frame, runs = benchmark.searched(store.uri), read_runs(store.uri)
    with closing(sqlite3.connect(tmp_path / "results" / "mlflow.db")) as database, database:
        database.execute(change.format(runs[2].run_id))
    assert benchmark.differing(read_runs(store.uri), frame) == [runs[2].run_id]


def test_all_ways_write_the_same_curves(store: Store) -> None:
    """The way of writing and the number of epochs at once do not matter."""
    ways = benchmark.writers(store, 2, NUM_EPOCHS)
    client, curves_by_way = MlflowClient(store.uri), {}
    for way in ("as they come", "all at once", "mlflow"):
        for run_id in ways[way]():
            for name in ("train_loss", "val_loss", "val_accuracy", "epoch_s"):
                points = client.get_metric_history(run_id, name)
                curves_by_way[way, run_id, name] = sorted((point.step, point.value) for point in points)
    expected = {
        name: [(row["epoch"], row[name]) for row in benchmark.curve(NUM_EPOCHS)] for _, _, name in curves_by_way
    }
    assert len(curves_by_way) == 3 * 2 * 4
    assert all(points == expected[name] for (_, _, name), points in curves_by_way.items())


def test_every_row_is_measured(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
) -> None:
    """Reading and both ways of writing have a peer; the document has all flags."""
    fill, results = benchmark.filled, tmp_path / "results.json"

    def copied(folder: Path, *sizes: int) -> Store:
        (folder / "mlflow.db").write_bytes(empty_database.read_bytes())  # making its tables takes seconds
        return fill(folder, *sizes)

    monkeypatch.setattr(benchmark, "filled", copied)
    benchmark.main(["--runs", "3", "--epochs", "2", "--rounds", "1", "--written", "1", "--json", str(results)])
    document = json.loads(results.read_text())
    assert [row["peer"] is not None for row in document["rows"]] == [True, True, True, False]
    assert document["flags"]["runs"] == "3"
    assert "3 runs of 2 epochs, read for a table" in capsys.readouterr().out
