"""Every study runs in miniature, with its report: `--small`."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.engine.refusal import Refusal
from datasets.synthetic import deepship, esc50, folder
from sweeps.engine.launch import COMPLETE, launch
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.running import cluster
from sweeps.engine.search.search import Search
from sweeps.engine.search.space import Choice, LogUniform
from sweeps.engine.small import pretraining, pretrainings, small
from sweeps.recipes import miniature
from sweeps.recipes.mohammadi import RATES
from tests.test_layout import STUDIES

NAMES = [Path(file).stem for file in STUDIES]
SWEEP = Sweep("toy", grid(RATES, pretrain_hz=(8_000, 32_000), data_hz=(8_000, 32_000), seed=(1, 2)))


def planned(name: str) -> Sweep | Search:
    study: Sweep | Search = importlib.import_module(f"sweeps.{name}").SWEEP
    return study


class TestThePlan:
    """What becomes of a study; nothing is run."""

    @pytest.mark.parametrize("name", NAMES)
    def test_every_study_can_be_small(self, name: str) -> None:
        """Its name and its keys are others than the study's, and its file is the same."""
        study = planned(name)
        made = small(study, {})
        assert (made.name, made.study) == (f"{name}_small", name)
        if isinstance(study, Sweep) and isinstance(made, Sweep):
            assert len(made.trials) == len(study.trials)
            assert {t.key for t in made.trials}.isdisjoint(t.key for t in study.trials)

    def test_what_the_study_varies_is_varied(self) -> None:
        """Networks are narrow and trained for few epochs; the axes are the study's."""
        made = small(SWEEP, {})
        assert {t.width for t in made.trials} == {miniature.WIDTH}
        assert all(t.epochs < 10 and t.patience == 0 for t in made.trials)
        assert [(t.pretrain_hz, t.data_hz, t.seed) for t in made.trials] == [
            (t.pretrain_hz, t.data_hz, t.seed) for t in SWEEP.trials
        ]

    def test_published_weights_become_those_of_a_pre_training(self) -> None:
        """One trial for each network and rate, which every trial of that rate starts from."""
        made = small(SWEEP, {})
        before = pretrainings(made.trials)
        assert [(t.pretrain_hz, t.data_hz, t.weights) for t in before.trials] == [
            (8_000, 8_000, "none"),
            (32_000, 32_000, "none"),
        ]
        keys = {t.pretrain_hz: t.key for t in before.trials}
        assert [t.weights for t in made.trials] == [f"run:{keys[t.pretrain_hz]}" for t in made.trials]

    def test_random_weights_stay_random(self) -> None:
        """There is nothing to pre-train for them."""
        made = small(Sweep("toy", grid(RATES, weights=("none",))), {})
        assert [t.weights for t in made.trials] == ["none"]
        assert pretrainings(made.trials).trials == ()

    def test_an_axis_that_miniatures_set_too_keeps_its_values(self) -> None:
        """Otherwise the trials of a study over learning rates would all be one."""
        made = small(Sweep("toy", grid(RATES, lr=(1e-3, 1e-2), seed=(1, 2))), {})
        assert [t.lr for t in made.trials] == [1e-3, 1e-3, 1e-2, 1e-2]
        assert {t.epochs for t in made.trials} == {miniature.TRAINING["epochs"]}

    def test_the_command_has_the_last_word(self) -> None:
        """Another network is pre-trained itself; weights that are named are those that are taken."""
        (trial,) = small(Sweep("toy", (RATES,)), {"backbone": "cnn10", "epochs": 2}).trials
        assert (trial.backbone, trial.epochs) == ("cnn10", 2)
        assert trial.weights == f"run:{pretraining(trial).key}"
        assert pretraining(trial).backbone == "cnn10"
        (trial,) = small(Sweep("toy", (RATES,)), {"weights": "none", "width": 1 / 64}).trials
        assert (trial.weights, trial.width) == ("none", 1 / 64)

    def test_a_search_is_shorter_but_for_a_grid(self) -> None:
        """A grid is searched whole, or it is none."""
        search = Search("toy", RATES, {"lr": LogUniform(1e-4, 1e-2)}, num_trials=40)
        assert small(search, {}).num_trials == 8
        points = {"lr": Choice((1e-4, 1e-3, 1e-2))}
        assert small(Search("toy", RATES, points, num_trials=3, sampler="grid"), {}).num_trials == 3

    def test_networks_that_are_searched_start_from_random_weights(self) -> None:
        """No one checkpoint fits them all."""
        space = {"backbone": Choice(("cnn10", "cnn14"))}
        made = small(Search("toy", RATES, space, num_trials=2, sampler="grid"), {})
        assert (made.base.weights, made.base.width) == ("none", miniature.WIDTH)
        space = {"backbone": Choice(("cnn10", "timm/resnet18.a1_in1k"))}  # the second cannot be made narrower
        assert small(Search("toy", RATES, space, num_trials=2, sampler="grid"), {}).base.width == 1
        assert small(Search("toy", RATES, {"lr": LogUniform(1e-4, 1e-2)}, 4), {}).base.weights.startswith("run:")


