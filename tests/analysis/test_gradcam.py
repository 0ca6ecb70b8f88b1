"""The command on a small finished sweep, with real trials, checkpoints and clips, and its refusals in words."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.inside import checkpoints, gradcam
from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source
from datasets.synthetic.deepship import write as write_deepship
from sweeps.deepship_backbones import SWEEP
from sweeps.engine.command.options import parse_fields
from sweeps.engine.plan import varied
from sweeps.engine.situation import Inputs, folder_name, wanted_by
from sweeps.engine.store.runs import Run
from trainable import trial
from trainable.config import TrialConfig
from trainable.device.place import Place
from trainable.weights import checkpoint

PANN, TIMM = "mobilenetv1", "timm/resnet50.a1_in1k"
FIELDS = ("classes=Cargo,Tug", "weights=none", "width=0.03125", "data_hz=8000", "epochs=2", "lr=1e-3", "batch=4")
Command = Callable[..., tuple[int, str, str]]


class Finished(NamedTuple):
    """The folders of a small sweep, and its runs."""

    ships: Path
    storage: Path
    runs: list[Run]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A PANN and a timm network, two seeds each, on two classes of invented ships."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("gradcam")
    ships, storage = root / "ships", root / "results"
    write_deepship(ships, num_per_class=10, seconds=(10, 16), rate_hz=8_000)
    plan = varied(SWEEP, parse_fields(list(FIELDS)), seeds=(1, 2))
    trials = [t for t in plan.trials if t.backbone in (PANN, TIMM)]
    source = Source(ships, storage / "cache")
    data = prepare.prepare(wanted_by(trials[0]), source)
    (clips,) = prepare.clips(data, [8_000], 5.0, source).values()
    inputs = Inputs(data.scan.sha256, data.split.sha256, "none")
    split, scan = splits.write(data.split, storage / "splits"), manifest.write(data.scan, storage / "scans")
    runs = []
    for its in trials:
        folder = storage / "trials" / folder_name(its, inputs)
        scores = trial.run(its, Place(clips, split, None, folder, scan=scan), lambda row: None)
        runs.append(run_of(its, folder, scores, inputs))
    return Finished(ships, storage, runs)


def run_of(its: TrialConfig, folder: Path, scores: dict[str, float], inputs: Inputs) -> Run:
    """The run that the driver would record."""
    return Run(
        run_id=f"run-{its.key}",
        experiment=SWEEP.name,
        name=its.key,
        status="FINISHED",
        params={name: str(value) for name, value in its.to_dict().items()},
        metrics=scores,
        tags={"key": its.key, "sweep": SWEEP.name, **inputs.tags},
        artifact_uri=str(folder),
    )


@pytest.fixture
def command(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """A function that calls the command with further arguments and other runs, and returns its exit code and output."""

    def call(*more: str, runs: list[Run] | None = None, storage: Path | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(gradcam, "read_runs", lambda uri: finished.runs if runs is None else runs)
        words = [SWEEP.name, "--data-root", str(finished.ships), "--storage", str(storage or finished.storage)]
        words += ["--cache-dir", str(finished.storage / "cache"), "--seeds", "1,2", "--out", str(tmp_path / "out")]
        code = gradcam.main([*words, *(part for word in FIELDS for part in ("--set", word)), *more])
        return code, *capsys.readouterr()

    return call


@pytest.mark.slow
def test_it_writes_the_figure_and_the_focus(command: Command, finished: Finished, tmp_path: Path) -> None:
    """Both networks of the sweep are covered, with all seeds and test clips, and no checkpoint is touched."""
    before = {path: path.stat().st_mtime_ns for path in finished.storage.rglob("*.pt")}
    code, out, err = command()
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "focus.csv",
        "focus.md",
        "gradcam.png",
        "gradcam.svg",
    ]
    text = (tmp_path / "out" / "focus.md").read_text(encoding="utf-8")
    assert text in out
    words = " ".join(text.split())
    assert f"| {PANN} − {TIMM} | correct |" in words
    assert f"{PANN}: the last map has 3 x 2 cells of 1.67 s x 32 mel bands, interpolated to 126 x 64" in words
    focus = pd.read_csv(tmp_path / "out" / "focus.csv")
    for name in (PANN, TIMM):
        its = focus[(focus["network"] == name) & (focus["measure"] == "half_area") & focus["num_zero"].notna()]
        predictions = [np.load(Path(run.artifact_uri) / "predictions.npz") for run in finished.runs]
        labels = [
            p["labels"] for p, run in zip(predictions, finished.runs, strict=True) if run.params["backbone"] == name
        ]
        assert its["num_maps"].sum() + its["num_zero"].sum() == sum(map(len, labels)) > 10
        accuracy = np.mean([run.metrics["test_accuracy"] for run in finished.runs if run.params["backbone"] == name])
        correct = its[its["kind"] == "correct"]
        assert (correct["num_maps"] + correct["num_zero"]).item() == round(accuracy * sum(map(len, labels)))
        assert its["value"].dropna().between(0, 1).all()
    assert {path: path.stat().st_mtime_ns for path in finished.storage.rglob("*.pt")} == before


@pytest.mark.slow
def test_a_subset_of_one_network(command: Command, tmp_path: Path) -> None:
    """The network is named, and so is the number of clips: two classes, three clips, two seeds."""
    code, out, _ = command("--backbones", TIMM, "--clips-per-class", "3")
    assert code == 0
    assert "6 of " in out
    assert "At most 3 test clips of each class" in " ".join(out.split())
    focus = pd.read_csv(tmp_path / "out" / "focus.csv")
    its = focus[(focus["measure"] == "half_area") & focus["num_zero"].notna()]
    assert (its["num_maps"] + its["num_zero"]).sum() == 2 * 3 * 2
    assert set(focus["network"]) == {TIMM}


def test_the_best_complete_network_of_each_family() -> None:
    """It has the highest mean over seeds; a network without all its seeds does not count, however good."""
    columns = ("backbone", "seed", "status", "test_accuracy")
    rows = [("cnn14", seed, "finished", score) for seed, score in ((1, 0.8), (2, 0.6))]
    rows += [("resnet38", seed, "finished", score) for seed, score in ((1, 0.71), (2, 0.71))]
    rows += [("mobilenetv1", 1, "finished", 0.99), ("mobilenetv1", 2, "missing", np.nan)]
    rows += [("timm/a.b", seed, "finished", 0.5) for seed in (1, 2)]
    table = pd.DataFrame(rows, columns=columns).assign(config=SWEEP.trials[0])
    assert checkpoints.best(table) == ["resnet38", "timm/a.b"]
    with pytest.raises(ValueError, match=r"no network of timm has finished.*--seeds.*--backbones"):
        checkpoints.best(table[:-1].assign(status=["finished"] * 6 + ["failed"]))
    other = table[-2:].assign(backbone="baseline/bands")
    assert checkpoints.best(pd.concat([table, other])) == ["resnet38", "timm/a.b", "baseline/bands"]
    assert checkpoints.best(table[:-2]) == ["resnet38"]


@pytest.mark.slow
def test_networks_that_cannot_be_compared_are_refused(command: Command, finished: Finished) -> None:
    """Refused are an unplanned network, one without a seed, and a sweep with several trials per network and seed."""
    code, _, err = command("--backbones", "cnn6")
    assert (code, "--backbones cnn6: the sweep does not plan it; it plans cnn14, " in err) == (2, True)
    lacking = [run for run in finished.runs if run.params["seed"] == "1"]
    code, _, err = command("--backbones", PANN, runs=lacking)
    assert (code, f"--backbones {PANN}: seed 2 is missing; run the sweep again" in err) == (2, True)
    code, _, err = command(runs=[])
    assert (code, "the store holds no run at all" in err) == (2, True)
    with pytest.raises(ValueError, match="differ in more than the seed"):
        checkpoints.check_complete(
            pd.DataFrame({"backbone": ["cnn14"] * 2, "seed": [1, 1], "status": ["finished"] * 2}), ["cnn14"]
        )


@pytest.mark.slow
def test_a_sweep_that_does_not_exist_is_refused(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    """Both a missing file and a file without a study are refused."""
    for name in ("deepship_nothing", "plan"):
        assert gradcam.main([name, "--data-root", str(finished.ships), "--storage", str(finished.storage)]) == 2
        assert f"'{name}': sweeps/ has no sweep of that name" in capsys.readouterr().err


@pytest.mark.slow
def test_other_recordings_are_refused(command: Command, finished: Finished, tmp_path: Path) -> None:
    """Refused are ships that the runs have not heard, and a split that they did not use."""
    other = tmp_path / "ships"
    write_deepship(other, num_per_class=3, seconds=(5, 6), rate_hz=8_000, seed=1)
    code, _, err = command("--data-root", str(other), "--cache-dir", str(tmp_path / "cache"))
    assert code == 2
    assert f"--data-root {other}: data_sha256 is " in err
    assert f"{finished.runs[0].tags['data_sha256'][:12]} in run run-" in err
    assert "name with --data-root the recordings that the runs used" in err

    run = finished.runs[0]
    (its,) = [t for t in varied(SWEEP, parse_fields(list(FIELDS)), seeds=(1, 2)).trials if t.key == run.key]
    otherwise = dataclasses.replace(run, tags={**run.tags, "split_sha256": "5" * 64})
    with pytest.raises(ValueError, match=r"split_sha256 is .*, and 555555555555 in run .*give the --split"):
        checkpoints.prepared(its, otherwise, Source(finished.ships, finished.storage / "cache"))


@pytest.mark.slow
def test_a_missing_checkpoint_is_named(command: Command, finished: Finished, tmp_path: Path) -> None:
    """The message has its path and the remedy."""
    code, _, err = command(storage=tmp_path / "elsewhere")
    assert code == 2
    first = Path(finished.runs[0].artifact_uri).name
    assert f"its checkpoint {tmp_path}/elsewhere/trials/{first}/best.pt is missing; name the folder" in err


@pytest.mark.slow
def test_another_checkpoint_is_refused(command: Command, finished: Finished, tmp_path: Path) -> None:
    """Weights that fit the network but predict something else are found out by the stored predictions."""
    trials = tmp_path / "results" / "trials"
    shutil.copytree(finished.storage / "trials", trials)
    for path in trials.glob("*/best.pt"):
        state = checkpoint.load(path)
        for name in [n for n in state["model"] if n.startswith(("fc.", "fc_audioset."))]:
            state["model"][name] = state["model"][name].flip(0)
        checkpoint.save(path, state)
    code, _, err = command(storage=tmp_path / "results")
    assert code == 2
    assert "best.pt predicts another class for clip" in err
    assert "restore the run's own checkpoint" in err


@pytest.mark.slow
def test_predictions_of_other_clips_are_refused(command: Command, finished: Finished, tmp_path: Path) -> None:
    """Predictions in another order are not those of the clips at hand."""
    run = next(run for run in finished.runs if run.params["backbone"] == PANN)
    arrays = dict(np.load(Path(run.artifact_uri) / "predictions.npz"))
    turned = {name: value if name == "classes" or not value.ndim else value[::-1] for name, value in arrays.items()}
    np.savez(tmp_path / "predictions.npz", **turned)  # type: ignore[arg-type]
    runs = [dataclasses.replace(r, artifact_uri=str(tmp_path)) if r is run else r for r in finished.runs]
    code, _, err = command("--backbones", PANN, runs=runs)
    assert (code, "clips of predictions.npz are not" in err) == (2, True)
