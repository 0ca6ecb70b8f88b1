"""A search as its user starts it: real Ray, a real store, killed in the middle, and started again."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine.launch import COMPLETE
from sweeps.engine.running.drive import Recorder
from sweeps.engine.running.rounds import Display
from sweeps.engine.search.search import Search
from sweeps.engine.search.space import LogUniform
from sweeps.engine.store.runs import read_runs
from sweeps.engine.store.store import Store
from tests.sweeps.test_launch import finish, start
from tests.sweeps.test_outage import NUM_EPOCHS, Drive

NUM = 6
ONE_BY_ONE = ("--max-concurrent", "1")  # every worker of every round loads PyTorch anew
FIELDS = ("weights=none", "width=0.0625", "batch=4", "epochs=8", "pretrain_hz=8000", "data_hz=2000")


def command(ships: Path, storage: Path, *more: str) -> list[str]:
    """The search, on a small corpus, in two rounds."""
    words = [sys.executable, "-m", "sweeps.learning_rate", "--data-root", str(ships), "--storage", str(storage)]
    sets = [word for field in FIELDS for word in ("--set", field)]
    return [*words, "--limit", str(NUM), "--seeds", "101", *more, *sets]


def study(storage: Path) -> optuna.Study:
    """The study, read by Optuna's own tools."""
    uri = f"sqlite:///{storage / 'optuna.db'}"
    (name,) = optuna.get_all_study_names(uri)
    return optuna.load_study(study_name=name, storage=uri)


def committed(storage: Path) -> set[Path]:
    """All committed records."""
    return set((storage / "trials").glob("*/record.json"))


@pytest.mark.slow
def test_a_driver_shows_a_round_in_the_study_as_it_goes(open_store: Callable[..., Store], tmp_path: Path) -> None:
    """One evaluation ends; the other has one epoch when the driver stops, and waits for the next start."""
    drive, storage = Drive(open_store(), tmp_path), f"sqlite:///{tmp_path / 'optuna.db'}"
    drive.close()
    search = Search("toy", drive.trials[0], {"lr": LogUniform(1e-6, 1e-2)}, num_trials=2)
    display = Display(search, "toy", storage, 0, drive.trials)
    drive.recorder = Recorder(drive.situation, drive.places, drive.store, drive.near, display)
    for trial in drive.trials:
        drive.begin(trial, 1)
    drive.end(drive.trials[1], 1)
    drive.close()
    waits, ended = optuna.load_study(study_name="toy", storage=storage).trials
    assert (waits.state.name, waits.intermediate_values) == ("WAITING", {1: 0.5})
    assert (ended.state.name, ended.value, len(ended.intermediate_values)) == ("COMPLETE", 0.75, NUM_EPOCHS)
    assert ended.user_attrs["key"] == drive.trials[1].key


@pytest.mark.ray
def test_a_search_that_is_killed_asks_nothing_twice_and_finds_the_same(tmp_path: Path, empty_database: Path) -> None:
    """As many evaluations, the same proposals and values, the same best; nothing is left RUNNING; no test clip."""
    ships = tmp_path / "ships"
    write_deepship(ships, num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    for storage in (killed, alone):
        storage.mkdir()
        shutil.copy(empty_database, storage / "mlflow.db")  # a driver takes seconds to make its tables
    driver = start(command(ships, killed))
    for _ in range(6000):  # ten minutes, on a machine that others use
        if len(committed(killed)) >= 2:
            break
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.1)
    driver.kill()
    driver.communicate(timeout=600)
    before = {path: path.read_bytes() for path in committed(killed)}
    assert 2 <= len(before) < NUM

    code, output = finish(command(ships, killed, *ONE_BY_ONE))
    assert code == COMPLETE, output
    assert {path: path.read_bytes() for path in before} == before
    code, output = finish(command(ships, alone, *ONE_BY_ONE))
    assert code == COMPLETE, output

    one, other = study(killed), study(alone)
    assert len(one.trials) == NUM
    assert [t.params for t in one.trials] == [t.params for t in other.trials]
    assert [t.values for t in one.trials] == [t.values for t in other.trials]
    assert [t.state for t in one.trials] == [t.state for t in other.trials]
    assert one.best_trial.number == other.best_trial.number
    assert one.metric_names == ["best_val_accuracy"]
    for trial in other.trials:
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        assert trial.datetime_start < trial.datetime_complete
        assert len(trial.intermediate_values) > 0
    rounds = [other.trials[:4], other.trials[4:]]
    assert max(t.datetime_complete for t in rounds[0]) <= min(t.datetime_start for t in rounds[1])  # type: ignore[type-var]

    runs = read_runs(f"sqlite:///{killed / 'mlflow.db'}")
    assert Counter(run.status for run in runs) == {"FINISHED": NUM + 1}
    assert len({run.key for run in runs}) == NUM + 1
    assert {"test_accuracy" in run.metrics for run in runs if run.params["score_on"] == "validation"} == {False}
    (confirmed,) = (run for run in runs if run.params["score_on"] == "test")
    assert confirmed.params["seed"] == "101"
    assert float(confirmed.params["lr"]) == one.best_trial.params["lr"]
    for path in committed(killed):
        record = json.loads(path.read_text())["record"]
        assert bool(record["files"]) == (record["config"]["score_on"] == "test")
