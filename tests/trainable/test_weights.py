"""A checkpoint is found or asked for, refused unless it is the right one, and cannot run code."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from sweeps.recipes.mohammadi import RATES
from trainable import fetch
from trainable.backbones import panns
from trainable.config import TrialConfig
from trainable.result import record
from trainable.weights import weights
from trainable.weights.weights import MissingWeights, WrongWeights

ROOT = Path(__file__).parents[2]
CONFIG = RATES.but(augment="none")
KEY = "0123456789ab"


def config(weights: str = "published", **fields: Any) -> TrialConfig:
    return dataclasses.replace(CONFIG, weights=weights, **fields)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Makes a small file the published checkpoint of CNN14 at 32 kHz, and returns its bytes."""
    content = b"the right file"
    published_file = ("net.pth", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(panns.CHECKPOINTS, ("cnn14", 32_000), published_file)
    return content


class TestLocate:
    def test_random_weights_need_no_file(self, tmp_path: Path) -> None:
        """With weights=none there is no checkpoint."""
        assert weights.locate(config("none"), tmp_path, tmp_path) is None

    def test_published_file_is_found_by_its_name(self, tmp_path: Path, published: bytes) -> None:
        """The right bytes under the published name are accepted."""
        (tmp_path / "net.pth").write_bytes(published)
        assert weights.locate(config(), tmp_path, tmp_path) == tmp_path / "net.pth"

    def test_missing_file_says_all_that_is_needed(self, tmp_path: Path) -> None:
        """The error has file, source, size, digest, licence and folder."""
        passport = CONFIG.card.passport
        with pytest.raises(MissingWeights) as caught:
            weights.locate(config(), tmp_path, tmp_path)
        facts = (passport.file, passport.source, "327,428,481 bytes", passport.sha256, passport.licence, tmp_path)
        assert all(str(word) in str(caught.value) for word in facts)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"too short", "has 9 bytes instead of 14"), (b"the wrong file", "has sha256 .* instead of")],
    )
    def test_another_file_under_the_name_is_refused(
        self, tmp_path: Path, published: bytes, content: bytes, message: str
    ) -> None:
        """If size or digest differ from the passport, the error has both values."""
        (tmp_path / "net.pth").write_bytes(content)
        with pytest.raises(WrongWeights, match=message):
            weights.locate(config(), tmp_path, tmp_path)

    def test_run_is_found_by_its_key(self, tmp_path: Path) -> None:
        """run:KEY is the finished trial's checkpoint, unless the weights folder has a file for it."""
        weights_dir, runs_dir = tmp_path / "weights", tmp_path / "runs"
        checkpoint = runs_dir / f"{KEY}-0a1b2c3d" / "best.pt"
        for path in (checkpoint, weights_dir / f"{KEY}.pt"):
            path.parent.mkdir(parents=True)
        checkpoint.touch()
        assert weights.locate(config(f"run:{KEY}"), weights_dir, runs_dir) == checkpoint
        (weights_dir / f"{KEY}.pt").touch()
        assert weights.locate(config(f"run:{KEY}"), weights_dir, runs_dir) == weights_dir / f"{KEY}.pt"

    def test_unfinished_run_is_missing(self, tmp_path: Path) -> None:
        """A trial without best.pt is named by its key."""
        (tmp_path / f"{KEY}-0a1b2c3d").mkdir()
        with pytest.raises(MissingWeights, match=f"run:{KEY}"):
            weights.locate(config(f"run:{KEY}"), tmp_path, tmp_path)

    def test_run_on_several_inputs_is_ambiguous(self, tmp_path: Path) -> None:
        """Two checkpoints with one key are both named, and none is chosen."""
        for inputs in ("0a1b2c3d", "4e5f6071"):
            (tmp_path / f"{KEY}-{inputs}").mkdir()
            (tmp_path / f"{KEY}-{inputs}" / "best.pt").touch()
        with pytest.raises(WrongWeights, match=r"0a1b2c3d.*4e5f6071"):
            weights.locate(config(f"run:{KEY}"), tmp_path, tmp_path)


