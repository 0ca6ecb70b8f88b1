"""Runs that share a table, and runs that are refused, from runs like those of a sweep."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.rows import held, read_predictions, table_rows
from sweeps.engine.modules import Code
from sweeps.engine.plan import Sweep, varied
from sweeps.engine.store.runs import Run, StoreError, fitted
from tests.analysis.conftest import MakeRun
from trainable.trial import save_arrays


def changed(run: Run, **metrics: float) -> Run:
    """The run with some metrics changed."""
    return dataclasses.replace(run, metrics={**run.metrics, **metrics})


def test_one_typed_row_per_planned_trial_in_order(sweep: Sweep, complete: list[Run]) -> None:
    """The columns are the fields with their types, then the metrics."""
    rows = table_rows(sweep, complete[::-1])
    assert rows["key"].tolist() == [trial.key for trial in sweep.trials]
    assert rows["status"].eq("finished").all()
    assert rows["data_hz"].dtype == np.int64
    assert rows["lr"].dtype == np.float64
    assert rows["test_accuracy"].tolist() == [run.metrics["test_accuracy"] for run in complete]
    assert rows["corpus_clips"].unique().tolist() == ["23088/3974/6708"]


def test_an_unfinished_trial_has_a_status_and_no_numbers(sweep: Sweep, complete: list[Run]) -> None:
    """A failed run's metrics are not read; a trial without a run is missing; unrelated runs are ignored."""
    stranger = dataclasses.replace(complete[3], run_id="stranger", tags={**complete[3].tags, "key": "0" * 12})
    runs = [dataclasses.replace(complete[0], status="FAILED"), *complete[2:], stranger]
    rows = table_rows(sweep, runs)
    assert rows["status"].tolist()[:3] == ["failed", "missing", "finished"]
    assert rows["test_accuracy"].isna().tolist()[:3] == [True, True, False]
    assert len(rows) == len(sweep.trials)


def test_a_finished_run_outranks_the_failures_before_it(sweep: Sweep, complete: list[Run]) -> None:
    """A trial that failed and was run again is finished."""
    failed = dataclasses.replace(complete[0], run_id="first-try", status="FAILED", metrics={})
    rows = table_rows(sweep, [failed, *complete])
    assert (rows["status"][0], rows["run_id"][0]) == ("finished", complete[0].run_id)


def test_a_trial_that_finished_twice_is_refused(sweep: Sweep, complete: list[Run], make_run: MakeRun) -> None:
    """The error names the key and both runs."""
    again = make_run(sweep.trials[0], run_id="again")
    with pytest.raises(ValueError, match=rf"{again.key} has finished in 2 runs, {complete[0].run_id}, again"):
        table_rows(sweep, [*complete, again])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_refused(sweep: Sweep, complete: list[Run], value: float) -> None:
    """The error names the run and the metric."""
    complete[5] = changed(complete[5], best_val_loss=value)
    with pytest.raises(ValueError, match=rf"{complete[5].run_id}: best_val_loss={value}"):
        table_rows(sweep, complete)


def test_a_metric_that_is_missing_is_refused(sweep: Sweep, complete: list[Run]) -> None:
    """A finished run without its test accuracy makes no table."""
    metrics = {name: value for name, value in complete[5].metrics.items() if name != "test_accuracy"}
    complete[5] = dataclasses.replace(complete[5], metrics=metrics)
    with pytest.raises(ValueError, match="test_accuracy=None"):
        table_rows(sweep, complete)


@pytest.mark.parametrize("tag", ["data_sha256", "split_sha256"])
def test_mixed_provenance_is_refused_with_counts(
    sweep: Sweep, complete: list[Run], make_run: MakeRun, tag: str
) -> None:
    """Runs of one corpus with two hashes: the error names both, how many runs have each, and the remedy."""
    complete[0] = dataclasses.replace(complete[0], tags={**complete[0].tags, tag: "ab" * 32})
    with pytest.raises(
        ValueError, match=rf"{tag}: \w{{12}} \(11 runs\), abababababab \(1 run\); choose one with --data"
    ):
        table_rows(sweep, complete)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("code", {"code_sha256": "ab" * 32}),
        ("code", {"code_sha256_resumed": "ab" * 32}),
        ("versions", {"versions": "torch 2.15.0, ray 2.60.0"}),
        ("versions", {"versions": ""}),
    ],
)
def test_trials_of_different_code_or_versions_are_refused_by_key(
    sweep: Sweep, complete: list[Run], name: str, tags: dict[str, str]
) -> None:
    """The keys of the minority are named; the table is made if the difference is accepted."""
    complete[3] = dataclasses.replace(complete[3], tags={**complete[3].tags, **tags})
    with pytest.raises(ValueError, match=rf"made 11 runs; .* made 1 run: {complete[3].key}; .*--accept-mixed {name}"):
        table_rows(sweep, complete)
    other = {"code": "versions", "versions": "code"}[name]
    with pytest.raises(ValueError, match=f"different {name}"):
        table_rows(sweep, complete, accept=(other,))
    assert table_rows(sweep, complete, accept=(name,))["status"].eq("finished").all()


