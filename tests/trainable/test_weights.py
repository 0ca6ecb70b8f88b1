"""A checkpoint is found or asked for, is refused unless it is the right one, and cannot run code."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainable import weights
from trainable.backbones import panns
from trainable.config import TrialConfig
from trainable.weights import MissingWeights, WrongWeights

ROOT = Path(__file__).parents[2]
CONFIG = TrialConfig(corpus="deepship", backbone="cnn14", pretrain_hz=32_000, data_hz=32_000, augment="none", seed=1)
KEY = "0123456789ab"


def config(weights: str = "published", **fields: Any) -> TrialConfig:
    return dataclasses.replace(CONFIG, weights=weights, **fields)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Makes a small file the published one of CNN14 at 32 kHz, and returns its bytes."""
    content = b"the right file"
    published_file = ("net.pth", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(panns.CHECKPOINTS, ("cnn14", 32_000), published_file)
    return content


class TestLocate:
    def test_random_weights_need_no_file(self, tmp_path: Path) -> None:
        """weights=none has no checkpoint."""
        assert weights.locate(config("none"), tmp_path, tmp_path) is None

    def test_published_file_is_found_by_its_name(self, tmp_path: Path, known: bytes) -> None:
        """The right bytes under the published name are accepted."""
        (tmp_path / "net.pth").write_bytes(known)
        assert weights.locate(config(), tmp_path, tmp_path) == tmp_path / "net.pth"

    def test_missing_file_says_all_that_is_needed(self, tmp_path: Path) -> None:
        """File, source, size, digest, licence and the folder stand in the error."""
        passport = CONFIG.card.passport
        with pytest.raises(MissingWeights) as caught:
            weights.locate(config(), tmp_path, tmp_path)
        wanted = (passport.file, passport.source, "327,428,481 bytes", passport.sha256, passport.licence, tmp_path)
        assert all(str(word) in str(caught.value) for word in wanted)

    @pytest.mark.parametrize(
        ("content", "told"),
        [(b"too short", "has 9 bytes instead of 14"), (b"the wrong file", "has sha256 .* instead of")],
    )
    def test_another_file_under_the_name_is_refused(
        self, tmp_path: Path, known: bytes, content: bytes, told: str
    ) -> None:
        """A size or digest that differs from the passport's is refused with both values."""
        (tmp_path / "net.pth").write_bytes(content)
        with pytest.raises(WrongWeights, match=told):
            weights.locate(config(), tmp_path, tmp_path)

    def test_run_is_found_by_its_key(self, tmp_path: Path) -> None:
        """run:KEY is what the finished trial left; a file in the weights folder goes before it."""
        weights_dir, runs_dir = tmp_path / "weights", tmp_path / "runs"
        left = runs_dir / f"{KEY}-0a1b2c3d" / "best.pt"
        for path in (left, weights_dir / f"{KEY}.pt"):
            path.parent.mkdir(parents=True)
        left.touch()
        assert weights.locate(config(f"run:{KEY}"), weights_dir, runs_dir) == left
        (weights_dir / f"{KEY}.pt").touch()
        assert weights.locate(config(f"run:{KEY}"), weights_dir, runs_dir) == weights_dir / f"{KEY}.pt"

    def test_unfinished_run_is_missing(self, tmp_path: Path) -> None:
        """A trial that left no best.pt is asked for by its key."""
        (tmp_path / f"{KEY}-0a1b2c3d").mkdir()
        with pytest.raises(MissingWeights, match=f"run:{KEY}"):
            weights.locate(config(f"run:{KEY}"), tmp_path, tmp_path)

    def test_run_on_several_inputs_is_ambiguous(self, tmp_path: Path) -> None:
        """Two checkpoints of one key are both named, and none is chosen."""
        for inputs in ("0a1b2c3d", "4e5f6071"):
            (tmp_path / f"{KEY}-{inputs}").mkdir()
            (tmp_path / f"{KEY}-{inputs}" / "best.pt").touch()
        with pytest.raises(WrongWeights, match=r"0a1b2c3d.*4e5f6071"):
            weights.locate(config(f"run:{KEY}"), tmp_path, tmp_path)


class TestCheck:
    def test_gives_the_file_of_every_trial(self, tmp_path: Path, known: bytes) -> None:
        """By the trial's key, None for random weights."""
        (tmp_path / "net.pth").write_bytes(known)
        assert weights.check([config(), config("none")], tmp_path, tmp_path) == {
            config().key: tmp_path / "net.pth",
            config("none").key: None,
        }

    def test_tells_all_problems_at_once_and_each_once(self, tmp_path: Path) -> None:
        """Nine trials that need three missing files and one wrong one give four lines."""
        (tmp_path / CONFIG.card.passport.file).write_bytes(b"cut off")
        trials = [config(pretrain_hz=hz, seed=s) for hz in (8_000, 16_000, 32_000) for s in (1, 2)]
        trials += [config(f"run:{KEY}", seed=s) for s in (1, 2, 3)]
        with pytest.raises(MissingWeights) as caught:
            weights.check(trials, tmp_path, tmp_path)
        lines = str(caught.value).splitlines()
        assert len(lines) == 4
        assert ["instead of" in line for line in lines] == [False, False, True, False]

    def test_only_wrong_files_are_wrong_weights(self, tmp_path: Path, known: bytes) -> None:
        """Where nothing is missing the error is of the other kind."""
        (tmp_path / "net.pth").write_bytes(b"the wrong file")
        with pytest.raises(WrongWeights):
            weights.check([config(), config("none")], tmp_path, tmp_path)


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    """The digest is the content's, also after other content of the same size has taken its place."""
    path = tmp_path / "file"
    for second, content in enumerate((b"one", b"two"), start=1):
        path.write_bytes(content)
        os.utime(path, (second, second))
        assert weights.sha256(path) == hashlib.sha256(content).hexdigest()


def test_import_loads_no_torch() -> None:
    """A plan can ask for its files in milliseconds."""
    code = "import sys, trainable.weights, trainable.backbones.panns; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
