"""A finished sweep, whose files are then harmed: it never calls itself finished over them, and says what can be done.

The trials are committed without being trained, so that neither Ray nor a network is needed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from analysis.engine import command
from analysis.engine.kinds import Pivot
from analysis.engine.mixed import mixed
from datasets.engine import prepare
from datasets.engine.prepare import Source
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine import launch, survey
from sweeps.engine.modules import Code, codes
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Situation, folder_name, trial_tags, wanted_by
from sweeps.engine.store import lock, reconcile, runs, verify
from sweeps.engine.store.runs import Run, StoreError, deleted_records, read_all
from sweeps.engine.store.store import Store, artifact_path
from tests.sweeps.small import BASE
from trainable.result import record
from trainable.result.record import Record
from trainable.trial import save_arrays
from trainable.weights import checkpoint, weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SWEEP = Sweep("deepship_rates", grid(dataclasses.replace(BASE, score_on="test"), seed=(1, 2)))
FIRST, SECOND = SWEEP.trials


@dataclass
class Finished:
    """A storage in which every trial of the sweep is committed."""

    data: Path
    cache: Path
    storage: Path

    def words(self, *more: str) -> list[str]:
        """The arguments of the command line."""
        words = ["--data-root", self.data, "--cache-dir", self.cache, "--storage", self.storage]
        return [*map(str, words), *more]

    def start(self, *more: str) -> int:
        """Starts the sweep, and returns its exit code."""
        before = signal.getsignal(signal.SIGTERM)
        try:
            launch.main(SWEEP, self.words(*more))
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        raise AssertionError("a start ends with an exit code")

    def reconcile(self) -> int:
        """The exit code of `python -m sweeps.engine.store.reconcile`."""
        return reconcile.main(["--storage", str(self.storage)])

    def verify(self) -> int:
        """The exit code of `python -m sweeps.engine.store.verify`."""
        return verify.main(["--storage", str(self.storage)])

    def runs(self, role: str) -> list[Run]:
        """The store's runs of trials, or of sweeps."""
        return [run for run in read_all(f"sqlite:///{self.storage / 'mlflow.db'}") if run.tags.get("role") == role]

    def situation(self) -> Situation:
        """The situation at a start, without records and runs."""
        source = Source(self.data, self.cache)
        data = {wanted: prepare.prepare(wanted, source) for wanted in survey.all_wanted(SWEEP.trials)}
        inputs = {t.key: survey.inputs_of(data[wanted_by(t)], None) for t in SWEEP.trials}
        return Situation(SWEEP, "", data, inputs, [])

    def commit(self, *made_with: Code) -> dict[str, Path]:
        """Commits both trials, with one code or each with its own, and returns their folders by key."""
        plan, folders = self.situation(), {}
        common = {"storage": reconcile.storage_id(self.storage), "git_commit": "c0ffee"}
        for trial, code in zip(SWEEP.trials, made_with or [Code("c0de" * 16, {})] * 2, strict=True):
            folder = folders[trial.key] = self.storage / "trials" / folder_name(trial, plan.inputs[trial.key])
            attempt = folder / f"{record.ATTEMPT}1"
            checkpoint.save(attempt / "best.pt", {"key": trial.key})
            arrays = {"logits": np.eye(4, dtype=np.float32), "labels": np.arange(4), "classes": np.array([*"abcd"])}
            save_arrays(attempt / "predictions.npz", **arrays)
            left = sorted(attempt.iterdir())
            rows = [{"epoch": n, "val_loss": 1 / n, "val_accuracy": 0.1 * n} for n in range(1, 4)]
            mine = Record(
                key=trial.key,
                config=trial.to_dict(),
                tags=trial_tags(plan, trial, {**common, **code.tags}),
                scores={"test_accuracy": 1.0},
                history=rows,
                provenance={"device": "CPU"},
                attempt=attempt.name,
                files={path.name: weights.sha256(path) for path in left},
                sizes={path.name: path.stat().st_size for path in left},
            )
            record.put_in_place(folder, record.commit(folder, mine))
        return folders


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Finished:
    """Both trials are committed and shown in the store."""
    root = tmp_path_factory.mktemp("finished")
    write_deepship(root / "ships", num_per_class=4, seconds=(2, 3), rate_hz=8_000)
    study = Finished(root / "ships", root / "cache", root / "results")
    study.storage.mkdir()
    shutil.copy(empty_database, study.storage / "mlflow.db")
    study.commit()
    assert study.start() == launch.COMPLETE
    return study


