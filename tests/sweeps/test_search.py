"""The proposals of a search, and its use of the results."""

from __future__ import annotations

import dataclasses
import math
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweeps import learning_rate
from sweeps.engine import launch
from sweeps.engine.plan import Sweep
from sweeps.engine.running.rounds import Display, study_title
from sweeps.engine.search.pruning import Judge
from sweeps.engine.search.search import SAMPLERS, Evaluation, Proposals, Search, best, evaluation
from sweeps.engine.search.space import Choice, LogUniform, Uniform, Whole, points
from sweeps.engine.situation import Situation
from sweeps.engine.store.optuna_study import Study, check_storage, write_study
from sweeps.engine.store.runs import StoreError
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig

BASE = RATES.but(augment="none", pretrain_hz=8_000, data_hz=8_000)
SPACE = {"lr": LogUniform(1e-6, 1e-1), "head_dropout": Uniform(0, 0.9), "batch": Whole(4, 64, log=True)}
CHOICES = {"lr": Choice((1e-5, 1e-4, 1e-3)), "weight_decay": Choice((0.0, 1e-3))}


def search(**changes: Any) -> Search:
    """A search of ten trials in rounds of three."""
    given: dict[str, Any] = {"name": "toy", "base": BASE, "space": SPACE, "num_trials": 10, "at_once": 3}
    return Search(**{**given, **changes})


def score(config: TrialConfig) -> float:
    """A score whose best learning rate is 1e-3."""
    return 1 - abs(math.log10(config.lr) + 3) / 10


def answer(number: int, config: TrialConfig) -> Evaluation:
    """The evaluation of a trial."""
    return Evaluation(number, config, {"best_val_accuracy": score(config)}, (score(config) / 2, score(config)))


def answered(asked: Search, rounds: int = 100) -> Proposals:
    """A search whose first rounds have results."""
    proposals = Proposals(asked)
    for _ in range(rounds):
        if not (trials := proposals.ask()):
            break
        first = len(proposals.evaluations)
        proposals.tell([answer(first + n, trial) for n, trial in enumerate(trials)])
    return proposals


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_same_answers_give_the_same_questions(sampler: str) -> None:
    """A search that restarts after any round continues as if it had never stopped; another seed asks differently."""
    space = {"lr": LogUniform(1e-6, 1e-1), "head_dropout": Uniform(0, 0.9)}
    asked = search(sampler=sampler, space=space)
    uninterrupted = [e.config for e in answered(asked).evaluations]
    assert len(uninterrupted) == 10
    for rounds in (1, 3):
        again = answered(asked, rounds)
        assert again.ask() == uninterrupted[3 * rounds : 3 * rounds + 3]
    assert [e.config for e in answered(search(sampler=sampler, space=space, seed=1)).evaluations] != uninterrupted


def test_proposals_lie_in_the_space_and_keep_the_rest() -> None:
    """Only searched fields differ from the base, and test clips play no part."""
    for evaluated in answered(search()).evaluations:
        config = evaluated.config
        assert 1e-6 <= config.lr <= 1e-1
        assert 0 <= config.head_dropout <= 0.9
        assert 4 <= config.batch <= 64
        assert config.score_on == "validation"
        assert dataclasses.replace(config, lr=BASE.lr, head_dropout=0.5, batch=32, score_on="test") == BASE


def test_a_search_learns() -> None:
    """TPE's later proposals are better than its first ten, which are random."""
    scores = [score(e.config) for e in answered(search(num_trials=40, at_once=4)).evaluations]
    assert sum(scores[-10:]) > sum(scores[:10])


def test_a_condition_holds_a_field_where_it_applies() -> None:
    """Elsewhere the field is that of the base."""
    space = {"augment": Choice(("none", "mixup")), "batch": Whole(40, 64, when={"augment": "mixup"})}
    configs = [e.config for e in answered(search(space=space, num_trials=20)).evaluations]
    assert {c["augment"] for c in configs} == {"none", "mixup"}
    assert all((c.batch >= 40) if c["augment"] == "mixup" else (c.batch == BASE.batch) for c in configs)


def test_a_grid_is_every_point_once() -> None:
    """The order is that of the file."""
    asked = search(space=CHOICES, sampler="grid", num_trials=6)
    evaluated = [(e.config.lr, e.config.weight_decay) for e in answered(asked).evaluations]
    assert evaluated == [tuple(point.values()) for point in points(CHOICES)]
    assert len(set(evaluated)) == 6


