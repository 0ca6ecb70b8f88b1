"""Whatever was killed, the store is brought into step with the committed trials, and a second pass finds nothing."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import itertools
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from mlflow import MlflowClient

from sweeps.engine.plan import run_name
from sweeps.engine.store import reconcile
from sweeps.engine.store.reconcile import Repair, main, repairs
from sweeps.engine.store.runs import Run, StoreError, deleted_records, read_all, read_runs
from sweeps.engine.store.store import Store, artifact_path
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import DamagedRecord, Record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HERE, THERE = "this storage", "another storage"
INPUTS = {"data_sha256": "d" * 64, "split_sha256": "5" * 64, "weights_sha256": "none"}
TRIAL = RATES.but(corpus="toy", pretrain_hz=8_000, data_hz=8_000, augment="none")
OTHER = dataclasses.replace(TRIAL, seed=2)
FOLDER = Path("trials/one")
NUM_EPOCHS = 3


def result(trial: TrialConfig = TRIAL, attempt: str = "one", **tags: str) -> Record:
    """The result of a committed trial."""
    rows = [{"epoch": n, "val_loss": 1 / n, "val_accuracy": 0.1 * n} for n in range(1, NUM_EPOCHS + 1)]
    given = {"sweep": "toy", "variant": "", "storage": HERE, "git_commit": "c0ffee", **INPUTS, **tags}
    scores = {"test_accuracy": 0.75, "best_epoch": 3, "epochs_run": NUM_EPOCHS}
    name = f"{record.ATTEMPT}{attempt}"
    return Record(trial.key, trial.to_dict(), given, scores, rows, {"device": "CPU", "hostname": "pier"}, name, {})


RESULT = result()


def run_of(run_id: str, status: str, trial: TrialConfig = TRIAL, storage: str = HERE, **tags: str) -> Run:
    """A run of a trial."""
    given = {"key": trial.key, "role": "trial", "storage": storage, **INPUTS, **tags}
    return Run(run_id, "toy", run_name(trial), status, {}, {}, given, "")


def shown(run_id: str = "r", committed: Record = RESULT, storage: str = HERE, status: str = "FINISHED") -> Run:
    """The run of a record."""
    return run_of(run_id, status, storage=storage, record=committed.sha256)


def found(runs: list[Run], records: dict[Path, Record] | None = None, deleted: tuple[str, ...] = ()) -> list[Repair]:
    return list(repairs({FOLDER: RESULT} if records is None else records, runs, deleted, HERE))


class TestRepairs:
    """The needed repairs, as a pure function of records and runs."""

    def test_nothing_is_in_step_with_nothing(self) -> None:
        """An empty storage matches an empty store."""
        assert found([], {}) == []

    def test_a_shown_record_needs_nothing(self) -> None:
        """There is a finished run with the record's hash."""
        assert found([shown()]) == []

    def test_a_record_without_a_run_is_shown(self) -> None:
        """It gets a new run."""
        assert found([]) == [Repair("show", TRIAL.key, FOLDER)]

    @pytest.mark.parametrize("status", ["RUNNING", "KILLED", "FAILED"])
    def test_a_record_is_shown_in_the_run_that_its_attempt_left(self, status: str) -> None:
        """The run is not ended first; of several, the newest is taken."""
        runs = [run_of("old", "KILLED"), run_of("new", status), run_of("elsewhere", "KILLED", storage=THERE)]
        assert found(runs) == [Repair("show", TRIAL.key, FOLDER, runs[1])]

    def test_a_run_with_everything_but_its_end_is_written_again(self) -> None:
        """After a kill between the scores and FINISHED, the record's hash alone does not count."""
        run = shown(status="RUNNING")
        assert found([run]) == [Repair("show", TRIAL.key, FOLDER, run)]

    def test_a_second_finished_run_is_superseded(self) -> None:
        """It has another record's hash, none, or the same one again, and may have come first."""
        for runs, extra in (
            ([shown("a"), shown("b", result(attempt="two"))], 1),
            ([shown("a", result(attempt="two")), shown("b")], 0),
            ([run_of("a", "FINISHED"), shown("b")], 0),
            ([shown("a"), shown("b")], 1),
        ):
            assert found(runs) == [Repair("supersede", TRIAL.key, FOLDER, runs[extra])]

    def test_a_record_that_is_not_the_finished_one_is_shown(self) -> None:
        """The record is the result: another finished run is set aside."""
        run = shown("a", result(attempt="two"))
        assert found([run]) == [Repair("show", TRIAL.key, FOLDER), Repair("supersede", TRIAL.key, FOLDER, run)]

    @pytest.mark.parametrize("name", reconcile.INPUTS)
    def test_a_run_on_other_bytes_is_another_result(self, name: str) -> None:
        """It neither shows the record, nor is set aside or taken up."""
        for run in (shown(), shown(status="KILLED")):
            other = dataclasses.replace(run, tags={**run.tags, name: "0" * 64})
            assert found([other]) == [Repair("show", TRIAL.key, FOLDER)]

    def test_a_deleted_run_takes_its_record_with_it(self) -> None:
        """The record is forgotten, not shown; an unfinished run of it belongs to nobody."""
        assert found([], deleted=(RESULT.sha256,)) == [Repair("forget", TRIAL.key, FOLDER)]
        run = run_of("a", "RUNNING")
        assert found([run], deleted=(RESULT.sha256,)) == [
            Repair("forget", TRIAL.key, FOLDER),
            Repair("end", TRIAL.key, run=run),
        ]

    def test_a_deleted_duplicate_takes_nothing_with_it(self) -> None:
        """While a finished run shows the record, another of its runs may be deleted."""
        assert found([shown()], deleted=(RESULT.sha256,)) == []

    def test_the_deleted_run_of_another_attempt_takes_nothing_with_it(self) -> None:
        """A record is only tied to its own run."""
        assert found([shown()], deleted=(result(attempt="two").sha256,)) == []
        assert found([], deleted=(result(attempt="two").sha256,)) == [Repair("show", TRIAL.key, FOLDER)]

    def test_runs_of_lost_drivers_are_ended(self) -> None:
        """This holds for trials and sweeps; ended runs stay."""
        parent = Run("p", "toy", "toy", "RUNNING", {}, {}, {"role": "sweep", "storage": HERE}, "")
        trial = run_of("a", "RUNNING", OTHER)
        runs = [parent, trial, run_of("b", "KILLED", OTHER), run_of("c", "FAILED", OTHER)]
        assert found(runs, {}) == [Repair("end", "", run=parent), Repair("end", OTHER.key, run=trial)]

    def test_two_runs_of_one_lost_trial(self) -> None:
        """The newer shows the record, the older is ended."""
        runs = [run_of("a", "RUNNING"), run_of("b", "RUNNING")]
        assert found(runs) == [Repair("show", TRIAL.key, FOLDER, runs[1]), Repair("end", TRIAL.key, run=runs[0])]

    def test_runs_of_other_storages_are_left_alone(self) -> None:
        """Their drivers may be alive: they are neither ended, nor taken up, nor set aside."""
        parent = Run("p", "toy", "toy", "RUNNING", {}, {}, {"role": "sweep", "storage": THERE}, "")
        runs = [parent, run_of("a", "RUNNING", storage=THERE), run_of("b", "RUNNING", OTHER, storage=THERE)]
        assert found(runs, {}) == []
        assert found(runs) == [Repair("show", TRIAL.key, FOLDER)]
        assert found([shown("a"), shown("b", result(attempt="two"), THERE)]) == []

    def test_of_two_storages_results_the_older_run_counts(self) -> None:
        """Each storage sets aside only its own newer run, so that they do not undo each other's repairs."""
        theirs, mine = shown("a", result(attempt="two"), THERE), shown("b")
        assert found([theirs, mine]) == [Repair("supersede", TRIAL.key, FOLDER, mine)]
        assert found([theirs, dataclasses.replace(mine, status="KILLED")]) == []
        assert found([theirs]) == []

    def test_every_repair_says_what_it_does(self) -> None:
        """The line names the trial, or says that it is about a sweep."""
        for kind in ("forget", "show", "supersede", "end"):
            assert str(Repair(kind, TRIAL.key)).startswith(f"trial {TRIAL.key}: ")
        assert str(Repair("end", "")).startswith("a sweep: running without a driver")


