"""`python -m sweeps`, `datasets` and `trainable` list what there is, in a terminal of 80 columns, in no time."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.__main__ import listing as corpora
from datasets.engine.corpus import corpora as corpus_names
from sweeps.__main__ import listing as studies
from sweeps.__main__ import main as run_studies
from sweeps.engine.search.search import Search
from tests.test_layout import STUDIES
from trainable.__main__ import listing as networks
from trainable.__main__ import main as trainable
from trainable.network import names
from trainable.network.card import card

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "timm", "ray", "mlflow", "optuna", "pandas", "matplotlib", "sklearn", "scipy")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sweeps", "datasets", "trainable"])
def test_a_listing_is_narrow_and_loads_nothing_heavy(package: str) -> None:
    """At most 80 columns, but for a path; no torch."""
    program = (
        f"import sys; from {package}.__main__ import main; main([])\n"
        f"sys.exit(str([name for name in {HEAVY} if name in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stderr == "[]\n"
    wide = [line for line in run.stdout.splitlines() if len(line) > 80 and not line.startswith("/")]
    assert wide == []


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sweeps", "datasets", "trainable"])
def test_a_listing_is_a_command(package: str) -> None:
    """With help."""
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", package, "--help"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"\n\npython -m {package}\n" in run.stdout


@pytest.mark.parametrize("file", STUDIES)
def test_every_study_is_listed_with_its_question(file: str) -> None:
    """And how many trials it has."""
    module = importlib.import_module(f"sweeps.{Path(file).stem}")
    (line,) = [line for line in studies().splitlines() if line.startswith(f"{Path(file).stem} ")]
    sweep = module.SWEEP
    searched = isinstance(sweep, Search)
    num = f"{sweep.num_trials} + {len(sweep.confirm_seeds)}" if searched else str(len(sweep.trials))
    assert f" {num}  {module.__doc__[:20]}" in line


def test_every_corpus_is_listed() -> None:
    """With its classes, where every copy has the same, and the ways to split it."""
    said = corpora()
    assert all(f"\n{name} " in said for name in corpus_names())
    assert "classes: Cargo, Passengership, Tanker, Tug" in said
    assert "splits: recording, fold, source, published" in said


def test_every_network_is_listed(tmp_path: Path) -> None:
    """One row for each file of weights, with what a plan knows of it."""
    said = networks(tmp_path)
    rows = [line.split() for line in said.splitlines()]
    for family in names.families():
        for name in names.names(family):
            assert any(row[:1] == [name] for row in rows)
    assert ["cnn14", "logmel", "8", "80.8", "no", "CC", "BY", "4.0"] in rows
    assert ["timm/resnet50.a1_in1k", "logmel", "any", "25.6", "no", "Apache-2.0"] in rows
    assert "others of timm, such as timm/" in said


def test_weights_that_are_here_are_told(tmp_path: Path) -> None:
    """By the name that they must have."""
    (tmp_path / card("cnn14", 16_000).passport.file).touch()
    rows = [line.split() for line in networks(tmp_path).splitlines()]
    assert {row[2]: row[4] for row in rows if row[:1] == ["cnn14"]} == {"8": "no", "16": "yes", "32": "no"}


def test_a_folder_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As a study refuses it."""
    assert trainable(["--weights-dir", "\0"]) == 2
    assert "--weights-dir" in capsys.readouterr().err


def test_several_studies_are_run_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the command, with the same flags."""
    with pytest.raises(SystemExit) as ended:
        run_studies(["from_scratch", "deepship_rates", "--dry-run", "--seeds", "1"])
    assert ended.value.code == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[1] for words in lines if words[:1] == ["sweep"]] == ["from_scratch", "deepship_rates"]
    assert [words[1] for words in lines if words[:1] == ["trials"]] == ["2", "18"]


def test_a_study_after_one_that_is_refused_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the one that is refused."""
    with pytest.raises(SystemExit) as ended:
        run_studies(["from_scratch", "deepship_rates", "--data-root", "/nowhere", "--small"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("from_scratch: --small")


def test_a_misspelt_study_is_answered_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs, not even the studies before it."""
    with pytest.raises(SystemExit) as ended:
        run_studies(["from_scratch", "deepship_rate", "--dry-run"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no study deepship_rate; " in said.err
    assert said.err.endswith("; did you mean deepship_rates?\n")
