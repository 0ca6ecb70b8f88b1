"""A sweep is one parent run, a trial one nested run, however often it is cut off; nothing is written twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from sweeps.engine.modules import Code, modules_of
from sweeps.engine.store.runs import LONGEST, Run, StoreError, fitted, read_runs
from sweeps.engine.store.store import Store, artifact_path
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig

TRIAL = RATES
TAGS = {"key": TRIAL.key, "role": "trial", "data_sha256": "d" * 64}
SCORES = {"test_accuracy": 0.8, "best_val_loss": 0.6, "best_epoch": 1, "epochs_run": 3}


def row(epoch: int, **values: float) -> dict[str, float]:
    return {"epoch": epoch, "val_loss": 1 / epoch, "val_accuracy": 0.1 * epoch, **values}


def client(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri)


def begin(store: Store, parent: str = "", earlier: Run | None = None, **tags: str) -> str:
    parent = parent or store.open_sweep("toy", "", {})
    return store.begin(parent, "cnn14-32k@32k s1", TRIAL.to_dict(), {**TAGS, **tags}, earlier)


def all_runs(store: Store) -> list[Any]:
    experiment = client(store).get_experiment_by_name("toy")
    assert experiment is not None
    return list(client(store).search_runs([experiment.experiment_id]))


@pytest.mark.slow
def test_a_trial_is_nested_in_its_sweep(open_store: Callable[..., Store]) -> None:
    """Both are running; the trial's params are its config, its tags the given ones."""
    store = open_store()
    parent = store.open_sweep("toy", "epochs=2", {"git_commit": "c0ffee"})
    trial = client(store).get_run(begin(store, parent))
    sweep = client(store).get_run(parent)
    assert sweep.info.status == trial.info.status == "RUNNING"
    assert sweep.info.run_name == "toy epochs=2"
    assert (
        sweep.data.tags.items()
        >= {"sweep": "toy", "role": "sweep", "variant": "epochs=2", "git_commit": "c0ffee"}.items()
    )
    assert trial.data.tags.items() >= {**TAGS, "mlflow.parentRunId": parent}.items()
    assert trial.info.run_name == "cnn14-32k@32k s1"
    assert trial.data.params == {name: str(value) for name, value in TRIAL.to_dict().items()}
    assert TrialConfig(**trial.data.params) == TRIAL  # type: ignore[arg-type]


def test_a_sweep_has_one_parent_for_the_same_settings_and_data(open_store: Callable[..., Store]) -> None:
    """Started again, it continues under its parent; other settings or other data have their own."""
    store = open_store()
    parent = store.open_sweep("toy", "", {"data_sha256": "d1"})
    store.end(parent, "KILLED")
    assert store.open_sweep("toy", "", {"data_sha256": "d1"}) == parent
    assert client(store).get_run(parent).info.status == "RUNNING"
    others = {
        store.open_sweep("toy", "epochs=2", {"data_sha256": "d1"}),
        store.open_sweep("toy", "", {"data_sha256": "d2"}),
    }
    assert len(others | {parent}) == 3


def test_settings_of_any_length_have_one_parent(open_store: Callable[..., Store]) -> None:
    """A class list that MLflow would truncate still identifies these settings, and not others that begin alike."""
    store, names = open_store(), [f"species_name_{n:04d}" for n in range(560)]
    variant = f"classes={','.join(names)}"
    assert len(variant) > 8_000
    data = {"data_sha256": "d1"}
    assert len({store.open_sweep("toy", variant, data) for _ in range(3)}) == 1
    assert len({store.open_sweep("toy", v, data) for v in (variant, variant[:-1], f"{variant},one_more")}) == 3
    assert max(len(run.info.run_name) for run in all_runs(store)) <= 250


def test_values_of_any_length_are_told_apart(open_store: Callable[..., Store]) -> None:
    """MLflow truncates no param or tag: one that is too long ends with its hash; the others are unchanged."""
    store, long = open_store(), "x" * 20_000
    parent = store.open_sweep("toy", "", {})
    for end in ("a", "b", ""):
        config = {"classes": long + end, "backbone": "y" * LONGEST}
        store.begin(parent, "a name", config, {**TAGS, "corpus_notes": long + end, "split": "z" * LONGEST}, None)
    runs = read_runs(store.uri)
    for values in ([r.params["classes"] for r in runs], [r.tags["corpus_notes"] for r in runs]):
        assert values == [fitted(long + end) for end in ("a", "b", "")]
        assert len(set(values)) == 3
        assert {len(value) for value in values} == {LONGEST - 100 + len("... sha256 ") + 64}
    assert {(r.params["backbone"], r.tags["split"]) for r in runs} == {("y" * LONGEST, "z" * LONGEST)}