def test_the_best_went_to_its_end() -> None:
    """An evaluation that gave up or diverged is never the best; of equals, the first is."""
    one, two = dataclasses.replace(BASE, lr=1e-3), dataclasses.replace(BASE, lr=1e-4)
    evaluations = [
        Evaluation(0, BASE, {"diverged": 1.0}, ()),
        Evaluation(1, one, {"best_val_accuracy": 0.9, "gave_up": 1.0}, (0.9,)),
        Evaluation(2, two, {"best_val_accuracy": 0.5}, (0.5,)),
        Evaluation(3, one, {"best_val_accuracy": 0.5}, (0.5,)),
    ]
    assert [e.state for e in evaluations] == ["FAIL", "PRUNED", "COMPLETE", "COMPLETE"]
    assert best(search(), evaluations) == evaluations[2]
    assert best(search(), evaluations[:2]) is None
    losses = [dataclasses.replace(e, scores={"best_val_loss": float(e.number)}) for e in evaluations]
    assert best(search(metric="best_val_loss"), losses) == losses[0]


def test_what_diverged_is_an_answer() -> None:
    """The search continues."""
    proposals = Proposals(search())
    trials = proposals.ask()
    proposals.tell([Evaluation(n, trial, {"diverged": 1.0}, ()) for n, trial in enumerate(trials)])
    assert len(proposals.ask()) == 3


def test_the_best_is_confirmed_on_seeds_of_its_own() -> None:
    """It is scored on test clips, with seeds that played no part in choosing it."""
    trials = search().confirmed(dataclasses.replace(BASE, lr=1e-3, score_on="validation"))
    assert [(t.seed, t.score_on, t.lr) for t in trials] == [(s, "test", 1e-3) for s in (101, 102, 103)]