def made_with(run: Run, **modules: str) -> Run:
    """The run, made by trainable/<module>.py whose hashes begin with these digits."""
    digits = {f"trainable/{module}.py": digit * 8 for module, digit in modules.items()}
    code = Code("".join(digits.values()).ljust(64, "0"), digits)
    return dataclasses.replace(run, tags={**run.tags, **code.tags})


def test_the_module_that_differs_is_named(sweep: Sweep, complete: list[Run]) -> None:
    """It is named also where a trial was resumed with it; if it is accepted, there is a table."""
    runs = [made_with(run, finetune="a", trial="b") for run in complete]
    assert table_rows(sweep, runs)["status"].eq("finished").all()
    runs[3] = made_with(complete[3], finetune="c", trial="b")
    named = rf"made 11 runs; ccccccccbbbb made 1 run \(trainable/finetune.py differs\): {complete[3].key}; delete"
    with pytest.raises(ValueError, match=f"different code made these trials: aaaaaaaabbbb {named}"):
        table_rows(sweep, runs)
    assert table_rows(sweep, runs, accept=("code",))["status"].eq("finished").all()
    later = {f"{name}_resumed": value for name, value in runs[3].tags.items() if name.startswith("code_")}
    runs[3] = dataclasses.replace(runs[0], run_id="r", tags={**runs[0].tags, **later, "key": complete[3].key})
    with pytest.raises(
        ValueError, match=r"aaaaaaaabbbb then ccccccccbbbb made 1 run \(trainable/finetune.py differs\)"
    ):
        table_rows(sweep, runs)


def test_backbones_with_their_own_files_share_a_table(sweep: Sweep, complete: list[Run]) -> None:
    """Their code differs, but not the files that they share; once those differ, all are named."""
    runs = [made_with(run, trial="b", **({"panns": "a"} if n < 8 else {"timm": "d"})) for n, run in enumerate(complete)]
    assert len({run.tags["code_modules"] for run in runs}) == 2
    assert table_rows(sweep, runs)["status"].eq("finished").all()
    runs[10] = made_with(complete[10], trial="c", timm="d")
    named = rf"made 11 runs; cccccccc\w+ made 1 run \(trainable/trial.py differs\): {complete[10].key}; delete"
    with pytest.raises(ValueError, match=rf"trials: bbbbbbbbaaaa and bbbbbbbbdddd {named}"):
        table_rows(sweep, runs)


def test_runs_that_name_no_modules_are_told_apart_by_the_hash_alone(sweep: Sweep, complete: list[Run]) -> None:
    """Unknown code is not taken to be the same."""
    runs = [made_with(run, trial="b") for run in complete]
    runs[3] = complete[3]
    with pytest.raises(ValueError, match=rf"made 11 runs; c0dec0dec0de made 1 run: {complete[3].key};"):
        table_rows(sweep, runs)


def test_another_ray_makes_the_same_numbers(sweep: Sweep, complete: list[Run]) -> None:
    """The packages that run and store the trials do not affect their numbers."""
    complete[3] = dataclasses.replace(complete[3], tags={**complete[3].tags, "versions": "torch 2.14.1, ray 2.61.0"})
    assert table_rows(sweep, complete)["status"].eq("finished").all()


def test_data_chooses_one_of_two_corpora(sweep: Sweep, complete: list[Run], make_run: MakeRun) -> None:
    """Every trial ran on two states of the recordings; the first digits of a hash keep one of them."""
    other = [make_run(t, 0.5, run_id=f"old-{t.key}", data_sha256="0d" * 32) for t in sweep.trials]
    rows = table_rows(sweep, [*complete, *other], data="0d0d")
    assert rows["run_id"].tolist() == [run.run_id for run in other]


def test_data_keeps_a_failure_that_knew_no_hash(sweep: Sweep, complete: list[Run]) -> None:
    """A trial that failed before its hashes were known is shown as failed, not as missing."""
    tags = {name: value for name, value in complete[0].tags.items() if not name.endswith("sha256")}
    complete[0] = dataclasses.replace(complete[0], status="FAILED", tags=tags)
    assert table_rows(sweep, complete, data="d1d1")["status"][0] == "failed"


def test_one_checkpoint_per_pre_training_rate(sweep: Sweep, complete: list[Run]) -> None:
    """Two rates may have two hashes (those of all fixtures do); one rate may not."""
    complete[-1] = dataclasses.replace(complete[-1], tags={**complete[-1].tags, "weights_sha256": "cd" * 32})
    with pytest.raises(ValueError, match=r"pretrain_hz=32000 weights=published has 2 different weights_sha256"):
        table_rows(sweep, complete)


def test_all_problems_are_named_at_once(sweep: Sweep, complete: list[Run], make_run: MakeRun) -> None:
    """One error lists every reason."""
    complete[5] = changed(complete[5], test_loss=math.nan)
    with pytest.raises(ValueError, match=r"(?s)finished in 2 runs.*test_loss=nan"):
        table_rows(sweep, [*complete, make_run(sweep.trials[0], run_id="again")])


