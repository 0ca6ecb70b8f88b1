"""Misspelt words are refused with a suggestion, and without loading torch."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.engine.command import main as report
from analysis.engine.kinds import Pivot
from analysis.engine.tables import labels
from analysis.inside.gradcam import main as gradcam
from sweeps import deepship_rates
from sweeps.engine.command.commandline import study_parser
from sweeps.engine.launch import main
from sweeps.engine.plan import grid
from sweeps.recipes.mohammadi import RATES
from tests.test_layout import ROOT, STUDIES

MISSPELT = [
    ("--set backbne=x", "backbone"),
    ("--set schedul.after=3", "schedule"),
    ("--set backbone=resnet18", "timm/resnet18.a1_in1k"),
    ("--set backbone=resnet50", "timm/resnet50.a1_in1k"),
    ("--set backbone=timm/resnet18", "timm/resnet18.a1_in1k"),
    ("--set backbone=tim/resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
    ("--set backbone=cnn41", "cnn14"),
    ("--set backbone=CNN14", "cnn14"),
    ("--set backbone=baseline/band", "baseline/bands"),
    ("--set corpus=deepshp", "deepship"),
    ("--data-rot x", "--data-root"),
    ("--classes Cargoo,Tug", "Cargo"),
    ("--classes Cargoo,Tgu", "Cargo, Tug"),
    ("--split vesel", "vessel"),
    ("--set augment=mixpu", "mixup"),
    ("--set augment=specaugment+mixpu", "mixup"),
    ("--set augment.mixpu.alpha=1", "mixup"),
    ("--set schedule=steps --set schedule.aftr=30", "after"),
    ("--set sampler=balancd", "balanced"),
    ("--set scale=minmx", "minmax"),
    ("--set keep_by=acuracy", "accuracy"),
]


@pytest.mark.parametrize(("words", "meant"), MISSPELT)
def test_a_misspelt_word_is_told_what_is_near(
    words: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suggestion is at the end of the message, which is short enough to read."""
    with pytest.raises(SystemExit) as end:
        main(deepship_rates.SWEEP, ["--dry-run", "--storage", str(tmp_path), *words.split()])
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert f"; did you mean {meant}?\n" in message
    assert len(message) < 320


@pytest.mark.parametrize("words", ["--set pretrain_hz=22050", "--set corpus=nowhere", "--set learning_rate=1"])
def test_what_is_near_to_nothing_is_told_nothing(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A correct name is not questioned, whatever else is wrong with the trial."""
    with pytest.raises(SystemExit):
        main(deepship_rates.SWEEP, ["--dry-run", "--storage", str(tmp_path), *words.split()])
    assert "did you mean" not in capsys.readouterr().err


def test_a_report_is_told_the_corpora_that_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is so if no run belongs to its trials."""
    words = ["--storage", str(tmp_path), "--set", "corpus=deepshp"]
    assert report(deepship_rates.SWEEP, "?", Pivot("data_hz", "pretrain_hz"), argv=words) == 2
    message = capsys.readouterr().err
    assert "datasets/ has no corpus of that name; it has deepship, " in message
    assert "; did you mean deepship?\n" in message


def test_a_misspelt_axis_is_told() -> None:
    """This holds where a study is written, and in its table."""
    with pytest.raises(TypeError, match=r"no field 'backbne'; it has .*; did you mean backbone\?"):
        grid(RATES, backbne=("cnn14",))
    with pytest.raises(ValueError, match=r"no field 'backbne'; .*; did you mean backbone\?"):
        labels.check("backbne")


def test_a_setting_of_what_is_no_part_is_refused() -> None:
    """This holds beside the field itself, too."""
    with pytest.raises(TypeError, match=r"no field 'seed\.after'"):
        RATES.but(**{"seed": 1, "seed.after": 3})


def test_a_misspelt_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Grad-CAM takes its name as an argument."""
    assert gradcam(["deepship_backbone", "--data-root", str(tmp_path), "--storage", str(tmp_path)]) == 2
    assert "; did you mean deepship_backbones?\n" in capsys.readouterr().err


@pytest.mark.slow
def test_a_misspelt_network_loads_no_torch() -> None:
    """The names of timm are read from its files."""
    program = (
        "import sys; from trainable.network.names import near; assert 'a1_in1k' in near('resnet18')\n"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("file", STUDIES)
def test_the_help_of_a_study_keeps_its_lines(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Question, arithmetic and each command are on separate lines, in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(f"sweeps.{Path(file).stem}")
    text = study_parser(module.SWEEP.name, module.__doc__).format_help()
    assert max(map(len, text.splitlines())) <= 80
    (arithmetic,) = re.findall(r"^.* = \d+ (?:trials|evaluations)$", module.__doc__, re.MULTILINE)
    assert f"\n\n{arithmetic}\n\n" in text
    for command in re.findall(r"^    python -m .*$", module.__doc__, re.MULTILINE):
        assert f"\n{command}\n" in text or f"\n{command[:50]}" in text
    assert " ".join(module.__doc__.split()) in " ".join(text.replace(" \\\n", " ").split())


@pytest.mark.slow
def test_the_help_of_a_table_is_its_docstring() -> None:
    """This is as for a study."""
    command = [sys.executable, "-m", "analysis.deepship_rates", "--help"]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}
    )
    assert max(map(len, run.stdout.splitlines())) <= 80
    assert "\nTable I and Fig. 2 of Mohammadi" in run.stdout
    assert "\n\npython -m analysis.deepship_rates\n\n" in run.stdout