class TestStorage:
    """The database of studies, which is tested before anything is trained."""

    @pytest.mark.slow
    def test_a_database_that_takes_studies_is_taken(self, tmp_path: Path) -> None:
        """It may be new, empty, or have studies; the test leaves nothing behind."""
        path = tmp_path / "optuna.db"
        path.touch()
        for name in ("optuna.db", "new.db"):
            uri = f"sqlite:///{tmp_path / name}"
            check_storage(uri, f"sqlite:///{tmp_path}/mlflow.db")
            assert optuna.get_all_study_names(uri) == []
            write_study(search(), "mine", [], uri)
            check_storage(uri, "http://127.0.0.1:5000")
            assert optuna.get_all_study_names(uri) == ["mine"]

    @pytest.mark.slow
    @pytest.mark.parametrize("exists", [True, False])
    @pytest.mark.parametrize(
        "written",
        [
            "{}/one.db",
            "{}/one.db?timeout=9",
            "{}/folder/../one.db",
            "{}/link.db",
            "{}/hard.db",
            "one.db",
            "file:{}/one.db?uri=true",
        ],
    )
    def test_the_store_of_mlflow_is_refused(
        self, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, written: str, exists: bool
    ) -> None:
        """That holds for any spelling, and before it exists; no table is left in it."""
        path = tmp_path / "one.db"
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "link.db").symlink_to(path)
        if exists:
            shutil.copy(empty_database, path)
            (tmp_path / "hard.db").hardlink_to(path)
        elif "hard" in written:
            return
        before = path.read_bytes() if exists else b""
        with pytest.raises(StoreError, match=r"is the file of --store, which is MLflow's; name another file"):
            check_storage(f"sqlite:///{written.format(tmp_path)}", f"sqlite:///{path}")
        assert (path.read_bytes() if path.exists() else b"") == before

    def test_tables_of_others_are_left_alone(self, tmp_path: Path, empty_database: Path) -> None:
        """They may be MLflow's, if --store is a server that keeps them there, or anybody's."""
        mlflow, other = tmp_path / "mlflow.db", tmp_path / "other.db"
        shutil.copy(empty_database, mlflow)
        with closing(sqlite3.connect(other)) as database, database:
            database.execute("CREATE TABLE birds (name)")
        for path in (mlflow, other):
            before = path.read_bytes()
            with pytest.raises(StoreError, match=r"holds tables of other software .*; name another"):
                check_storage(f"sqlite:///{path}", "http://127.0.0.1:5000")
            with pytest.raises(StoreError, match="holds tables of other software"):
                write_study(search(), "mine", [], f"sqlite:///{path}")
            assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("nonsense", "Could not parse SQLAlchemy URL"),
            ("foo://host/db", "Can't load plugin"),
            ("postgresql+asyncpg://host/db", "No module named 'asyncpg'"),
            ("sqlite:////nowhere/at/all/optuna.db", "unable to open database file"),
            ("sqlite:///{}", "unable to open database file"),
            ("sqlite://", "is lost when the search ends; name a file"),
            ("sqlite:///:memory:", "is lost when the search ends; name a file"),
            ("sqlite:///file:x?mode=memory&uri=true", "is lost when the search ends; name a file"),
        ],
    )
    def test_an_address_that_opens_nothing_is_refused(self, tmp_path: Path, uri: str, said: str) -> None:
        """The refusal is in words, with a remedy."""
        uri = uri.format(tmp_path)
        with pytest.raises(StoreError) as error:
            check_storage(uri, "http://127.0.0.1:5000")
        assert str(error.value).startswith(f"--optuna {uri}: ")
        assert said in str(error.value)
        assert "name " in str(error.value)

    @pytest.mark.slow
    @pytest.mark.parametrize("harm", ["text", "cut", "noise", "another version"])
    def test_a_damaged_database_is_refused_with_its_remedy(self, tmp_path: Path, harm: str) -> None:
        """Both the test and a write refuse it: it may be moved away, because it is written again."""
        path = tmp_path / "optuna.db"
        uri = f"sqlite:///{path}"
        write_study(search(), "mine", [], uri)
        intact = path.read_bytes()
        if harm == "another version":
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE alembic_version SET version_num = 'v99'")
        else:
            noise = intact[:100] + bytes(range(256)) * (len(intact) // 256)
            path.write_bytes({"text": b"something else " * 99, "cut": intact[:5_000], "noise": noise}[harm])
        for use in (
            lambda: check_storage(uri, "http://127.0.0.1:5000"),
            lambda: write_study(search(), "mine", [], uri),
        ):
            with pytest.raises(StoreError, match=r"--optuna .*optuna\.db: .*; name another database"):
                use()
        path.unlink()
        check_storage(uri, "http://127.0.0.1:5000")

    def test_a_search_is_refused_before_anything_is_trained(
        self, tmp_path: Path, empty_database: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The command ends with 2 if --store and --optuna share a database."""
        shutil.copy(empty_database, tmp_path / "mlflow.db")
        (tmp_path / "data").mkdir()
        words = ["--data-root", tmp_path / "data", "--storage", tmp_path, "--optuna", f"sqlite:///{tmp_path}/mlflow.db"]
        before, handler = (tmp_path / "mlflow.db").read_bytes(), signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as end:
            launch.main(learning_rate.SWEEP, [str(word) for word in words])
        signal.signal(signal.SIGTERM, handler)
        assert end.value.code == launch.BAD_INPUT
        assert "is the file of --store, which is MLflow's; name another file" in capsys.readouterr().err
        assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_title_fits_into_every_database_of_optuna() -> None:
    """Settings may have any length; the digits at its end make it unique."""
    situation = Situation(Sweep("toy", ()), "", {}, {}, [])
    assert len(study_title(search(), "classes=" + "x" * 9_000, situation)) <= 512


def test_the_study_is_written_once_and_read_by_optuna(tmp_path: Path) -> None:
    """Each round adds only new trials; states, values, curves and keys are those of the trials."""
    asked, storage = search(), f"sqlite:///{tmp_path / 'optuna.db'}"
    evaluations = answered(asked).evaluations
    evaluations[4] = dataclasses.replace(evaluations[4], scores={"best_val_accuracy": 0.1, "gave_up": 1.0})
    evaluations[5] = dataclasses.replace(evaluations[5], scores={"diverged": 1.0}, curve=())
    for upto in (3, 10, 10):
        write_study(asked, "toy", evaluations[:upto], storage)
    study = optuna.load_study(study_name="toy", storage=storage)
    assert [t.user_attrs["key"] for t in study.trials] == [e.config.key for e in evaluations]
    assert [t.state.name for t in study.trials] == [e.state for e in evaluations]
    assert study.trials[0].value == evaluations[0].scores["best_val_accuracy"]
    assert study.trials[0].intermediate_values == dict(enumerate(evaluations[0].curve, 1))
    assert study.trials[0].params == {name: getattr(evaluations[0].config, name) for name in SPACE}


def test_the_objective_has_a_name_and_trials_the_times_of_their_training(tmp_path: Path) -> None:
    """They start with the first epoch and end with the last; records of earlier versions have no times."""
    asked, storage = search(), f"sqlite:///{tmp_path / 'optuna.db'}"
    (config, *_) = Proposals(asked).ask()
    epochs = [{"epoch": n, "val_accuracy": 0.5, "epoch_s": 60.0, "ended_unix_s": 1e9 + 60 * n} for n in (1, 2)]
    untimed = [{"epoch": 1, "val_accuracy": 0.5, "epoch_s": 60.0}]
    evaluations = [evaluation(asked, n, config, {asked.metric: 0.5}, rows) for n, rows in enumerate((epochs, untimed))]
    write_study(asked, "toy", evaluations, storage)
    study = optuna.load_study(study_name="toy", storage=storage)
    assert study.metric_names == ["best_val_accuracy"]
    timed, other = study.trials
    assert timed.datetime_start is not None
    assert timed.datetime_complete is not None
    assert (timed.datetime_start.timestamp(), timed.datetime_complete.timestamp()) == (1e9, 1e9 + 120)
    assert other.datetime_start is not None
    assert other.datetime_start.timestamp() > 1.7e9


def states(storage: str) -> list[tuple[str, list[float]]]:
    """The states and intermediate values of the trials of the study `toy`."""
    trials = optuna.load_study(study_name="toy", storage=storage).trials
    return [(t.state.name, list(t.intermediate_values.values())) for t in trials]


def test_a_round_is_seen_while_it_runs(tmp_path: Path) -> None:
    """Its evaluations wait, run with a value for each epoch, and end one by one, whichever is first; none is doubled
    when the round is written as a whole.
    """
    asked, storage = search(), f"sqlite:///{tmp_path / 'optuna.db'}"
    trials = Proposals(asked).ask()
    shown = Study(asked, "toy", storage)
    shown.propose(0, trials)
    assert states(storage) == [("WAITING", [])] * 3
    before = datetime.now()
    shown.started(1)
    shown.epoch(1, {"epoch": 1, "val_accuracy": 0.25})
    assert states(storage) == [("WAITING", []), ("RUNNING", [0.25]), ("WAITING", [])]
    shown.epoch(1, {"epoch": 1, "val_accuracy": 0.25})  # as a trial that is resumed says it
    one = Evaluation(1, trials[1], {"best_val_accuracy": 0.5}, (0.25, 0.5))
    shown.ended([one])
    assert states(storage)[1] == ("COMPLETE", [0.25, 0.5])
    others = [answer(0, trials[0]), dataclasses.replace(answer(2, trials[2]), scores={"diverged": 1.0})]
    write_study(asked, "toy", [others[0], one, others[1]], storage)
    assert [state for state, _ in states(storage)] == ["COMPLETE", "COMPLETE", "FAIL"]
    trials_seen = optuna.load_study(study_name="toy", storage=storage).trials
    assert [t.params for t in trials_seen] == [{name: getattr(t, name) for name in SPACE} for t in trials]
    assert trials_seen[1].value == 0.5
    for trial in trials_seen:
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        assert before <= trial.datetime_start <= trial.datetime_complete <= datetime.now()


def test_what_a_killed_driver_has_left_running_goes_on(tmp_path: Path) -> None:
    """The next driver takes the trial over, with its epochs; after an orderly stop it waits."""
    asked, storage = search(), f"sqlite:///{tmp_path / 'optuna.db'}"
    trials = Proposals(asked).ask()
    killed = Study(asked, "toy", storage)
    killed.propose(0, trials)
    killed.started(0)
    killed.epoch(0, {"epoch": 1, "val_accuracy": 0.25})
    assert states(storage)[0] == ("RUNNING", [0.25])

    stopped = Study(asked, "toy", storage)
    stopped.propose(0, trials)
    assert states(storage) == [("WAITING", [0.25]), ("WAITING", []), ("WAITING", [])]
    stopped.started(0)
    stopped.rest()
    assert states(storage)[0] == ("WAITING", [0.25])

    last = Study(asked, "toy", storage)
    last.propose(0, trials)
    last.started(0)
    last.ended([answer(n, trial) for n, trial in enumerate(trials)])
    last.started(0)  # too late to change anything
    last.epoch(0, {"epoch": 9, "val_accuracy": 1.0})
    last.rest()
    assert [state for state, _ in states(storage)] == ["COMPLETE"] * 3
    assert states(storage)[0][1] == list(answer(0, trials[0]).curve)


@pytest.mark.slow
def test_a_locked_database_keeps_no_trial_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events return at once while nothing can be written, and arrive later."""
    path = tmp_path / "optuna.db"
    asked, storage = search(), f"sqlite:///{path}"
    trials = Proposals(asked).ask()
    Study(asked, "toy", storage)  # its tables
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        display = Display(asked, "toy", storage, 0, trials)
        for trial in trials:
            display.started(trial.key)
            for epoch in range(1, 100):
                display.epoch(trial.key, {"epoch": epoch, "val_accuracy": 0.5})
        assert time.monotonic() - began < 1
        while "cannot be written" not in (output := capsys.readouterr().out):
            assert time.monotonic() - began < 300
            time.sleep(0.1)
        assert f"--optuna {storage}: cannot be written" in output
        other.rollback()
    display.close(patience_s=300)
    assert [len(curve) for _, curve in states(storage)] == [99] * 3


@pytest.mark.slow
def test_what_was_left_of_other_proposals_is_given_up(tmp_path: Path) -> None:
    """Its params differ from those of the present evaluation, whose value it must not get."""
    asked, storage = search(), f"sqlite:///{tmp_path / 'optuna.db'}"
    one, other, *_ = Proposals(asked).ask()
    Study(asked, "toy", storage).propose(0, [one])
    write_study(asked, "toy", [answer(0, other)], storage)
    assert states(storage) == [("FAIL", [])]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "best"}, "sampler='best': choose one of tpe"),
        ({"pruner": "axe"}, "pruner='axe': choose one of none"),
        ({"metric": "test_accuracy"}, "metric='test_accuracy': choose one of best_val_accuracy"),
        ({"num_trials": 0}, "num_trials=0: must be at least 1"),
        ({"confirm_seeds": (1, 2)}, "the search itself uses seed 1"),
        ({"space": {"learning_rate": Uniform(0, 1)}}, "no field 'learning_rate'"),
        ({"space": {"seed": Whole(0, 9)}}, "no field 'seed'"),
        ({"space": {"lr": Uniform(1, 1)}}, "low=1 must be below high=1"),
        ({"space": {"lr": LogUniform(0, 1)}}, "low=0 has no logarithm"),
        ({"space": {"lr": Choice(())}}, "name one or more different values"),
        ({"space": {"lr": Uniform(0, 1, when={"augment": "mixup"})}}, "augment, which must come before it"),
        ({"space": CHOICES, "sampler": "grid"}, "has 6 points"),
        ({"sampler": "grid"}, "has 0 points"),
    ],
)
def test_a_search_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    """The refusal comes when the study's file is read, and names the field."""
    with pytest.raises(ValueError, match=said):
        search(**changes)


