"""`analysis.rows` and `analysis.predictions`: a study as tables of pandas, from a real store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from sweeps.engine.plan import Sweep
from sweeps.engine.situation import Inputs, folder_name
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import CLASSES, predictions

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic"),
]


@pytest.fixture
def store(sweep: Sweep, complete: list[Run], tmp_path: Path, fill_store: Callable[[Path, list[Run]], str]) -> str:
    """A store in which seeds 1 and 2 have finished, and seed 3 has not run; the first trial's folder is here."""
    runs = [run for run, trial in zip(complete, sweep.trials, strict=True) if trial.seed < 3]
    inputs = Inputs("d1" * 32, "51" * 32, runs[0].tags["weights_sha256"])
    (tmp_path / "trials" / folder_name(sweep.trials[0], inputs)).mkdir(parents=True)
    return fill_store(tmp_path / "store", runs)


def test_rows_are_the_trials_of_the_plan(sweep: Sweep, complete: list[Run], store: str, tmp_path: Path) -> None:
    """What tells trials apart comes first, then scores and when; a trial that has not run has none."""
    table = analysis.rows(sweep, store=store, storage=tmp_path)
    assert list(table.columns[:6]) == ["key", "status", "pretrain_hz", "data_hz", "seed", "test_accuracy"]
    assert table["key"].tolist() == [trial.key for trial in sweep.trials]
    done = table[table["status"] == "finished"]
    assert done["seed"].tolist() == [1, 2] * 4
    first, ended = table.iloc[0], pd.Timestamp.now(tz="UTC")
    assert first["test_accuracy"] == complete[0].metrics["test_accuracy"]
    assert ended - pd.Timedelta(minutes=5) < first["ended"] < ended
    assert Path(first["folder"]).parent == tmp_path / "trials"
    assert not table["folder"][1:].any()
    assert table[table["seed"] == 3][["test_accuracy", "ended", "took_s"]].isna().all(axis=None)
    assert (table["lr"].dtype, table["hostname"][0]) == (np.float64, "pier")
    assert not [name for name in table if table[name].map(type).isin([dict, list, tuple]).any()]
    assert table.columns.is_unique


def test_predictions_have_a_row_for_each_clip(sweep: Sweep, complete: list[Run], store: str, tmp_path: Path) -> None:
    """Means of `right` are the accuracies of the runs; shares of classes add up to 1."""
    table = analysis.predictions(sweep, store=store, storage=tmp_path)
    assert list(table)[:9] == [
        "key", "pretrain_hz", "data_hz", "seed", "recording", "clip", "label", "predicted", "right",
    ]  # fmt: skip
    finished = {trial.key: run for trial, run in zip(sweep.trials, complete, strict=True) if trial.seed < 3}
    for key, its in table.groupby("key", observed=True):
        assert its["right"].mean() == finished[str(key)].metrics["test_accuracy"]
    assert len(table) == len(finished) * len(predictions(0.7, 1, 24)["labels"])
    shares = table[[f"p_{name}" for name in CLASSES]]
    assert np.allclose(shares.sum(axis=1), 1)
    assert (shares.idxmax(axis=1) == "p_" + table["predicted"].astype(str)).all()
    assert table["recording"].dtype == "category"


def test_flags_are_words_of_the_command_line(sweep: Sweep, store: str, tmp_path: Path) -> None:
    """Numbers, ranges, lists and a dict are what the command line makes of their words."""
    its = {"store": store, "storage": tmp_path}
    assert analysis.rows(sweep, seeds=range(1, 3), **its)["seed"].tolist() == [1, 2] * 4
    assert analysis.rows(sweep, seeds="1-2", limit=2, split=None, **its)["seed"].tolist() == [1, 2]
    assert set(analysis.predictions(sweep, seeds=1, set={"data_hz": 2_000}, limit=1, **its)["seed"]) == {1}


@pytest.mark.parametrize(
    ("study", "flags", "message"),
    [
        ("deepship_rate", {}, r"sweeps/ has no study of that name; it has .*; did you mean deepship_rates\?"),
        ("learning_rate", {}, "is a search, .*python -m analysis.learning_rate"),
        ("deepship_rates", {"sed": 1}, r"unrecognized arguments: sed=1; did you mean --seeds\?"),
        ("deepship_rates", {"seeds": "x"}, "write whole numbers"),
        ("deepship_rates", {"set": {"epoch": 3}}, r"did you mean epochs\?"),
        ("deepship_rates", {"store": "http://me:secret@host"}, "MLFLOW_TRACKING_USERNAME"),
        ("deepship_rates", {}, "no run is of a trial that sweep deepship_rates plans; the store holds no run at all"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    study: str, flags: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No mistake ends the notebook's process, or prints beside its error."""
    for door in (analysis.rows, analysis.predictions):
        with pytest.raises(ValueError, match=message):
            door(study, storage=tmp_path / "empty", **flags)
    assert capsys.readouterr() == ("", "")


def test_the_door_is_light() -> None:
    """Importing the package loads nothing, and both functions are completed; there is no third."""
    program = (
        "import sys, analysis\n"
        "assert 'pandas' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert {'rows', 'predictions'} <= {*dir(analysis)}\n"
        "assert 'status (finished' in analysis.rows.__doc__\n"
        "assert not hasattr(analysis, 'row')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