def test_a_trial_that_goes_on_with_other_code_says_both(open_store: Callable[..., Store]) -> None:
    """It has the hash and modules of the code that it began with, and of the code that resumed it."""
    store = open_store()
    before, after = (Code(digit * 64, {"trainable/finetune.py": digit * 8}) for digit in "ab")
    run_id = begin(store, **before.tags)
    store.end(run_id, "KILLED")
    assert begin(store, "", read_runs(store.uri)[0], **after.tags) == run_id
    tags = read_runs(store.uri)[0].tags
    assert tags.items() >= {**before.tags, **{f"{name}_resumed": value for name, value in after.tags.items()}}.items()
    assert modules_of(tags) == {"trainable/finetune.py": "aaaaaaaa then bbbbbbbb"}


@pytest.mark.parametrize("status", ["KILLED", "FAILED", "RUNNING"])
def test_an_unfinished_trial_goes_on_in_its_run(open_store: Callable[..., Store], status: str) -> None:
    """The next driver takes over the run, with its curves, and makes no second one."""
    first = open_store()
    run_id = begin(first)
    first.log_epoch(run_id, row(1))
    if status != "RUNNING":  # else the driver was lost
        first.end(run_id, status, "why")
    store = open_store()
    (earlier,) = read_runs(store.uri)
    assert earlier.status == status
    parent = store.open_sweep("toy", "epochs=2", {})
    assert begin(store, parent, earlier, hostname="pier") == run_id
    for epoch in (1, 2):
        store.log_epoch(run_id, row(epoch))
    store.finish(run_id, SCORES, {}, [])
    (finished,) = read_runs(store.uri)
    assert (finished.status, finished.tags["hostname"]) == ("FINISHED", "pier")
    assert finished.tags["mlflow.parentRunId"] == parent


def test_an_epoch_is_written_once(open_store: Callable[..., Store]) -> None:
    """A resumed trial reports its first epochs again; each stays one point, by the same driver and by the next."""
    first = open_store()
    run_id = begin(first)
    for epoch in (1, 2, 1, 2):
        first.log_epoch(run_id, row(epoch))
    store = open_store()
    begin(store, earlier=read_runs(store.uri)[0])
    for epoch in (1, 2, 3):
        store.log_epoch(run_id, row(epoch, val_loss=9.0))
    assert curve_of(store, run_id) == [(1, 1.0), (2, 0.5), (3, 9.0)]


def test_epochs_that_wait_together_are_the_same_points(open_store: Callable[..., Store]) -> None:
    """Several come in one call, some are known and two are the same: each new one is one point, the first."""
    store = open_store()
    run_id = begin(store)
    store.log_epoch(run_id, row(1))
    store.log_epoch(run_id, row(1, val_loss=9.0), row(2), row(3), row(2, val_loss=9.0))
    assert curve_of(store, run_id) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert read_runs(store.uri)[0].metrics["val_loss"] == 1 / 3