@pytest.fixture
def study(committed: Finished, tmp_path: Path) -> Finished:
    """A copy of the committed storage, to be damaged."""
    mine = dataclasses.replace(committed, storage=tmp_path / "results")
    shutil.copytree(committed.storage, mine.storage)
    return mine


def trial_file(study: Finished, name: str) -> Path:
    """A file of the first trial."""
    (path,) = study.storage.glob(f"trials/{FIRST.key}-*/{name}")
    return path


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda path: path.unlink(), "is missing; put back a copy, or remove "),
    "empty": (lambda path: path.write_bytes(b""), "has 0 bytes instead of "),
    "cut": (lambda path: os.truncate(path, path.stat().st_size - 1), " bytes instead of "),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), " bytes instead of "),
}
FILES = ("best.pt", "best.pt.sha256", "predictions.npz")


HOLD = """
import sys, time
from pathlib import Path
from sweeps.engine.store import lock
with lock.only_driver(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    time.sleep(600)
"""


class TestLock:
    """One driver per storage."""

    def test_a_second_driver_is_told_who_the_first_is(
        self, study: Finished, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is told its process, host, start and command, and how to run beside it; a killed driver holds nothing."""
        words = [sys.executable, "-c", HOLD, str(study.storage)]
        began = datetime.now().astimezone().replace(microsecond=0)
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == "True\n"
            for start in (study.start, study.reconcile):
                for _ in range(2):  # the first refusal leaves what the holder says
                    assert start() == launch.LOCKED
                message = capsys.readouterr().err
                assert (
                    f"another driver works in {study.storage}: process {holder.pid} on {socket.gethostname()}"
                    in message
                )
                since = datetime.fromisoformat(message.partition(" since ")[2].partition(",")[0])
                assert began <= since <= datetime.now().astimezone()
                assert f"-c {study.storage}; wait for it, stop it, or run beside it with --storage" in message
            holder.kill()
        assert study.start() == launch.COMPLETE
        assert (study.storage / lock.FILE).read_text() == ""

    def test_a_holder_that_says_nothing_is_said_to(self, study: Finished, capsys: pytest.CaptureFixture[str]) -> None:
        """That is so in the moment between its lock and its first output."""
        with (study.storage / lock.FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert study.start() == launch.LOCKED
        assert "it has not said who it is; wait for it" in capsys.readouterr().err


CHANGES = {  # file, what is put at its end, and what the table then says of it
    "a comment": ("trainable/finetune.py", "# Another word.", ""),
    "a docstring": ("trainable/network/panns/models.py", '"""Another word."""', ""),
    "a new backbone": ("trainable/backbones/mine.py", "import trainable.network.card", ""),
    "a new corpus": ("datasets/mine.py", "x = 1", ""),
    "a line of the loop": ("trainable/finetune.py", "x = 1", "made 1 run (trainable/finetune.py differs): "),
    "a line of its backbone": ("trainable/backbones/panns.py", "x = 1", " (trainable/backbones/panns.py differs): "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_code_leaves_a_finished_sweep_finished(committed: Finished, tmp_path: Path, change: str) -> None:
    """One trial ran before the change and one after it: neither runs again, and tables refuse changed lines alone."""
    before, after, (file, line, expected) = tmp_path / "before", tmp_path / "after", CHANGES[change]
    for tree in (before, after):
        for folder in ("datasets", "trainable"):
            shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (after / file).open("a", encoding="utf-8") as changed:
        changed.write(f"\n{line}\n")
    study = Finished(committed.data, committed.cache, tmp_path / "results")
    study.storage.mkdir()
    study.commit(codes(SWEEP.trials, before)[FIRST.key], codes(SWEEP.trials, after)[SECOND.key])
    assert study.start() == launch.COMPLETE
    shown = {run.key: run for run in study.runs("trial")}
    problems = [*mixed({trial: [shown[trial.key]] for trial in SWEEP.trials})]
    assert len(problems) == bool(expected)
    assert expected in "".join(problems)


class TestFiles:
    """The files of a committed trial."""

    @pytest.mark.parametrize("harm", HARMS)
    @pytest.mark.parametrize("name", FILES)
    def test_a_start_names_what_is_damaged(
        self, study: Finished, capsys: pytest.CaptureFixture[str], name: str, harm: str
    ) -> None:
        """The start and the dry run end with 2; nothing else is changed, and with the copy restored all is finished."""
        path, (do, expected) = trial_file(study, name), HARMS[harm]
        intact = path.read_bytes()
        do(path)
        before = study.runs("trial")
        for more in ([], ["--dry-run"]):
            assert study.start(*more) == launch.BAD_INPUT
            message = capsys.readouterr().err
            assert f"deepship_rates: {path}: " in message
            assert expected in message
            assert "delete its run in MLflow: then the trial runs again" in message
        assert study.runs("trial") == before
        path.write_bytes(intact)
        assert study.start() == launch.COMPLETE

    @pytest.mark.parametrize("name", FILES)
    def test_a_changed_byte_is_found_by_what_reads_the_files(
        self, study: Finished, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        """`verify` ends with 1, `reconcile` with 2; both name the file; once it is restored, both end with 0."""
        path = trial_file(study, name)
        intact = path.read_bytes()
        assert (study.verify(), study.reconcile()) == (0, 0)
        path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
        capsys.readouterr()
        assert study.verify() == 1
        output = capsys.readouterr().out
        assert f"{path}: has sha256 " in output
        assert "2 committed trials, 1 damaged" in output
        assert study.reconcile() == 2
        assert f"{path}: has sha256 " in capsys.readouterr().err
        path.write_bytes(intact)
        assert (study.verify(), study.reconcile()) == (0, 0)

    @pytest.mark.parametrize("start", ["start", "reconcile"])
    def test_one_trials_damage_keeps_no_other_from_being_repaired(
        self, study: Finished, capsys: pytest.CaptureFixture[str], start: str
    ) -> None:
        """The store is lost and one trial damaged: the other is shown, and the next start shows the rest."""
        path = trial_file(study, "best.pt")
        intact = path.read_bytes()
        path.unlink()
        (study.storage / "mlflow.db").unlink()
        assert getattr(study, start)() == 2
        assert f"{path}: is missing" in capsys.readouterr().err
        assert [run.key for run in study.runs("trial")] == [SECOND.key]
        path.write_bytes(intact)
        assert study.start() == launch.COMPLETE
        assert {run.key: run.status for run in study.runs("trial")} == {
            FIRST.key: "FINISHED",
            SECOND.key: "FINISHED",
        }

    def test_a_damaged_trial_whose_run_was_deleted_runs_again(
        self, study: Finished, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Deleting the run is enough: the trial is planned again, and nothing is refused any more."""
        trial_file(study, "predictions.npz").write_bytes(b"")
        (mine,) = (run for run in study.runs("trial") if run.key == FIRST.key)
        Store(f"sqlite:///{study.storage / 'mlflow.db'}")._client.delete_run(mine.run_id)
        assert study.start("--dry-run") == launch.COMPLETE
        assert "2 planned, 1 done, 1 to run" in capsys.readouterr().out
        assert study.reconcile() == 0
        assert not list(study.storage.glob(f"trials/{FIRST.key}-*/{record.FILE}"))

    def test_a_damaged_record_stops_no_whole_storage(self, study: Finished, capsys: pytest.CaptureFixture[str]) -> None:
        """`sweeps.engine.store.reconcile` and `sweeps.engine.store.verify` name it and continue with the others."""
        trial_file(study, record.FILE).write_bytes(b"{}")
        (study.storage / "mlflow.db").unlink()
        assert study.reconcile() == 2
        assert "record.json: is damaged" in capsys.readouterr().err
        assert [run.key for run in study.runs("trial")] == [SECOND.key]
        assert study.verify() == 1

    def test_nothing_to_verify_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 2, and nothing is created there."""
        assert verify.main(["--storage", str(tmp_path / "nowhere")]) == 2
        assert "no trial has been committed there" in capsys.readouterr().err
        assert not (tmp_path / "nowhere").exists()


def without(*tables: str) -> Callable[[Path], None]:
    """Damages a store by removing tables."""

    def drop(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            for table in tables:
                database.execute(f"DROP TABLE {table}")

    return drop


def overwrite(path: Path, start: int, data: bytes) -> None:
    """Writes bytes into the middle of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def spoil(path: Path) -> None:
    """Writes noise into every page but the first."""
    for start in range(4096, path.stat().st_size, 4096):
        overwrite(path, start, random.Random(start).randbytes(200))


def words_for_numbers(path: Path) -> None:
    """Leaves an intact database with impossible values."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE latest_metrics SET value = 'many'")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("something else, and long enough to be looked at " * 10),
    "short text": lambda path: path.write_text("something"),
    "header cut": lambda path: os.truncate(path, 50),
    "one page": lambda path: os.truncate(path, 4096),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "last page": lambda path: os.truncate(path, path.stat().st_size - 4096),
    "header": lambda path: overwrite(path, 0, bytes(100)),
    "schema": lambda path: overwrite(path, 100, bytes(range(200))),
    "pages": spoil,
    "no tags": without("tags"),
    "no runs": without("runs", "experiments"),
    "no tables": lambda path: (path.unlink(), sqlite3.connect(path).execute("CREATE TABLE other (x)")),
    "words": words_for_numbers,
}


class TestStore:
    """The database that shows the committed trials."""

    @pytest.mark.parametrize("kind", DAMAGE)
    def test_a_damaged_store_may_be_moved_away(
        self, study: Finished, capfd: pytest.CaptureFixture[str], kind: str
    ) -> None:
        """Every command says so, ends with 2 and leaves the file unchanged."""
        path = study.storage / "mlflow.db"
        DAMAGE[kind](path)
        harmed = path.read_bytes()
        starts = {
            "start": study.start,
            "dry run": lambda: study.start("--dry-run"),
            "reconcile": study.reconcile,
            "report": lambda: command.main(
                SWEEP, "Is it so?", Pivot("data_hz", "pretrain_hz"), argv=["--storage", str(study.storage)]
            ),
        }
        for name, start in starts.items():
            assert start() == launch.BAD_INPUT, name
            message = capfd.readouterr().err
            assert (
                f"move {path} away, with all files beside it whose names begin with mlflow.db, and the next" in message
            )
            assert "Traceback" not in message
            assert path.read_bytes() == harmed, name

    @pytest.mark.parametrize("start", ["start", "reconcile"])
    def test_a_store_that_was_moved_away_is_written_again(self, study: Finished, start: str) -> None:
        """The records give the trials and the sweep's own run with tags and split, FINISHED once a start knows all."""
        before = {r.key: (r.metrics, r.tags["record"], r.params) for r in study.runs("trial")}
        (sweep_run,) = study.runs("sweep")
        assert sweep_run.status == "FINISHED"
        (study.storage / "mlflow.db").rename(study.storage / "moved")
        assert getattr(study, start)() == 0
        if start == "reconcile":  # which does not know what was planned
            assert study.start() == launch.COMPLETE
        assert {r.key: (r.metrics, r.tags["record"], r.params) for r in study.runs("trial")} == before
        (again,) = study.runs("sweep")
        tags = {name: value for name, value in sweep_run.tags.items() if name != "mlflow.runName"}
        assert again.tags.items() >= tags.items()
        assert (again.status, again.name) == ("FINISHED", sweep_run.name)
        assert list(Path(artifact_path(again, "")).glob("*.csv"))
        assert study.start() == launch.COMPLETE
        assert study.runs("sweep") == [again]

    def test_a_sweep_that_lacks_a_trial_is_not_shown_as_finished(self, study: Finished) -> None:
        """Its own run keeps the state in which the lost driver left it."""
        (sweep_run,) = study.runs("sweep")
        store = Store(f"sqlite:///{study.storage / 'mlflow.db'}")
        store.end(sweep_run.run_id, "KILLED")
        trial_file(study, record.FILE).unlink()
        (mine,) = (run for run in study.runs("trial") if run.key == FIRST.key)
        store._client.delete_run(mine.run_id)
        assert study.start("--dry-run") == study.reconcile() == 0
        assert [run.status for run in study.runs("sweep")] == ["KILLED"]

    def test_a_store_without_a_byte_is_a_new_one(self, study: Finished) -> None:
        """A kill before the first table leaves such a file."""
        path = study.storage / "mlflow.db"
        path.write_bytes(b"")
        assert study.start("--dry-run") == study.start() == launch.COMPLETE
        assert len(study.runs("trial")) == 2

    def test_a_store_that_is_busy_is_not_called_damaged(
        self, study: Finished, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No message advises moving it away."""
        monkeypatch.setattr(runs, "TIMEOUT_S", 0)
        with closing(sqlite3.connect(study.storage / "mlflow.db")) as database:
            database.execute("BEGIN EXCLUSIVE")
            assert study.start() == launch.BAD_INPUT
        message = capsys.readouterr().err
        assert "mlflow.db: cannot be read (database is locked)" in message
        assert "move" not in message

    def test_bytes_changed_anywhere_raise_nothing_else(self, study: Finished, tmp_path: Path) -> None:
        """A store with noise at any place is read, or refused with the remedy."""
        intact, path, chance = (study.storage / "mlflow.db").read_bytes(), tmp_path / "harmed.db", random.Random(0)
        refused = 0
        for _ in range(300):
            path.write_bytes(intact)
            for _ in range(3):
                overwrite(path, chance.randrange(len(intact)), chance.randbytes(chance.choice([1, 8, 100])))
            try:
                read_all(f"sqlite:///{path}")
                deleted_records(f"sqlite:///{path}")
                runs.check(f"sqlite:///{path}")
            except StoreError as error:
                refused += 1
                assert f"move {path} away" in str(error)  # noqa: PT017
        assert refused > 20