class TestCheck:
    def test_gives_the_file_of_every_trial(self, tmp_path: Path, published: bytes) -> None:
        """Files are returned by the trial's key, with None for random weights."""
        (tmp_path / "net.pth").write_bytes(published)
        assert weights.check([config(), config("none")], tmp_path, tmp_path) == {
            config().key: tmp_path / "net.pth",
            config("none").key: None,
        }

    def test_tells_all_problems_at_once_and_each_once(self, tmp_path: Path) -> None:
        """Nine trials with three missing files and one wrong one give four lines."""
        (tmp_path / CONFIG.card.passport.file).write_bytes(b"cut off")
        trials = [config(pretrain_hz=hz, seed=s) for hz in (8_000, 16_000, 32_000) for s in (1, 2)]
        trials += [config(f"run:{KEY}", seed=s) for s in (1, 2, 3)]
        with pytest.raises(MissingWeights) as caught:
            weights.check(trials, tmp_path, tmp_path)
        lines = str(caught.value).splitlines()
        assert ["instead of" in line for line in lines[:4]] == [False, False, True, False]
        assert [line.split()[0] for line in lines[5:]] == ["mkdir", "curl", "curl", "echo"]

    def test_only_wrong_files_are_wrong_weights(self, tmp_path: Path, published: bytes) -> None:
        """If nothing is missing, the error has the other type."""
        (tmp_path / "net.pth").write_bytes(b"the wrong file")
        with pytest.raises(WrongWeights):
            weights.check([config(), config("none")], tmp_path, tmp_path)