def test_an_epoch_is_written_whole_or_not_at_all(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow splits after 1,000 numbers, anywhere; 400 epochs of three make 1,200, and then it goes down."""
    store, answers = open_store(), iter([None, StoreError("--store toy: is down")])
    run_id, write = begin(store), SqlAlchemyStore.log_batch

    def down(*args: Any, **kwargs: Any) -> None:
        if error := next(answers):
            raise error
        write(*args, **kwargs)

    epochs = [row(epoch, train_loss=1.0) for epoch in range(1, 401)]
    with monkeypatch.context() as patch:
        patch.setattr(SqlAlchemyStore, "log_batch", down)
        with pytest.raises(StoreError, match="is down"):
            store.log_epoch(run_id, *epochs)
    first, *others = (curve_of(store, run_id, name) for name in ("val_loss", "val_accuracy", "train_loss"))
    assert 0 < len(first) < 400
    assert [[step for step, _ in curve] for curve in others] == [[step for step, _ in first]] * 2
    store.log_epoch(run_id, *epochs)
    assert [step for step, _ in curve_of(store, run_id, "train_loss")] == list(range(1, 401))


def test_what_a_failed_write_has_left_is_not_written_again(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost: the epochs in it are not repeated, and missing ones are made up for."""
    store, answers = open_store(), iter([None, StoreError("--store toy: its answer is lost")])
    run_id, write = begin(store), MlflowClient.log_batch

    def deaf(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        if error := next(answers):
            raise error

    epochs = [row(epoch) for epoch in range(1, 701)]  # three writes, of which the second's answer is lost
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", deaf)
        with pytest.raises(StoreError, match="its answer is lost"):
            store.log_epoch(run_id, *epochs)
    assert 350 < len(curve_of(store, run_id)) < 700
    store.log_epoch(run_id, *epochs)
    assert [step for step, _ in curve_of(store, run_id)] == list(range(1, 701))


def curve_of(store: Store, run_id: str, name: str = "val_loss") -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in client(store).get_metric_history(run_id, name))


def test_an_epochs_number_is_the_step(open_store: Callable[..., Store]) -> None:
    """It is not a curve itself."""
    store = open_store()
    run_id = begin(store)
    store.log_epoch(run_id, row(1, train_loss=0.25))
    assert read_runs(store.uri)[0].metrics == {"val_loss": 1.0, "val_accuracy": 0.1, "train_loss": 0.25}


def test_a_point_has_the_time_at_which_its_epoch_ended(open_store: Callable[..., Store]) -> None:
    """The time is not a curve itself; a run that is written later has the original times."""
    store = open_store()
    run_id = begin(store)
    store.log_epoch(run_id, row(1, ended_unix_s=1_700_000_000.5), row(2, ended_unix_s=1_700_000_060.5))
    points = client(store).get_metric_history(run_id, "val_loss")
    assert [point.timestamp for point in points] == [1_700_000_000_500, 1_700_000_060_500]
    assert "ended_unix_s" not in read_runs(store.uri)[0].metrics


def test_a_trial_says_which_corpus_it_was_given(open_store: Callable[..., Store]) -> None:
    """It has the name, digest, path, number of clips and split; once, however often it starts."""
    store = open_store()
    tags = {"corpus_root": "/ships", "corpus_recordings": "5/1/2", "corpus_clips": "50/10/20"}
    run_id = begin(store, **tags)
    store.end(run_id, "KILLED")
    begin(store, earlier=read_runs(store.uri)[0], **tags)
    (given,) = client(store).get_run(run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("deepship", "d" * 12)
    assert json.loads(given.dataset.source) == {"uri": "/ships"}
    assert json.loads(given.dataset.profile)["num_rows"] == 80
    (context,) = given.tags
    assert (context.key, context.value) == ("mlflow.data.context", "split by recording, 5/1/2 recordings")


def test_a_sweeps_run_has_its_settings_and_numbers(open_store: Callable[..., Store]) -> None:
    """They are params and metrics, of which the last count, and its trials are a table."""
    store = open_store()
    parent = store.open_sweep("toy", "", {})
    for finished in (1.0, 2.0):
        store.introduce(parent, {"corpus": "deepship", "lr": 1e-3}, {})
        store.summarise(
            parent, {"trials_finished": finished, "test_accuracy/cnn14-8k on 2 kHz": 0.5}, ("t.csv", "a,b\n")
        )
    run = client(store).get_run(parent)
    assert run.data.params == {"corpus": "deepship", "lr": "0.001"}
    assert run.data.metrics == {"trials_finished": 2.0, "test_accuracy/cnn14-8k on 2 kHz": 0.5}
    assert [file.path for file in client(store).list_artifacts(parent)] == ["t.csv"]
    assert "params_of_earlier_trials" not in run.data.tags


def test_a_param_that_later_trials_do_not_share_is_named(open_store: Callable[..., Store]) -> None:
    """MLflow never changes a param, but the study's file may now have another value, or several."""
    store = open_store()
    parent = store.open_sweep("toy", "", {})
    store.introduce(parent, {"corpus": "deepship", "lr": 1e-3, "batch": 4}, {})
    store.introduce(parent, {"corpus": "deepship", "lr": 1e-4, "epochs": 5}, {})
    data = client(store).get_run(parent).data
    assert data.params == {"corpus": "deepship", "lr": "0.001", "batch": "4", "epochs": "5"}
    assert data.tags["params_of_earlier_trials"] == "batch, lr"


def test_a_finished_run_has_its_scores(open_store: Callable[..., Store]) -> None:
    """They are read back beside the last points of the curves."""
    store = open_store()
    run_id = begin(store)
    for epoch in (1, 2, 3):
        store.log_epoch(run_id, row(epoch))
    store.finish(run_id, SCORES, {"device": "cpu"}, [])
    (run,) = read_runs(store.uri)
    assert run.status == "FINISHED"
    assert run.tags["device"] == "cpu"
    assert run.metrics == {**SCORES, "val_loss": 1 / 3, "val_accuracy": pytest.approx(0.3)}


@pytest.mark.parametrize("folder", ["results", "my results", "50% é#1 a+b"])
def test_artefacts_are_found_again(open_store: Callable[..., Store], tmp_path: Path, folder: str) -> None:
    """They are beside a local store, whatever the name of its folder."""
    (tmp_path / "kept file.json").write_text("{}")
    store = open_store(folder)
    run_id = begin(store)
    store.attach(run_id, tmp_path / "kept file.json")
    store.finish(run_id, SCORES, {}, [tmp_path / "kept file.json"])
    (run,) = read_runs(store.uri)
    path = artifact_path(run, "kept file.json")
    assert path.read_text() == "{}"
    assert path.is_relative_to(tmp_path / folder / "artifacts" / "toy")
    assert client(store).list_artifacts(run_id)[0].path == "kept file.json"


def test_artefacts_come_before_the_end(open_store: Callable[..., Store], tmp_path: Path) -> None:
    """A run whose artefact cannot be kept is not finished."""
    store = open_store()
    run_id = begin(store)
    with pytest.raises(Exception, match=r"missing\.npz"):
        store.finish(run_id, SCORES, {}, [tmp_path / "missing.npz"])
    assert read_runs(store.uri)[0].status == "RUNNING"


def test_what_is_only_for_looking_at_holds_up_nothing(open_store: Callable[..., Store], tmp_path: Path) -> None:
    """A picture that cannot be kept is reported; the run is finished, with its scores."""
    store, messages = open_store(), list[str]()
    store.finish(begin(store), SCORES, {}, [tmp_path / "confusion.png"], messages.append)
    (run,) = read_runs(store.uri)
    assert (run.status, run.metrics) == ("FINISHED", SCORES)
    (line,) = messages
    assert line.startswith(f"{tmp_path}/confusion.png is not in the store (")


def test_an_artefact_that_is_gone_is_said(open_store: Callable[..., Store]) -> None:
    """The error names the run, the file and the remedy."""
    store = open_store()
    run_id = begin(store)
    with pytest.raises(
        StoreError, match=rf"run {run_id} \({TRIAL.key}\): .*predictions.npz is gone; put back its copy"
    ):
        artifact_path(read_runs(store.uri)[0], "predictions.npz")


def test_why_a_run_ended_is_kept(open_store: Callable[..., Store]) -> None:
    """The end of a long traceback is kept, because it tells most."""
    store = open_store()
    run_id = begin(store)
    store.end(run_id, "FAILED", "x" * 10_000 + "NotFinite: lower lr")
    (run,) = read_runs(store.uri)
    assert run.status == "FAILED"
    assert run.tags["failure"].endswith("NotFinite: lower lr")
    assert len(run.tags["failure"]) == 5_000


def test_a_deleted_run_does_not_count(open_store: Callable[..., Store]) -> None:
    """Deleting a run in MLflow's page makes its trial run again; deleting the sweep's run makes a new one."""
    store = open_store()
    parent = store.open_sweep("toy", "", {})
    store.finish(begin(store, parent), SCORES, {}, [])
    client(store).delete_run(read_runs(store.uri)[0].run_id)
    assert read_runs(store.uri) == []
    client(store).delete_run(parent)
    assert store.open_sweep("toy", "", {}) != parent


def test_a_deleted_experiment_is_refused(open_store: Callable[..., Store]) -> None:
    """MLflow keeps its name; the error says how to remove it."""
    store = open_store()
    begin(store)
    client(store).delete_experiment(all_runs(store)[0].info.experiment_id)
    assert read_runs(store.uri) == []
    with pytest.raises(StoreError, match="experiment toy was deleted; restore it, or remove it for good"):
        store.open_sweep("toy", "", {})


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """It is named and left unchanged."""
    path = tmp_path / "mlflow.db"
    path.write_text("something else, and long enough to be looked at " * 10)
    for opened in (Store, read_runs):
        with pytest.raises(
            StoreError, match=r"mlflow\.db: is damaged, or not an MLflow store \(file is not a database\)"
        ):
            opened(f"sqlite:///{path}")
    assert path.read_text().startswith("something else")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "results").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/results/mlflow.db")
