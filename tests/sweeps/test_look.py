"""A look at a plan runs nothing, loads nothing heavy, and uses the measurements."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Source
from datasets.synthetic.deepship import write as write_deepship
from sweeps.deepship_rates import SWEEP
from sweeps.engine import launch as launcher
from sweeps.engine import survey
from sweeps.engine.command.commandline import options_of, study_parser
from sweeps.engine.display.standing import duration
from sweeps.engine.forecast.cost import Cluster
from sweeps.engine.forecast.placement import Asked
from sweeps.engine.forecast.timings import versions
from sweeps.engine.launch import INCOMPLETE, launch
from sweeps.engine.plan import Sweep
from sweeps.engine.running import measure, tuner
from sweeps.engine.running.measure import Answer, Answers
from sweeps.engine.search.search import Search
from sweeps.learning_rate import SWEEP as SEARCH
from trainable.config import TrialConfig
from trainable.cost.cost import Measured, cell_of, epoch_flops
from trainable.weights import weights
from trainable.weights.weights import WrongWeights

ROOT = Path(__file__).resolve().parents[2]
HERE = f"toy, {versions()}"
MEASURED = Measured((2.0,), (0.1,), 0.0, 0.0, 0.0, 0.0, 9.5)
NARROW = ("--set", "weights=none", "--set", "width=0.0625", "--set", "epochs=2", "--limit", "4")


def play(trials: list[TrialConfig], storage: Path, asked: Asked) -> Answers:
    """Simulates a cluster of two cores, on which every step takes two seconds."""
    return Answers({cell_of(t): [Answer(HERE, MEASURED, 1.0)] for t in trials}, {}, Cluster(2))


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of four recordings, one clip each."""
    root = tmp_path_factory.mktemp("corpus") / "ships"
    write_deepship(root, num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    return root


def test_a_measurement_reads_measures_and_plans(
    ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """There are two cells, and four trials of two epochs; nothing is trained."""
    monkeypatch.setattr(measure, "_on_cluster", play)
    assert launch(SWEEP, ["--measure", "--data-root", str(ships), "--storage", str(tmp_path), *NARROW]) == 0
    output = capfd.readouterr().out
    assert "2 of 2 cells are measured" in output
    assert "2 of 2 cells measured on toy" in output
    assert "4 planned, 0 done, 4 to run" in output
    assert not (tmp_path / "trials").exists()


@pytest.mark.slow
def test_a_dry_run_after_it_loads_nothing(ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads neither torch nor Ray, though it knows the audio and the measurements."""
    monkeypatch.setattr(measure, "_on_cluster", play)
    words = ["--data-root", str(ships), "--storage", str(tmp_path), *NARROW]
    launch(SWEEP, ["--measure", *words])
    program = (
        "import sys\nfrom sweeps.engine.launch import launch\nfrom sweeps.deepship_rates import SWEEP\n"
        f"launch(SWEEP, ['--dry-run', *{words!r}])\n"
        "sys.exit(str([m for m in ('ray', 'torch', 'mlflow', 'pandas', 'scipy') if m in sys.modules]))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stderr == "[]\n"
    assert "2 of 2 cells measured on toy" in run.stdout


def test_what_cannot_start_is_said_with_its_remedy(ships: Path, tmp_path: Path) -> None:
    """The published checkpoints are missing: their trials are refused, and the plan is printed all the same."""
    words = ["--data-root", str(ships), "--storage", str(tmp_path), "--limit", "2"]
    options = options_of(study_parser(SWEEP.name).parse_args(words))
    plan = options.planned(SWEEP)
    source = Source(ships, tmp_path / "cache")
    for wanted in survey.all_wanted(plan.trials):
        survey.prepare.prepare(wanted, source)
    plan_now = survey.from_memory(plan, options)
    assert {t.key for t in plan.trials} == plan_now.refused.keys()
    assert "Cnn14_8k_mAP=0.416.pth is missing" in next(iter(plan_now.refused.values()))
    assert plan_now.inputs == {}


class TestWithoutACorpus:
    def test_says_what_is_missing_and_what_is_unknown(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Three checkpoints are missing, unknown figures are not invented, and it is not a refusal."""
        assert launch(SWEEP, ["--dry-run", "--storage", str(tmp_path)]) == 0
        output = capfd.readouterr().out
        assert output.count("18 trials: cnn14 pre-trained at") == 3
        assert output.count(" is missing; ") == 3
        assert "54 planned; how many are done is unknown: name the corpus with --data-root" in output
        assert "0.00 GB" not in output

    def test_counts_the_trials_of_a_search(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """It counts those to be proposed, and those that confirm the best."""
        assert launch(SEARCH, ["--dry-run", "--storage", str(tmp_path), "--limit", "7", "--seeds", "201-202"]) == 0
        output = capfd.readouterr().out
        assert "trials   7 evaluations and 2 confirmations planned\n" in output
        assert "1 planned" not in output
        assert "0.65 GB of kept weights" in output  # of the two: evaluations keep none

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--set", "corpus=nowhere"], "it has deepship, "),
            (["--split", "vesel"], "split='vesel': deepship can be split by recording, published, day, vessel"),
            (["--set", "corpus=esc50", "--split", "vessel"], "can be split by recording, published, fold, source"),
            (["--split", "published"], "name the authors' file with --split-file split_indices.txt"),
            (["--classes", "Cargo,Submarine"], "no class Submarine; there are Cargo, Passengership, Tanker, Tug"),
        ],
    )
    @pytest.mark.parametrize("sweep", [SWEEP, SEARCH])
    def test_refuses_what_no_folder_can_put_right(
        self, sweep: Sweep | Search, words: list[str], told: str, tmp_path: Path
    ) -> None:
        """The corpus's own file decides, for a plan and for a start."""
        for more in (["--dry-run"], []):
            with pytest.raises(CorpusError, match=re.escape(told)):
                launch(sweep, [*words, *more, "--storage", str(tmp_path)])
        assert not list(tmp_path.iterdir())

    def test_takes_what_only_a_folder_can_tell(self, tmp_path: Path) -> None:
        """Examples are a class in ESC-50's table, and the published split of a corpus that needs no file."""
        words = ["--set", "corpus=esc50", "--split", "published", "--classes", "dog,cat"]
        assert launch(SWEEP, [*words, "--dry-run", "--storage", str(tmp_path)]) == 0


def test_a_search_is_forecast_by_what_stands_for_its_trials(
    ships: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Eight evaluations, four at once on eight cores, then three confirmations, at the assumed speed."""
    source = Source(ships, tmp_path / "cache")
    for wanted in survey.all_wanted((SEARCH.base,)):
        survey.prepare.prepare(wanted, source)
    words = ["--data-root", str(ships), "--storage", str(tmp_path), "--tflops", "0.001", "--cpus", "8", "--limit", "8"]
    assert launch(SEARCH, ["--dry-run", *words, "--set", "epochs=1"]) == 0
    one_s = (epoch_flops(dataclasses.replace(SEARCH.base, epochs=1), 8, 4) or 0) / 1e9
    output = capfd.readouterr().out
    assert f"time     {duration(3 * one_s)} " in output
    assert "planned " not in output.replace("confirmations planned", "")


def test_a_budget_that_cannot_be_kept_is_refused(
    ships: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The refusal comes before anything is trained, because the times of trials are unknown."""
    words = ["--data-root", str(ships), "--storage", str(tmp_path), *NARROW, "--budget", "1cpu-h"]
    with pytest.raises(survey.estimate.NoBudget, match="--measure"):
        launch(SWEEP, words)
    assert not (tmp_path / "trials").exists()


@pytest.mark.slow
def test_a_dry_run_remembers_no_digest_and_a_start_does(
    ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It concerns an unknown checkpoint; a bit that flips after its first use stops the next start, in words."""
    key = "0123456789ab"
    checkpoint, memory = (tmp_path / "weights" / f"{key}.pt{suffix}" for suffix in ("", ".sha256"))
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")
    checks = SimpleNamespace(raise_known=lambda wait_s=0.0: None)
    monkeypatch.setattr(launcher, "joined", lambda *asked: checks)
    monkeypatch.setattr(tuner, "run", lambda *asked: asked[-1]())  # a worker is ready
    words = ["--data-root", str(ships), "--storage", str(tmp_path), "--set", f"weights=run:{key}", "--limit", "1"]
    assert launch(SWEEP, [*words, "--dry-run"]) == 0
    assert not memory.exists()
    assert launch(SWEEP, words) == INCOMPLETE
    digest = weights.sha256(checkpoint)
    assert memory.read_text() == f"{digest}  {checkpoint.name}\n"
    checkpoint.write_bytes(b"wEights")
    with pytest.raises(WrongWeights, match=f"instead of {digest}, which it had at its first use"):
        launch(SWEEP, words)
    capfd.readouterr()
    assert launch(SWEEP, [*words, "--dry-run"]) == 0
    assert f"instead of {digest}" in capfd.readouterr().out