def commit(storage: Path, trial: TrialConfig = TRIAL, attempt: str = "one") -> Record:
    """Commits a result with its files, which stay in the attempt's folder, as after a kill."""
    folder = storage / "trials" / trial.key
    place = folder / f"{record.ATTEMPT}{attempt}"
    place.mkdir(parents=True)
    (place / "best.pt").write_bytes(b"weights")
    arrays = {"logits": np.eye(3, dtype=np.float32), "labels": np.arange(3), "classes": np.array(["a", "b", "c"])}
    np.savez(place / "predictions.npz", allow_pickle=False, **arrays)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
    mine = result(trial, attempt, storage=reconcile.storage_id(storage))
    sizes = {path.name: path.stat().st_size for path in place.iterdir()}
    return record.commit(folder, dataclasses.replace(mine, files=files, sizes=sizes))


def into_step(store: Store, storage: Path) -> list[str]:
    """The kinds of repairs that were needed."""
    records = reconcile.committed(sorted((storage / "trials").glob("*")))
    return [repair.kind for repair in reconcile.reconcile(store, records, reconcile.storage_id(storage))]


def client(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri)


def begin(store: Store, storage: Path, trial: TrialConfig = TRIAL) -> str:
    """A trial's run, whose driver then dies."""
    tags = {"sweep": "toy", "storage": reconcile.storage_id(storage), **INPUTS}
    parent = store.open_sweep("toy", "", {n: tags[n] for n in ("storage", "data_sha256")})
    return store.begin(parent, run_name(trial), trial.to_dict(), {"key": trial.key, "role": "trial", **tags}, None)


