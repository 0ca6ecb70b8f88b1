"""A sweep as its user starts it: real processes, real Ray, a real MLflow store, on a small synthetic corpus."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import main as report
from analysis.engine.kinds import Pivot
from datasets.synthetic.deepship import write as write_deepship
from sweeps.deepship_rates import SWEEP
from sweeps.engine.launch import BAD_INPUT, COMPLETE, FAILED, INTERRUPTED, LOCKED
from sweeps.engine.store.runs import Run, read_runs
from sweeps.engine.store.store import artifact_path
from sweeps.reproduce.__main__ import main as reproduce

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("weights=none", "width=0.0625", "lr=1e-3", "batch=4")
NUM_EPOCHS = 30
LONG = (*SMALL, f"epochs={NUM_EPOCHS}", f"patience={NUM_EPOCHS}")


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of four recordings, one clip each."""
    root = tmp_path_factory.mktemp("corpus") / "ships"
    write_deepship(root, num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    return root


@pytest.fixture(scope="module")
def alone(ships: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a sweep of two trials that nothing has happened to, from an empty folder."""
    storage = tmp_path_factory.mktemp("alone")
    code, output = finish(command(ships, storage, "--limit", "2", fields=LONG))
    assert (code, "2 planned, 0 done, 2 to run" in output) == (COMPLETE, True), output
    return storage


@pytest.fixture
def storage(tmp_path: Path, empty_database: Path) -> Path:
    """A folder for results whose store has its tables already: a driver takes seconds to make them."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def command(ships: Path, storage: Path, *more: str, fields: tuple[str, ...] = SMALL) -> list[str]:
    """The command line of the study, on the small corpus."""
    words = ["--data-root", str(ships), "--storage", str(storage), *more]
    sets = [word for field in fields for word in ("--set", field)]
    return [sys.executable, "-m", "sweeps.deepship_rates", *words, *sets]


def start(words: list[str]) -> subprocess.Popen[str]:
    """Starts a driver in its own process group, with its own Ray."""
    environment = {**os.environ, "RAY_ADDRESS": "local", "PYTHONWARNINGS": ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT)


def finish(words: list[str]) -> tuple[int, str]:
    """The exit code and output of an undisturbed driver."""
    driver = start(words)
    output, _ = driver.communicate(timeout=600)
    return driver.returncode, output


def until(epoch: int, trials: Path, driver: subprocess.Popen[str]) -> None:
    """Waits for a trial's checkpoint of this epoch or a later one, while the driver lives."""
    for _ in range(6000):  # ten minutes, on a machine that others use
        if any(int(path.stem[-4:]) >= epoch for path in trials.glob("*/epoch-*.pt")):
            return
        if driver.poll() is not None:
            pytest.fail(f"the driver ended first:\n{driver.communicate()[0]}")
        time.sleep(0.1)
    driver.kill()
    pytest.fail(f"{trials}: no trial came to epoch {epoch}:\n{driver.communicate()[0]}")


def runs_of(storage: Path) -> list[Run]:
    """The runs of the store."""
    return read_runs(f"sqlite:///{storage / 'mlflow.db'}")


def logits_of(run: Run) -> np.ndarray:
    """The stored test logits."""
    with np.load(artifact_path(run, "predictions.npz")) as stored:
        return np.array(stored["logits"])


def curve(storage: Path, run: Run) -> list[int]:
    """The epochs of a run's validation loss, as stored."""
    query = "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'val_loss' ORDER BY step"
    with closing(sqlite3.connect(storage / "mlflow.db")) as database:
        return [step for (step,) in database.execute(query, (run.run_id,))]


@pytest.mark.ray
def test_a_sweep_that_is_stopped_and_killed_ends_as_if_left_alone(
    ships: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, SIGTERM, SIGKILL, and a last start: every key finished once, with whole curves and the same bits."""
    monkeypatch.setenv("SOUNDINGS_FAULT", "epoch is trained")
    monkeypatch.setenv("SOUNDINGS_FAULT_LOG", str(tmp_path))
    monkeypatch.setenv("SOUNDINGS_FAULT_HOW", "wait 0.3")  # or on a busy machine a trial ends between look and signal
    disturbed = command(ships, tmp_path / "disturbed", "--limit", "2", fields=LONG)

    for stop, epoch in ((signal.SIGINT, 3), (signal.SIGTERM, 8)):
        driver = start(disturbed)
        until(epoch, tmp_path / "disturbed" / "trials", driver)
        driver.send_signal(stop)
        output, _ = driver.communicate(timeout=600)
        assert driver.returncode == INTERRUPTED, output
        assert {run.status for run in runs_of(tmp_path / "disturbed")} == {"KILLED"}

    driver = start(disturbed)
    until(14, tmp_path / "disturbed" / "trials", driver)
    driver.kill()
    driver.communicate(timeout=600)
    assert any(run.status == "RUNNING" for run in runs_of(tmp_path / "disturbed"))
    monkeypatch.delenv("SOUNDINGS_FAULT")

    code, output = finish(disturbed)
    assert code == COMPLETE, output
    runs = runs_of(tmp_path / "disturbed")
    assert [run.status for run in runs] == ["FINISHED"] * 2
    assert all(curve(tmp_path / "disturbed", run) == list(range(1, NUM_EPOCHS + 1)) for run in runs)
    assert not list((tmp_path / "disturbed" / "trials").glob("*/epoch-*"))

    expected = {run.key: logits_of(run) for run in runs_of(alone)}
    assert set(expected) == {run.key for run in runs}
    assert all(np.array_equal(expected[run.key], logits_of(run)) for run in runs)


@pytest.mark.ray
def test_only_what_is_missing_runs(ships: Path, alone: Path) -> None:
    """A second start runs nothing, a deleted run runs again, and a new seed runs alone."""
    words = command(ships, alone, "--limit", "2", fields=LONG)
    code, output = finish(words)
    assert (code, "2 planned, 2 done, 0 to run" in output) == (COMPLETE, True), output

    gone = runs_of(alone)[0]
    with closing(sqlite3.connect(alone / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", (gone.run_id,))
    code, output = finish(words)
    assert (code, "2 planned, 1 done, 1 to run" in output) == (COMPLETE, True), output
    assert sorted(run.key for run in runs_of(alone)).count(gone.key) == 1

    code, output = finish(command(ships, alone, "--limit", "2", "--report", fields=LONG))
    assert "written: " in output
    assert (alone / "reports" / "deepship_rates" / "table.md").is_file()

    _, output = finish(command(ships, alone, "--limit", "4", "--seeds", "1,2,3,4", "--dry-run", fields=LONG))
    assert "4 planned, 2 done, 2 to run" in output


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_seeds_are_added_and_the_lock_of_the_sweep_is_kept(ships: Path, storage: Path) -> None:
    """Two settings get a second seed after a look; the report reads both, and the lock, which the results match."""
    words = ("--limit", "2", "--seeds", "1", "--until-decided", "--max-seeds", "2")
    one_by_one = ("--max-concurrent", "1")  # every worker of every round loads PyTorch anew
    code, output = finish(command(ships, storage, *words, *one_by_one, fields=(*SMALL, "epochs=1")))
    assert code == COMPLETE, output
    assert "look     1 seed: 0 of 1 pair is decided; seed 2 is added for 2 settings" in output
    assert "data_hz=2000 against 4000: " in output.split("0 of 1 pair is decided:")[1]
    assert Counter(run.params["seed"] for run in runs_of(storage)) == {"1": 2, "2": 2}

    same = [*words, *(word for field in (*SMALL, "epochs=1") for word in ("--set", field)), "--storage", str(storage)]
    assert report(SWEEP, "Is it so?", Pivot("data_hz"), argv=same) == COMPLETE
    table = (storage / "reports" / "deepship_rates" / "table.md").read_text(encoding="utf-8")
    assert "Declared on " in table
    assert "one by one by --until-decided: seed 2 of 2 settings." in table
    assert reproduce([str(storage / "locks" / "deepship_rates.lock"), "--storage", str(storage)]) == COMPLETE


@pytest.mark.ray
def test_a_loss_that_is_not_finite_fails_the_trial_with_its_epoch_and_step(ships: Path, storage: Path) -> None:
    """A diverging trial is FAILED in the store, with the reason, and the sweep's exit code says so."""
    diverging = ("weights=none", "width=0.0625", "lr=1e30", "batch=4", "epochs=3")
    code, output = finish(command(ships, storage, "--limit", "1", fields=diverging))
    assert code == FAILED, output
    (run,) = runs_of(storage)
    assert run.status == "FAILED"
    assert "in epoch" in run.tags["failure"] or "after epoch" in run.tags["failure"]
    assert "NotFinite" in output


@pytest.mark.ray
def test_a_trial_without_room_takes_half_batches_in_a_new_process(
    ships: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs out of memory in its second epoch, goes on from its first in halves, finishes, and its run says so."""
    (log := storage / "log").mkdir()
    for name, value in {"": "epoch is trained", "_TIMES": "2", "_HOW": "out of memory", "_LOG": str(log)}.items():
        monkeypatch.setenv(f"SOUNDINGS_FAULT{name}", value)
    code, output = finish(command(ships, storage, "--limit", "1", fields=(*SMALL, "epochs=3")))
    assert code == COMPLETE, output
    assert sorted(path.name for path in log.iterdir()) == [f"epoch is trained {n}" for n in (1, 2, 3, 4)]
    (run,) = runs_of(storage)
    assert (run.status, run.tags["micro_batches"]) == ("FINISHED", "2")
    assert run.tags["node_id"]
    assert curve(storage, run) == [1, 2, 3]


def test_missing_weights_stop_everything_before_it_starts(ships: Path, tmp_path: Path) -> None:
    """All three files are named at once, with their destinations, and no store is made."""
    code, output = finish(command(ships, tmp_path, fields=()))
    assert code == BAD_INPUT
    assert output.count("curl ") == 3
    assert str(tmp_path / "weights") in output
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "lr=fast"], "lr='fast': must be of type float"),
        (["--set", "lr=1"], "lr is set twice"),
        (["--set", "learning_rate=1"], "no field 'learning_rate'"),
        (["--set", "data_hz=1000"], "needs 32; raise data_hz"),
        (["--seeds", "1,1"], "a seed stands there twice"),
        (["--classes", "Cargo,Submarine"], "there is no class Submarine; there are Cargo"),
        (["--split", "captain"], "can be split by recording, published, day, vessel"),
        (["--split", "published"], "--split-file"),
        (["--split-file", "list.csv"], "list.csv: no trial reads it; add --split published, or leave it out"),
        (["--store", "postgres:nowhere"], "--store postgres:nowhere"),
        (["--limit", "0"], "argument --limit: 0: must be at least 1"),
        (["--until-decided", "epochs"], "the plan does not vary it; it varies pretrain_hz, data_hz"),
        (["--until-decided", "--budget", "1cpu-h"], "use --max-seeds"),
        (["--max-concurrent", "0"], "argument --max-concurrent: 0: must be at least 1"),
    ],
)
def test_a_bad_flag_is_answered_with_its_remedy(ships: Path, tmp_path: Path, more: list[str], said: str) -> None:
    """One line on the value, exit code 2, no traceback."""
    code, output = finish(command(ships, tmp_path, *more))
    assert code == BAD_INPUT
    assert said in output
    assert "Traceback" not in output


def test_a_second_driver_leaves(ships: Path, tmp_path: Path) -> None:
    """Of two drivers of one sweep in one storage, the second says so and touches nothing."""
    with (tmp_path / ".driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, output = finish(command(ships, tmp_path))
    assert code == LOCKED
    assert "another driver" in output


def test_a_study_starts_from_anywhere(ships: Path, tmp_path: Path) -> None:
    """It starts as a module, as a script, and as a lone copy with the repository on PYTHONPATH."""
    copy = tmp_path / "deepship_rates.py"
    shutil.copy(ROOT / "sweeps" / "deepship_rates.py", copy)
    flags = ["--dry-run", "--storage", str(tmp_path)]
    for words, folder, more in (
        (["-m", "sweeps.deepship_rates"], ROOT, {}),
        ([str(ROOT / "sweeps" / "deepship_rates.py")], tmp_path, {}),
        ([str(copy)], tmp_path, {"PYTHONPATH": str(ROOT)}),
    ):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
        done = subprocess.run(
            [sys.executable, *words, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == COMPLETE, done.stderr
        assert "54 planned" in done.stdout
