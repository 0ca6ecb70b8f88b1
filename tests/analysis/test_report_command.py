"""The command of a table on a real MLflow store: exit codes, files, and refusals in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.deepship_rates import SWEEP
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run

ROOT = Path(__file__).parents[2]
RATES = Pivot(down="data_hz", across="pretrain_hz")


@pytest.fixture
def store(sweep: Sweep, complete: list[Run], tmp_path: Path, fill_store: Callable[[Path, list[Run]], str]) -> str:
    """A store in which seeds 1 and 2 have finished, and seed 3 has not run."""
    runs = [run for run, trial in zip(complete, sweep.trials, strict=True) if trial.seed < 3]
    return fill_store(tmp_path / "store", runs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_the_command_says_by_its_exit_code_what_it_found(
    sweep: Sweep, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is 3, with a report that says so, while a seed is missing; 0 if all seeds are there; 2 if there is no run."""
    flags = ["--store", store, "--out", str(tmp_path / "out")]
    assert main(sweep, "Is it so?", RATES, published="deepship_rates", argv=flags) == 3
    assert "2 of 3 seeds: missing 3" in capsys.readouterr().out
    assert "2 of 3 seeds: missing 3" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "out")

    two = [*flags, "--seeds", "1,2", "--margin", "5"]
    assert main(sweep, "Is it so?", RATES, published="deepship_rates", argv=two) == 0
    printed = capsys.readouterr().out
    assert "n = 2 seeds" in printed
    assert "±5 points" in printed
    assert "python -m analysis.toy_rates --store" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "out")

    assert main(sweep, "Is it so?", RATES, argv=[*flags, "--set", "epochs=7"]) == 2
    assert "8 runs with --set epochs=100" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_a_notebook_starts_it(
    make_run: Callable[..., Run], tmp_path: Path, fill_store: Callable[[Path, list[Run]], str], backend: str
) -> None:
    """Its backend is passed to every command: the report is written with its figure, and without a message about it."""
    store = fill_store(tmp_path / "store", [make_run(trial) for trial in SWEEP.trials[:3]])
    words = ["--store", store, "--storage", str(tmp_path), "--out", str(tmp_path / "out"), "--limit", "3"]
    command = [sys.executable, "-m", "analysis.deepship_rates", *words]
    run = subprocess.run(command, env={**os.environ, "MPLBACKEND": backend}, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "not attached: the store has no run of the sweep itself\n")
    assert (tmp_path / "out" / "figure.png").is_file()