def points(store: Store, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every point of every curve of a run."""
    names = client(store).get_run(run_id).data.metrics
    return {n: sorted((p.step, p.value) for p in client(store).get_metric_history(run_id, n)) for n in names}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The folder of the store of `open_store`."""
    return tmp_path / "results"


def check_shown(store: Store, storage: Path, mine: Record) -> None:
    """One finished run has everything from the record, every point once, and its artefacts."""
    (run,) = [r for r in read_all(store.uri) if r.tags.get("key") == mine.key and r.status == "FINISHED"]
    assert run.tags.items() >= {**mine.tags, **mine.provenance, "record": mine.sha256, "role": "trial"}.items()
    assert "failure" not in run.tags
    assert run.params == {name: str(value) for name, value in mine.config.items()}
    assert run.name == run_name(TrialConfig(**mine.config))
    curves = {n: [(row["epoch"], row[n]) for row in mine.history] for n in mine.history[0] if n != "epoch"}
    points_by_curve = points(store, run.run_id)
    assert {n: points_by_curve.pop(n) for n in curves} == curves
    assert {n: set(points) for n, points in points_by_curve.items()} == {
        n: {(0, value)} for n, value in mine.scores.items()
    }
    folder = storage / "trials" / mine.key
    assert artifact_path(run, "predictions.npz").read_bytes() == (folder / "predictions.npz").read_bytes()
    assert artifact_path(run, "confusion.png").exists()
    assert mine.key in artifact_path(run, "config.json").read_text()
    parent = client(store).get_run(client(store).get_run(run.run_id).data.tags["mlflow.parentRunId"])
    assert parent.data.tags.items() >= {"role": "sweep", "sweep": "toy", "storage": mine.tags["storage"]}.items()
    assert parent.info.status != "RUNNING"


class TestStore:
    """Repairs on a real store."""

    def test_a_record_is_shown_whole(self, open_store: Callable[..., Store], storage: Path) -> None:
        """Params, tags, curves, scores and artefacts are there; the next pass changes nothing."""
        store = open_store()
        mine = commit(storage)
        assert into_step(store, storage) == ["show"]
        check_shown(store, storage, mine)
        before = read_all(store.uri)
        assert into_step(store, storage) == []
        assert read_all(store.uri) == before

    def test_pictures_that_cannot_be_drawn_are_said_once(
        self, open_store: Callable[..., Store], storage: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The runs are finished with their scores, and the next pass finds nothing to do."""
        store = open_store()
        for trial in (TRIAL, OTHER):
            commit(storage, trial)
            (storage / "trials" / trial.key / "confusion.png").mkdir()
        assert into_step(store, storage) == ["show", "show"]
        assert {(run.status, run.metrics["test_accuracy"]) for run in read_runs(store.uri)} == {("FINISHED", 0.75)}
        assert capsys.readouterr().out.count("was not drawn (") == 1
        assert into_step(store, storage) == []

    @pytest.mark.parametrize("epochs", [0, 2, NUM_EPOCHS])
    def test_what_a_lost_driver_wrote_is_completed(
        self, open_store: Callable[..., Store], storage: Path, epochs: int
    ) -> None:
        """Its run is completed without repeated points; its sweep's run is ended."""
        store = open_store()
        run_id, mine = begin(store, storage), commit(storage)
        for row in mine.history[:epochs]:
            store.log_epoch(run_id, row)
        assert into_step(open_store(), storage) == ["show", "end"]
        check_shown(store, storage, mine)
        assert [r.run_id for r in read_runs(store.uri)] == [run_id]
        assert into_step(store, storage) == []

    def test_a_failed_run_is_shown_without_its_failure(self, open_store: Callable[..., Store], storage: Path) -> None:
        """A trial that failed at first and was committed later is finished."""
        store = open_store()
        store.end(begin(store, storage), "FAILED", "Traceback ...")
        mine = commit(storage)
        into_step(store, storage)
        check_shown(store, storage, mine)

    def test_a_second_finished_run_is_set_aside(self, open_store: Callable[..., Store], storage: Path) -> None:
        """It is KILLED and says why, and the record's run stays unchanged."""
        store = open_store()
        mine = commit(storage)
        into_step(store, storage)
        again = begin(store, storage)
        store.finish(again, mine.scores, {"record": mine.sha256}, [])
        assert into_step(store, storage) == ["supersede", "end"]
        check_shown(store, storage, mine)
        (run,) = [r for r in read_runs(store.uri) if r.run_id == again]
        assert (run.status, run.tags["failure"][:10]) == ("KILLED", "superseded")
        assert into_step(store, storage) == []

    def test_a_deleted_run_takes_its_record_with_it(self, open_store: Callable[..., Store], storage: Path) -> None:
        """The trial runs again, and its next record is shown in its own run; other trials keep theirs."""
        store = open_store()
        mine, other = commit(storage), commit(storage, OTHER)
        into_step(store, storage)
        (run,) = [r for r in read_runs(store.uri) if r.key == TRIAL.key]
        client(store).delete_run(run.run_id)
        assert deleted_records(store.uri) == {mine.sha256}
        assert into_step(store, storage) == ["forget"]
        assert record.read(storage / "trials" / TRIAL.key) is None
        assert record.read(storage / "trials" / OTHER.key) == other
        assert into_step(store, storage) == []
        second = commit(storage, attempt="two")
        assert into_step(store, storage) == ["show"]
        check_shown(store, storage, second)
        check_shown(store, storage, other)
        assert run.run_id not in [r.run_id for r in read_runs(store.uri)]

    def test_a_deleted_experiment_takes_no_record_with_it(
        self, open_store: Callable[..., Store], storage: Path
    ) -> None:
        """It is refused with its remedy; after restoring, nothing has changed."""
        store = open_store()
        mine = commit(storage)
        into_step(store, storage)
        experiment = client(store).get_experiment_by_name("toy")
        assert experiment
        client(store).delete_experiment(experiment.experiment_id)
        with pytest.raises(StoreError, match="experiment toy was deleted; restore it"):
            into_step(store, storage)
        client(store).restore_experiment(experiment.experiment_id)
        assert into_step(store, storage) == []
        check_shown(store, storage, mine)

    def test_lost_drivers_runs_are_ended_and_others_are_not(
        self, open_store: Callable[..., Store], storage: Path, tmp_path: Path
    ) -> None:
        """Trial and sweep are KILLED; those of another storage in the same store continue."""
        store = open_store()
        begin(store, storage)
        begin(store, tmp_path / "elsewhere", OTHER)
        with_parent = {r.run_id: r for r in read_all(store.uri)}
        assert len(with_parent) == 3  # one study on one corpus has one parent, whoever drives
        for run in with_parent.values():
            if "key" not in run.tags:
                client(store).set_tag(run.run_id, "storage", reconcile.storage_id(storage))
        assert into_step(store, storage) == ["end", "end"]
        status = {r.tags.get("key", "sweep"): r.status for r in read_all(store.uri)}
        assert status == {TRIAL.key: "KILLED", "sweep": "KILLED", OTHER.key: "RUNNING"}

    @pytest.mark.parametrize("harm", ["changed", "gone"])
    def test_a_result_whose_files_are_damaged_is_not_shown(
        self, open_store: Callable[..., Store], storage: Path, harm: str
    ) -> None:
        """The error names the file and the remedy; once a copy is back, the record is shown."""
        store = open_store()
        mine = commit(storage)
        path = storage / "trials" / TRIAL.key / mine.attempt / "predictions.npz"
        intact = path.read_bytes()
        path.write_bytes(intact[:-1] + b"!")
        if harm == "gone":
            path.unlink()
        with pytest.raises(DamagedRecord, match=r"predictions\.npz: (has sha256 .*|is missing); put back a copy"):
            into_step(store, storage)
        assert [r.status for r in read_runs(store.uri)] == []
        (storage / "trials" / TRIAL.key / "predictions.npz").write_bytes(intact)
        assert into_step(store, storage) == ["show"]
        check_shown(store, storage, mine)

    def test_all_damaged_records_are_named_at_once(self, storage: Path) -> None:
        """Each has its own line; a folder without a record is not among them."""
        for trial in (TRIAL, OTHER):
            commit(storage, trial)
            (storage / "trials" / trial.key / record.FILE).write_text("{}")
        (storage / "trials" / "empty").mkdir()
        with pytest.raises(DamagedRecord) as error:
            reconcile.committed(sorted((storage / "trials").glob("*")))
        assert [
            key in line for key, line in zip(sorted([TRIAL.key, OTHER.key]), str(error.value).splitlines(), strict=True)
        ]

    def test_a_repair_that_was_cut_off_is_done_again(
        self, open_store: Callable[..., Store], storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It stops after zero, one, two, ... writes: in the end one run is finished, and none is running."""
        open_store()
        mine, allowed, cuts = commit(storage), 0, 0

        def limited(write: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise OSError("cut off")
                return write(*args, **kwargs)

            return call

        for name in ("create_run", "log_batch", "set_tag", "log_artifact", "update_run", "set_terminated"):
            monkeypatch.setattr(MlflowClient, name, limited(getattr(MlflowClient, name)))
        while cuts == allowed:
            left = allowed
            try:
                into_step(open_store(), storage)
            except StoreError:
                cuts += 1
            allowed += 1
        left = 1_000
        assert cuts > 10
        assert into_step(open_store(), storage) == []
        assert "RUNNING" not in {r.status for r in read_all(open_store().uri)}
        check_shown(open_store(), storage, mine)


def command(storage: Path, *more: str) -> int:
    return main(["--storage", str(storage), *more])


class TestCommand:
    """The command `python -m sweeps.engine.store.reconcile`."""

    def test_repairs_and_says_so(
        self, open_store: Callable[..., Store], storage: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The exit code is 0, with a line for each repair; a second time there is none."""
        store = open_store()
        begin(store, storage, OTHER)
        mine = commit(storage)
        assert command(storage) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1] == f"trial {TRIAL.key}: committed, but not finished in the store: its run is written"
        assert lines[-1] == "1 committed trials, 3 repairs; storage and store are in step"
        check_shown(store, storage, mine)
        assert command(storage) == 0
        assert capsys.readouterr().out.endswith("\n1 committed trials, 0 repairs; storage and store are in step\n")

    @pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
    def test_a_notebook_starts_it(self, open_store: Callable[..., Store], storage: Path, backend: str) -> None:
        """With a notebook's backend in the environment, the run is written and its picture drawn."""
        store, mine = open_store(), commit(storage)
        words = [sys.executable, "-m", "sweeps.engine.store.reconcile", "--storage", str(storage)]
        environment = {**os.environ, "MPLBACKEND": backend}
        run = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
        check_shown(store, storage, mine)

    def test_what_is_damaged_stops_it(
        self, open_store: Callable[..., Store], storage: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The exit code is 2, and the file is named on stderr."""
        open_store()
        commit(storage)
        (storage / "trials" / TRIAL.key / record.FILE).write_text("{}")
        assert command(storage) == 2
        assert "record.json: is damaged" in capsys.readouterr().err

    def test_a_store_that_cannot_be_read_stops_it(self, storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 2, and the store is named."""
        commit(storage)
        (storage / "mlflow.db").write_text("something else, and long enough to be looked at " * 10)
        assert command(storage) == 2
        assert f"{storage}/mlflow.db" in capsys.readouterr().err

    def test_a_storage_that_cannot_be_written_stops_it(self, storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 2, and it is named: a folder is in the place of the lock."""
        commit(storage)
        (storage / ".driver.lock").mkdir()
        assert command(storage) == 2
        assert f"--storage {storage}: cannot be written" in capsys.readouterr().err

    def test_a_folder_that_is_no_storage_is_left_alone(self, storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 2, and nothing is created there."""
        assert command(storage) == 2
        assert f"--storage {storage}: no trial has been run there" in capsys.readouterr().err
        assert not storage.exists()

    def test_it_waits_for_no_driver(self, storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 5 while one works there; no store is made."""
        commit(storage)
        with (storage / ".driver.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert command(storage) == 5
        assert "another driver works" in capsys.readouterr().err
        assert not (storage / "mlflow.db").exists()


def test_a_storage_keeps_its_id(tmp_path: Path) -> None:
    """Two storages have two ids; sixteen processes that ask a new one at once all get the same, twenty times."""
    assert reconcile.storage_id(tmp_path / "a") == reconcile.storage_id(tmp_path / "a")
    assert reconcile.storage_id(tmp_path / "a") != reconcile.storage_id(tmp_path / "b")
    for turn in range(20):
        said: list[str] = []
        start, folder = threading.Barrier(16), tmp_path / str(turn)

        def ask(start: threading.Barrier = start, folder: Path = folder, said: list[str] = said) -> None:
            start.wait()
            said.append(reconcile.storage_id(folder))

        threads = [threading.Thread(target=ask) for _ in range(16)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert (len(said), len(set(said))) == (16, 1)
        assert [path.name for path in folder.iterdir()] == [".storage-id"]


@dataclasses.dataclass
class Model:
    """A run in a store that is a list."""

    run_id: str
    key: str  # empty for a sweep's
    tags: dict[str, str]
    status: str = "RUNNING"
    deleted: bool = False

    @property
    def run(self) -> Run:
        """The run as `repairs` sees it."""
        return Run(self.run_id, "toy", "", self.status, {}, {}, dict(self.tags), "")


class Sweeps(RuleBasedStateMachine):
    """Drivers of two storages that share a store, cut off at any step, once after another or at the same time.

    A driver is a generator that stops after every step that another process can see, so that a kill is to drop it.
    """

    TRIALS = tuple(dataclasses.replace(TRIAL, seed=seed) for seed in (1, 2, 3))

    def __init__(self) -> None:
        super().__init__()
        self.store: list[Model] = []
        self.records: dict[str, dict[Path, Record]] = {HERE: {}, THERE: {}}
        self.drivers: dict[int, tuple[str, Iterator[None]]] = {}
        self.zombies: list[tuple[str, TrialConfig]] = []  # workers that outlive their drivers
        self.at_work: dict[int, TrialConfig] = {}
        self.numbers = itertools.count()

    def new_run(self, trial: TrialConfig | None, storage: str) -> Model:
        """A run of a trial, or of a sweep."""
        tags = {"role": "sweep", "storage": storage}
        if trial:
            tags |= {"key": trial.key, "role": "trial", **INPUTS}
        self.store.append(Model(f"run {next(self.numbers)}", trial.key if trial else "", tags))
        return self.store[-1]

    def find(self, run: Run | None) -> Model | None:
        return next((m for m in self.store if run and m.run_id == run.run_id), None)

    def active(self, trial: TrialConfig) -> list[Model]:
        return [m for m in self.store if m.key == trial.key and not m.deleted]

    def deleted(self) -> set[str]:
        return {m.tags["record"] for m in self.store if m.deleted and "record" in m.tags}

    def out_of_step(self, storage: str) -> list[Repair]:
        return list(
            repairs(self.records[storage], [m.run for m in self.store if not m.deleted], self.deleted(), storage)
        )

    def reconciled(self, storage: str) -> Iterator[None]:
        """Does the work of `reconcile`, one write at a time."""
        records = dict(self.records[storage])
        for repair in self.out_of_step(storage):
            run = self.find(repair.run)
            if repair.kind == "forget" and repair.folder in self.records[storage]:
                lost = self.records[storage].pop(repair.folder)
                assert lost.sha256 in self.deleted(), "a record was forgotten whose run nobody had deleted"
            elif repair.kind == "show" and repair.folder:
                parent = self.new_run(None, storage)
                yield
                (trial,) = [t for t in self.TRIALS if t.key == repair.key]
                run = run or self.new_run(trial, storage)
                run.status = "RUNNING"
                yield
                run.tags["record"] = records[repair.folder].sha256
                yield
                run.status = "FINISHED"
                yield
                parent.status = "FINISHED"
            elif run:
                run.status = "KILLED"
            yield

    def driver(self, number: int, storage: str) -> Iterator[None]:
        """Does the work of a start of the sweep: repairs, the trials that are not done, repairs."""
        yield from self.reconciled(storage)
        parent = self.new_run(None, storage)
        yield
        done = {committed.key for committed in self.records[storage].values()}
        for trial in self.TRIALS:
            before = self.active(trial)
            if trial.key in done or "FINISHED" in {m.status for m in before}:
                continue
            left = [m for m in before if m.status != "RUNNING"]
            run = left[-1] if left else self.new_run(trial, storage)
            run.status = "RUNNING"
            yield
            run.tags["storage"] = storage
            self.at_work[number] = trial
            yield
            self.commit(storage, trial)
            del self.at_work[number]
            yield
            if shown := self.records[storage].get(Path(trial.key)):
                run.tags["record"] = shown.sha256
                yield
                run.status = "FINISHED"
                yield
        parent.status = "FINISHED"
        yield
        yield from self.reconciled(storage)

    def commit(self, storage: str, trial: TrialConfig) -> None:
        """The first attempt counts."""
        attempt = f"{next(self.numbers)}"
        self.records[storage].setdefault(Path(trial.key), result(trial, attempt, storage=storage))

    @rule(storage=st.sampled_from([HERE, THERE]), alone=st.booleans())
    def start(self, storage: str, alone: bool) -> None:
        """Starts a driver; beside a live one only where locks do not work."""
        if not alone or storage not in [other for other, _ in self.drivers.values()]:
            number = next(self.numbers)
            self.drivers[number] = storage, self.driver(number, storage)

    @precondition(lambda self: self.drivers)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        """Advances one of the drivers."""
        number = data.draw(st.sampled_from([*self.drivers]))
        for _ in range(steps):
            if next(self.drivers[number][1], "ended") == "ended":
                del self.drivers[number]
                return

    @precondition(lambda self: self.drivers)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """Kills a driver; the worker of its trial may survive."""
        number = data.draw(st.sampled_from([*self.drivers]))
        storage, _ = self.drivers.pop(number)
        if trial := self.at_work.pop(number, None):
            self.zombies.append((storage, trial))

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def commit_late(self, data: st.DataObject) -> None:
        """Lets a worker whose driver is dead end its trial."""
        zombie = data.draw(st.sampled_from(self.zombies))
        self.zombies.remove(zombie)
        self.commit(*zombie)

    @precondition(lambda self: any(m.status == "FINISHED" and m.key for m in self.store))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Deletes a finished run, to run its trial again."""
        data.draw(st.sampled_from([m for m in self.store if m.status == "FINISHED" and m.key])).deleted = True

    @rule()
    def settle(self) -> None:
        """Kills all drivers and reconciles both storages: P1, P3 and P4 hold for the committed trials."""
        self.drivers.clear()
        self.at_work.clear()
        for storage in (HERE, THERE, HERE):
            deque(self.reconciled(storage), maxlen=0)
        for storage, records in self.records.items():
            assert self.out_of_step(storage) == []
            for mine in records.values():
                (run,) = [m for m in self.store if m.key == mine.key and not m.deleted and m.status == "FINISHED"]
                committed = {r.sha256 for every in self.records.values() for r in every.values() if r.key == mine.key}
                assert run.tags["record"] in committed
        assert "RUNNING" not in {m.status for m in self.store if not m.deleted}

    def teardown(self) -> None:
        """Runs each storage's driver undisturbed: it ends with every trial finished once, and runs none again."""
        self.settle()
        for storage in (HERE, THERE):
            deque(self.driver(-1, storage), maxlen=0)
        self.settle()
        for trial in self.TRIALS:
            assert [m.status for m in self.active(trial)].count("FINISHED") == 1
        records = {storage: dict(committed) for storage, committed in self.records.items()}
        for storage in (HERE, THERE):
            deque(self.driver(-1, storage), maxlen=0)
        assert self.records == records


TestSweeps = Sweeps.TestCase
TestSweeps.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, database=None, suppress_health_check=[*HealthCheck]
)
