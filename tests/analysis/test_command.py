"""The files of a report in the store, attached to the sweep's own run, and the message if that is impossible."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis.engine.command import attach
from sweeps.engine.store.runs import Run, read_runs
from sweeps.engine.store.store import Store
from tests.analysis.conftest import BASE

pytestmark = pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A report of two files."""
    paths = [tmp_path / "report.html", tmp_path / "figure.png"]
    for path in paths:
        path.write_text(f"<p>{path.name}</p>")
    return paths


def test_a_report_is_attached_to_the_parent_run_of_most_trials(
    tmp_path: Path, files: list[Path], empty_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trial that another sweep finished does not attract the report; a later report replaces the first."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    other, parent = store.open_sweep("toy", "epochs=2", {}), store.open_sweep("toy", "", {})
    for number, its in enumerate((other, parent, parent)):
        trial = dataclasses.replace(BASE, seed=number)
        store.begin(its, f"n{number}", trial.to_dict(), {"key": trial.key, "role": "trial"}, None)
    attach(files, read_runs(store.uri), store.uri)
    files[0].write_text("<p>again</p>")
    attach(files, read_runs(store.uri), store.uri)
    client = MlflowClient(tracking_uri=store.uri)
    paths = sorted(file.path for file in client.list_artifacts(parent, "report"))
    assert paths == ["report/figure.png", "report/report.html"]
    assert Path(client.download_artifacts(parent, "report/report.html")).read_text() == "<p>again</p>"
    assert client.list_artifacts(other, "report") == []
    assert f"attached: to the sweep's run {parent}" in capsys.readouterr().out


def test_a_store_that_takes_nothing_stops_no_report(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says so, and why."""
    nested = Run("r", "toy", "n", "FINISHED", {}, {}, {"key": "k", "mlflow.parentRunId": "gone"}, "")
    (tmp_path / "no store").write_text("something else, and long enough to be looked at " * 10)
    attach(files, [nested], f"sqlite:///{tmp_path / 'no store'}")
    printed = capsys.readouterr()
    assert (printed.out, "not attached to the sweep's run in the store: --store" in printed.err) == ("", True)
    attach(files, [dataclasses.replace(nested, tags={"key": "k"})], f"sqlite:///{tmp_path / 'no store'}")
    assert "not attached: the store has no run of the sweep itself" in capsys.readouterr().err