def test_predictions_come_back(sweep: Sweep, make_run: MakeRun) -> None:
    """Logits, labels, recordings and classes are those that were written."""
    predictions = read_predictions(make_run(sweep.trials[0], 0.75))
    accuracy = float((predictions.logits.argmax(axis=1) == predictions.labels).mean())
    assert accuracy == pytest.approx(0.75, abs=0.01)
    assert predictions.classes == ("Cargo", "Passengership", "Tanker", "Tug")
    assert predictions.logits.shape == (len(predictions.recording), 4)


def test_predictions_that_contradict_the_run_are_refused(sweep: Sweep, make_run: MakeRun) -> None:
    """One clip more or less than the run states is too many."""
    run = make_run(sweep.trials[0], 0.75)
    num_clips = len(read_predictions(run).labels)
    contradicted = changed(run, test_accuracy=run.metrics["test_accuracy"] + 1 / num_clips)
    with pytest.raises(ValueError, match=rf"run {run.run_id} .* gives an accuracy of .* the run states"):
        read_predictions(contradicted)


def test_rounding_to_float32_is_accepted(sweep: Sweep, make_run: MakeRun) -> None:
    """An accuracy taken in single precision agrees."""
    run = make_run(sweep.trials[0], 0.7)
    read_predictions(changed(run, test_accuracy=float(np.float32(run.metrics["test_accuracy"]))))


def test_missing_or_damaged_predictions_are_named(sweep: Sweep, make_run: MakeRun) -> None:
    """The error names run, file and remedy, whether the file is cut short or gone."""
    run = make_run(sweep.trials[0])
    path = Path(run.artifact_uri) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"run {run.run_id} .*cannot read .*predictions.npz.*delete run"):
        read_predictions(run)
    path.unlink()
    with pytest.raises(StoreError, match=rf"run {run.run_id} .*is gone"):
        read_predictions(run)


@pytest.mark.slow
def test_predictions_cut_anywhere_or_with_a_bit_flipped_are_refused_in_words(
    sweep: Sweep, make_run: MakeRun, tmp_path: Path
) -> None:
    """One bit of every byte and every fifth length are tried: whatever can still be read is unchanged."""
    run = make_run(sweep.trials[0])
    path, labels = tmp_path / run.run_id / "predictions.npz", np.array([0, 1])
    arrays = {"logits": np.eye(2, dtype=np.float32), "labels": labels, "recording": np.array(["a", "b"])}
    save_arrays(path, **arrays, clip=labels, classes=np.array(["x", "y"]))
    run = dataclasses.replace(run, metrics={"test_accuracy": 1.0})
    intact, good = path.read_bytes(), read_predictions(run)
    assert len(intact) < 2_000
    flipped = [intact[:n] + bytes([byte ^ 1 << n % 8]) + intact[n + 1 :] for n, byte in enumerate(intact)]
    for data in flipped + [intact[:length] for length in range(0, len(intact), 5)]:
        path.write_bytes(data)
        try:
            predictions = read_predictions(run)
        except ValueError as error:
            assert "copy it again from --storage/trials/" in str(error)  # noqa: PT017
        else:
            assert len(data) == len(intact), "a truncated file was read"
            assert all(
                np.array_equal(getattr(predictions, n), getattr(good, n)) for n in ("logits", "labels", "recording")
            )


def test_predictions_that_do_not_fit_together_are_refused(sweep: Sweep, make_run: MakeRun) -> None:
    """A recording id is needed for every clip, and every logit must be finite."""
    run = make_run(sweep.trials[0])
    path = Path(run.artifact_uri) / "predictions.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "recording": arrays["recording"][1:]})
    with pytest.raises(ValueError, match="do not fit together"):
        read_predictions(run)
    np.savez(path, **{**arrays, "logits": np.full_like(arrays["logits"], np.nan)})
    with pytest.raises(ValueError, match="not finite"):
        read_predictions(run)


def test_a_setting_that_the_store_cannot_hold_whole_is_no_other_setting(sweep: Sweep, make_run: MakeRun) -> None:
    """With 560 classes, a run that has them matches the plan; one with another last class does not."""
    classes = ",".join(f"species_name_{n:04d}" for n in range(560))
    planned = varied(sweep, {"classes": classes, "split": "recording"})
    run = make_run(planned.trials[0])
    same = dataclasses.replace(run, params={name: fitted(value) for name, value in run.params.items()})
    other = dataclasses.replace(same, params={**same.params, "classes": fitted(f"{classes}x")})
    assert "1 run with the plan's settings" in held(planned, [same])
    message = held(planned, [other])
    assert "--set classes=species_name_0000," in message
    assert "... (whole in config.json)" in message
    assert len(message) < 500


def test_held_names_the_settings_that_the_store_has(sweep: Sweep, complete: list[Run], make_run: MakeRun) -> None:
    """Settings that differ from the plan are shown as the flags that would select them."""
    short = [make_run(dataclasses.replace(t, epochs=2, classes="Tug,Cargo")) for t in sweep.trials[:2]]
    assert "2 runs with --set epochs=2 --set classes=Cargo,Tug" in held(sweep, short)
    assert held(sweep, []) == "the store holds no run at all"