def rows(*values: float) -> list[dict[str, float]]:
    """Epochs with this validation accuracy."""
    return [{"epoch": n, "val_accuracy": value} for n, value in enumerate(values, 1)]


PAST = [((0.1 * n, 0.12 * n, 0.13 * n, 0.14 * n), True) for n in range(1, 7)]


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_the_worse_gives_up_and_the_better_does_not(pruner: str) -> None:
    """They are compared with six known curves."""
    bad, good = (Judge(pruner, "maximize", "val_accuracy", PAST, 4) for _ in range(2))
    assert any(bad(rows(*(0.01,) * n)) for n in range(1, 5))
    assert not any(good(rows(*(0.9,) * n)) for n in range(1, 5))


def test_a_resumed_trial_gives_up_where_it_would_have() -> None:
    """A new judge that sees all epochs at once decides as the first did at the last of them."""
    values = (0.9, 0.9, 0.05, 0.05)
    step_by_step = Judge("median", "maximize", "val_accuracy", PAST, 4)
    decisions = [step_by_step(rows(*values[:n])) for n in range(1, 5)]
    for n in range(1, 5):
        assert Judge("median", "maximize", "val_accuracy", PAST, 4)(rows(*values[:n])) == decisions[n - 1]


def test_without_a_pruner_or_a_past_nobody_gives_up() -> None:
    """The first round has no curves to compare with."""
    assert not Judge("none", "maximize", "val_accuracy", PAST, 4)(rows(0.0))
    assert not Judge("median", "maximize", "val_accuracy", [], 4)(rows(0.0, 0.0))
