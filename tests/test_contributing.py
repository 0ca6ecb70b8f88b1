"""What CONTRIBUTING.md shows works as it stands: its files pass the lint, its study is planned, and a trial learns."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
FILES = re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
FOLDERS = ("analysis", "datasets", "sweeps", "trainable")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house with the page's files in it."""
    house = tmp_path_factory.mktemp("house")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", house)
    for name, text in FILES:
        assert not (house / name).exists(), name
        (house / name).write_text(text, encoding="utf-8")
    return house


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two species of ten animals, whose calls are noise and a tone."""
    root, random = tmp_path_factory.mktemp("calls"), np.random.default_rng(0)
    for species in ("cricket", "frog"):
        (root / species).mkdir()
        for animal in range(10):
            noise = 0.1 * random.standard_normal(2 * RATE_HZ)
            tone = 0.3 * np.sin(2 * np.pi * 3_000 * np.arange(len(noise)) / RATE_HZ) * (species == "cricket")
            soundfile.write(root / species / f"{species}{animal}-1.wav", np.clip(noise + tone, -1, 1), RATE_HZ)
    return root


def told(house: Path, *words: str) -> str:
    """What a command prints in the copied house."""
    environment = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, *words], cwd=house, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_a_file_for_each_idea() -> None:
    """The folders are those of a score, a corpus, its writer, a backbone, a study and its report."""
    folders = ["trainable/scores", "datasets", "datasets/synthetic", "trainable/backbones", "sweeps", "analysis"]
    assert [Path(name).parent.as_posix() for name, _ in FILES] == folders


def test_its_files_pass_the_lint(house: Path) -> None:
    """With the house's own settings."""
    told(house, "-m", "ruff", "check", "--no-cache", *(name for name, _ in FILES))


def test_its_study_is_planned(house: Path, calls: Path, tmp_path: Path) -> None:
    """Twelve trials of the new network, on the new corpus, by the new score."""
    said = told(house, "-m", "sweeps.tiny_rates", "--dry-run", "--data-root", str(calls), "--storage", str(tmp_path))
    assert "12 planned" in said
    assert "tiny/two" in said


def test_its_study_has_a_miniature(house: Path, tmp_path: Path) -> None:
    """The corpus is invented by its writer, and understood by its reader."""
    said = told(house, "-m", "sweeps.tiny_rates", "--small", "--dry-run", "--storage", str(tmp_path))
    assert "sweep    tiny_rates_small" in said
    assert "48 calls" in told(
        house, "-m", "datasets.synthetic", "calls", str(tmp_path / "c"), "--calls-per-animal", "2"
    )
    page = told(
        house, "-m", "datasets.check", "calls", "--data-root", str(tmp_path / "c"), "--cache-dir", str(tmp_path)
    )
    assert "animal" in page


def test_a_trial_of_it_learns(house: Path, calls: Path, tmp_path: Path) -> None:
    """It tells a tone from noise, and leaves the new score."""
    program = """
import sys
from pathlib import Path
from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source, Wanted
from sweeps.tiny_rates import SWEEP
from trainable import trial
from trainable.device.place import Place
data, folder = map(Path, sys.argv[1:])
config = SWEEP.trials[0].but(epochs=8, lr=1e-2)
source = Source(data, folder / "cache")
prepared = prepare.prepare(Wanted("calls", (), "animal", 1.0), source)
(clips,) = prepare.clips(prepared, [config.data_hz], 1.0, source).values()
scan = manifest.write(prepared.scan, folder / "scans")
place = Place(clips, splits.write(prepared.split, folder / "splits"), None, folder / "trial", scan=scan)
print(trial.run(config, place, lambda row: None)["test_worst_recall"])
"""
    assert float(told(house, "-c", program, str(calls), str(tmp_path)).split()[-1]) == 1.0