class TestTheCommand:
    """What the flag refuses, and what a dry run says."""

    def test_a_folder_beside_it_is_refused(self, tmp_path: Path) -> None:
        """The recordings are invented; whoever names a folder means another command."""
        with pytest.raises(Refusal, match="leave out either --small or --data-root"):
            launch(SWEEP, ["--small", "--data-root", str(tmp_path), "--storage", str(tmp_path)])

    def test_a_corpus_that_cannot_be_invented_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With those that can."""
        with pytest.raises(SystemExit, match=r"^2$"):
            launch(SWEEP, ["--small", "--set", "corpus=birds", "--storage", str(tmp_path)])
        assert (
            "'birds': datasets/synthetic/ cannot invent this corpus; it has deepship, emodb" in capsys.readouterr().err
        )

    def test_a_dry_run_says_what_comes_before(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It writes nothing, and no trial is refused for a checkpoint that a run would make."""
        assert launch(SWEEP, ["--small", "--dry-run", "--storage", str(tmp_path)]) == COMPLETE
        said = capsys.readouterr().out
        assert "before   pre-training of 2 small networks on other invented recordings" in said
        assert "sweep    toy_small" in said
        assert "refused" not in said
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One storage, one Ray, and settings that are smaller still, for the miniatures of all studies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        patch.setattr(miniature, "WIDTH", 1 / 64)
        patch.setattr(miniature, "EVALUATIONS", 2)
        patch.setitem(miniature.TRAINING, "epochs", 1)
        patch.setitem(miniature.PRETRAINING, "epochs", 1)
        patch.setattr(deepship, "SMALL", {"num_per_class": 4, "seconds": (5, 5.9), "rate_hz": 8_000})
        patch.setattr(esc50, "SMALL", {"num_classes": 2, "rate_hz": 16_000})
        patch.setattr(folder, "SMALL", {"num_animals": 3})
        with cluster.kept():
            yield tmp_path_factory.mktemp("small")


@pytest.mark.ray
@pytest.mark.parametrize("name", NAMES)
def test_every_study_runs_in_miniature(
    name: str, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one seed, from the pre-training to the report, which is complete and says what it is of."""
    words = ["--small", "--seeds", "1", "--storage", str(storage), "--max-concurrent", "1"]
    study = planned(name)
    if isinstance(study, Search):
        words[2] = "7"  # the search itself has seed 1
        choices = {n: d.values[0] for n, d in list(study.space.items())[1:] if isinstance(d, Choice)}
        words[5:5] = [word for n, value in choices.items() for word in ("--set", f"{n}={value}")]  # a smaller grid
    assert launch(study, words) == COMPLETE, capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [name, *words[:-2]])
    monkeypatch.delitem(sys.modules, f"analysis.{name}", raising=False)  # another test's import, which runpy warns of
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module(f"analysis.{name}", run_name="__main__")
    report = storage / "reports" / f"{name}_small"
    assert "in miniature, on invented recordings" in (report / "report.html").read_text(encoding="utf-8")
    assert f"python -m analysis.{name} --small" in (report / "report.html").read_text(encoding="utf-8")
    assert (report / "table.csv").stat().st_size > 0
    assert not (storage / "reports" / name).exists()
