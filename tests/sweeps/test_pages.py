"""The first page of a sweep in a browser: the address, and the view that the experiment keeps under its name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient

from sweeps.engine.plan import Sweep, grid
from sweeps.engine.search.search import Search
from sweeps.engine.search.space import LogUniform
from sweeps.engine.store import pages
from sweeps.engine.store.store import Store
from sweeps.recipes.mohammadi import RATES
from trainable.result.record import Record

BASE = RATES.but(augment="none", pretrain_hz=8_000, data_hz=8_000)
SWEEP = Sweep("toy", grid(BASE, lr=(1e-3, 1e-4), seed=(1, 2)))


def view_of(tags: dict[str, str], uri: str) -> dict[str, object]:
    """The view that an address asks for, from the tags of its experiment."""
    query = parse_qs(urlsplit(urlsplit(uri).fragment).query)
    assert query["workflowType"] == ["machine_learning"]  # or MLflow opens the page of GenAI traces
    view: dict[str, object] = json.loads(tags[f"mlflow.sharedViewState.{query['viewStateShareKey'][0]}"])
    return view


def test_the_address_names_the_experiments_runs_and_a_view_that_it_keeps(open_store: Callable[..., Store]) -> None:
    """The page lists trials but not the sweep's own run, best first, with scores and differing fields."""
    store = open_store()
    store.introduce(store.open_sweep("other", "", {}), {}, {})
    store.introduce(store.open_sweep("toy", "", {}), {}, pages.experiment_tags(SWEEP))
    experiment = MlflowClient(tracking_uri=store.uri).get_experiment_by_name("toy")
    assert experiment is not None
    uri = pages.address(store.uri, "toy")
    assert uri.startswith(f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs?")
    view = view_of(experiment.tags, uri)
    assert view["searchFilter"] == "tags.role = 'trial'"
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`test_accuracy`", False)
    assert isinstance(columns := view["selectedColumns"], list)
    assert columns[0] == "metrics.`test_accuracy`"
    assert {"metrics.`best_val_accuracy`", "params.`lr`"} <= set(columns)
    assert "params.`data_hz`" not in columns  # all have the same
    assert len(set(columns)) == len(columns)
    runs = MlflowClient(tracking_uri=store.uri).search_runs([experiment.experiment_id], str(view["searchFilter"]))
    assert len(runs) == 0  # the sweep's own run is there, and is not listed


def test_a_store_that_is_rebuilt_has_the_view_too(open_store: Callable[..., Store]) -> None:
    """It is made from a trial's record, or the address would lead to an error."""
    store = open_store()
    store.show(Record(BASE.key, BASE.to_dict(), {"sweep": "toy"}, {}, [], {}, "a", {}), [], None)
    experiment = MlflowClient(tracking_uri=store.uri).get_experiment_by_name("toy")
    assert experiment is not None
    assert view_of(experiment.tags, pages.address(store.uri, "toy"))["orderByKey"] == "metrics.`test_accuracy`"


def test_a_search_is_listed_by_its_metric() -> None:
    """Evaluations have no test score; the lowest loss is the best."""
    search = Search("toy", BASE, {"lr": LogUniform(1e-5, 1e-2)}, num_trials=4, metric="best_val_loss")
    sweep = search.sweep([BASE])
    tags = pages.experiment_tags(sweep)
    view = json.loads(tags["mlflow.sharedViewState.trials"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`best_val_loss`", True)
    assert "params.`lr`" in view["selectedColumns"]
    assert tags["mlflow.experiment.primaryMetric.name"] == "best_val_loss"
    again = search.sweep(search.confirmed(dataclasses.replace(BASE, lr=1e-3)))
    assert pages.experiment_tags(again) == tags  # the last round leaves the page as it is


def test_a_server_is_its_own_address_and_a_file_needs_a_command(tmp_path: Path) -> None:
    """Without runs they have no page yet."""
    assert pages.ways(f"sqlite:///{tmp_path}/my results/mlflow.db", "toy") == [
        f"mlflow ui --backend-store-uri 'sqlite:///{tmp_path}/my results/mlflow.db'",
        "then open http://127.0.0.1:5000",
    ]


def test_the_command_prints_them(open_store: Callable[..., Store], capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m sweeps.engine.store.pages` repeats at any time what the end of a sweep prints."""
    store = open_store()
    store.open_sweep("toy", "", {})
    assert pages.main(["toy", "--store", store.uri]) == 0
    assert capsys.readouterr().out.splitlines() == pages.ways(store.uri, "toy")
    assert "/runs?workflowType=machine_learning&viewStateShareKey=trials" in pages.ways(store.uri, "toy")[1]