class TestCommands:
    """The commands for a missing checkpoint, as a shell reads them."""

    @staticmethod
    def commands(trial: TrialConfig, weights_dir: Path) -> list[list[str]]:
        with pytest.raises(MissingWeights) as caught:
            weights.locate(trial, weights_dir, weights_dir)
        lines = [line.strip() for line in str(caught.value).splitlines()]
        assert lines[-len(caught.value.commands) :] == list(caught.value.commands)
        return [shlex.split(command, comments=True) for command in caught.value.commands]

    def test_a_pann_comes_from_its_record(self, tmp_path: Path) -> None:
        """Folder, download and check work even if the folder has a space and a quote in its name."""
        folder, file = tmp_path / "it's here", "Cnn14_mAP=0.431.pth"
        mkdir, download, check = self.commands(config(), folder)
        assert mkdir == ["mkdir", "-p", str(folder)]
        url = "https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth?download=1"
        assert download == ["curl", "-L", "--fail", "--continue-at", "-", "-o", str(folder / file), url]
        assert check == ["echo", f"{CONFIG.card.passport.sha256}  {folder / file}", "|", "sha256sum", "--check"]

    @pytest.mark.parametrize(("backbone", "hz"), panns.CHECKPOINTS)
    def test_every_pann_has_one(self, tmp_path: Path, backbone: str, hz: int) -> None:
        """The address ends with the file's name; without a published digest there is no check."""
        trial = config(backbone=backbone, pretrain_hz=hz)
        _, download, *checked = self.commands(trial, tmp_path)
        assert unquote(download[-1]).removesuffix("?download=1").endswith(f"/files/{trial.card.passport.file}")
        assert len(checked) == (trial.card.passport.sha256 is not None)

    def test_a_network_of_timm_comes_through_the_hubs_cache(self, tmp_path: Path) -> None:
        """The name of its file there is its digest."""
        expected = [["hf", "download", "timm/resnet50.a1_in1k", "model.safetensors"]]
        assert self.commands(config(backbone="timm/resnet50.a1_in1k"), tmp_path) == expected

    @pytest.mark.slow
    def test_one_that_lies_elsewhere_comes_through_timm(self, tmp_path: Path) -> None:
        """timm loads it, and the command saves it to the expected place."""
        _, (python, _, program, path) = self.commands(config(backbone="timm/legacy_seresnet18.in1k"), tmp_path)
        assert (python, path) == (sys.executable, str(tmp_path / "legacy_seresnet18.in1k.safetensors"))
        compile(program, "command", "exec")
        assert "timm.create_model('legacy_seresnet18.in1k', pretrained=True)" in program

    @pytest.mark.parametrize(
        ("backbones", "rates_hz", "told"),
        [
            (("cnn14",), (16_000,), "cnn14 --pretrain-hz 16000"),
            (("cnn14",), (8_000, 16_000), "cnn14"),
            (("timm/resnet50.a1_in1k",), (32_000,), "timm/resnet50.a1_in1k"),
            (("timm/resnet50.a1_in1k", "cnn10"), (32_000,), "timm/resnet50.a1_in1k cnn10 --pretrain-hz 32000"),
        ],
    )
    def test_this_project_gets_all_of_them(
        self, tmp_path: Path, backbones: tuple[str, ...], rates_hz: tuple[int, ...], told: str
    ) -> None:
        """In one command, which `trainable.fetch` understands."""
        trials = [config(backbone=name, pretrain_hz=hz) for name in backbones for hz in rates_hz]
        with pytest.raises(MissingWeights) as caught:
            weights.check(trials, tmp_path / "it's here", tmp_path)
        (command,) = re.findall(r"\(or `python -m trainable.fetch (.*)`\)", str(caught.value))
        folder = shlex.quote(str(tmp_path / "it's here"))
        assert command == f"{told} --weights-dir {folder}"
        assert fetch.main([*shlex.split(command), "--print"]) == 0

    def test_a_shell_reads_them(self, tmp_path: Path) -> None:
        """With a `curl` that writes the right bytes, every command succeeds and the file is found."""
        folder, tools = tmp_path / "it's here", tmp_path / "bin"
        tools.mkdir()
        (tools / "curl").write_text('#!/bin/sh\nprintf "the right file" > "$6"\n')
        (tools / "curl").chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            content = b"the right file"
            digest = hashlib.sha256(content).hexdigest()
            patch.setitem(panns.CHECKPOINTS, ("cnn14", 32_000), ("net.pth", len(content), digest))
            with pytest.raises(MissingWeights) as caught:
                weights.locate(config(), folder, tmp_path)
            script = "\n".join(["set -e", *caught.value.commands])
            environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
            subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True)
            assert weights.locate(config(), folder, tmp_path) == folder / "net.pth"


class TestFirstUse:
    """A file without a published digest keeps the one from its first use."""

    CNN6 = config(backbone="cnn6")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "weights" / self.CNN6.card.passport.file
        path.parent.mkdir()
        path.write_bytes(bytes(range(256)) * 16)
        return path

    def locate(self, file: Path, trial: TrialConfig = CNN6) -> Path | None:
        return weights.locate(trial, file.parent, file.parents[1] / "storage" / "trials")

    def remember(self, file: Path, trial: TrialConfig = CNN6) -> None:
        weights.remember([trial], {trial.key: file}, file.parent, file.parents[1] / "storage" / "trials")

    def test_looking_writes_nothing(self, file: Path) -> None:
        """A dry run only reads."""
        assert self.locate(file) == file
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    def test_every_flipped_bit_is_refused_afterwards(self, file: Path) -> None:
        """The error has both digests and the remedies; an unchanged file is accepted."""
        self.remember(file)
        content, rng = file.read_bytes(), np.random.default_rng(0)
        for second, place in enumerate(rng.integers(0, len(content), size=60), start=1):
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            file.write_bytes(flipped)
            os.utime(file, (second, second))
            with pytest.raises(
                WrongWeights, match=r"has sha256 (\w{64}) instead of (?!\1)\w{64}, which it had"
            ) as caught:
                self.locate(file)
            assert f"remove {file}.sha256 if it was replaced on purpose" in str(caught.value)
            assert f"get it again from {panns.SOURCE}" in str(caught.value)
        file.write_bytes(content)
        assert self.locate(file) == file

    def test_sha256sum_reads_it(self, file: Path) -> None:
        """The digest is in a file beside it."""
        self.remember(file)
        command = ["sha256sum", "--check", f"{file.name}.sha256"]
        run = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=True)
        assert run.stdout == f"{file.name}: OK\n"

    def test_where_the_folder_is_only_read_the_storage_remembers(self, file: Path) -> None:
        """A digest in the storage is checked too."""
        (blocked := file.with_name(f"{file.name}.sha256")).mkdir()
        self.remember(file)
        memory = file.parents[1] / "storage" / "weights" / blocked.name
        assert memory.read_text() == f"{weights.sha256(file)}  {file}\n"
        assert {path.name for path in file.parent.iterdir()} == {file.name, blocked.name}
        file.write_bytes(b"another file")
        with pytest.raises(WrongWeights, match=f"remove {memory} if"):
            self.locate(file)

    def test_the_first_use_counts(self, file: Path) -> None:
        """A later use writes nothing, and a digest that the publisher puts beside the file is used as it is."""
        memory = file.with_name(f"{file.name}.sha256")
        text = f"SHA256 ({file.name}) = {weights.sha256(file).upper()}\n"
        memory.write_text(text)
        self.remember(file)
        assert self.locate(file) == file
        assert memory.read_text() == text

    def test_a_digest_that_is_none_is_refused(self, file: Path) -> None:
        """The message has the remedy."""
        memory = file.with_name(f"{file.name}.sha256")
        memory.write_text("not found\n")
        with pytest.raises(WrongWeights, match=f"{memory}: holds no sha256; remove it"):
            self.locate(file)

    def test_published_digests_need_no_memory(self, file: Path, published: bytes) -> None:
        """The passport is checked every time."""
        path = file.with_name("net.pth")
        path.write_bytes(published)
        self.remember(path, config())
        assert {path.name for path in file.parent.iterdir()} == {file.name, "net.pth"}

    def test_a_copied_run_is_remembered_too(self, file: Path) -> None:
        """KEY.pt has no record beside it."""
        trial, path = config(f"run:{KEY}"), file.with_name(f"{KEY}.pt")
        path.write_bytes(b"weights")
        self.remember(path, trial)
        path.write_bytes(b"damaged")
        with pytest.raises(WrongWeights, match="which it had at its first use"):
            self.locate(path, trial)


def test_a_damaged_run_starts_no_other(tmp_path: Path) -> None:
    """A trial's files are compared with its record, which may be damaged itself."""
    folder = tmp_path / f"{KEY}-0a1b2c3d"
    (attempt := folder / "attempt-1").mkdir(parents=True)
    (attempt / "best.pt").write_bytes(b"weights")
    files = {"best.pt": weights.sha256(attempt / "best.pt")}
    committed = record.Record(KEY, {}, {}, {}, [], {}, attempt.name, files, {"best.pt": len(b"weights")})
    record.put_in_place(folder, record.commit(folder, committed))
    trial, best = config(f"run:{KEY}"), folder / "best.pt"
    assert weights.locate(trial, tmp_path, tmp_path) == best
    weights.remember([trial], {trial.key: best}, tmp_path, tmp_path / "trials")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    best.write_bytes(b"Weights")
    with pytest.raises(
        WrongWeights, match=rf"best\.pt: has sha256 .* instead of {files['best.pt']} in record\.json; put"
    ):
        weights.locate(trial, tmp_path, tmp_path)
    (folder / record.FILE).write_text("{}")
    with pytest.raises(WrongWeights, match=r"record\.json: is damaged"):
        weights.locate(trial, tmp_path, tmp_path)


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    """The digest follows the content, even if the new content has the same size."""
    path = tmp_path / "file"
    for second, content in enumerate((b"one", b"two"), start=1):
        path.write_bytes(content)
        os.utime(path, (second, second))
        assert weights.sha256(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_import_loads_no_torch() -> None:
    """A plan can find its files in milliseconds."""
    code = "import sys, trainable.weights.weights, trainable.backbones.panns; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
