"""A checkpoint is found or asked for, is refused unless it is the right one, and cannot run code."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainable import weights
from trainable.backbones import panns
from trainable.backbones.panns_networks import PannCnn
from trainable.card import Card, FrontEnd
from trainable.config import TrialConfig
from trainable.frontend import mel_matrix
from trainable.weights import MissingWeights, WrongWeights

ROOT = Path(__file__).parents[2]
CONFIG = TrialConfig(corpus="deepship", backbone="cnn14", pretrain_hz=32_000, data_hz=32_000, augment="none", seed=1)
KEY = "0123456789ab"


def config(weights: str = "published", **fields: Any) -> TrialConfig:
    return dataclasses.replace(CONFIG, weights=weights, **fields)


def small(num_classes: int = 3, seed: int = 1, width: float = 1 / 64) -> PannCnn:
    return panns.build("cnn14", num_classes, width=width, generator=torch.Generator().manual_seed(seed))


def literal_stft(front_end: FrontEnd) -> tuple[torch.Tensor, torch.Tensor]:
    """The published files' windowed DFT: exp(-2 pi i k n / N) times a Hann window, (bins, 1, samples)."""
    n, size = np.arange(front_end.window), front_end.window
    k = np.arange(size // 2 + 1)[:, None, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / size)
    angle = 2 * np.pi * k * n / size
    return torch.tensor(np.cos(angle) * window).float(), torch.tensor(-np.sin(angle) * window).float()


def published(network: PannCnn, front_end: FrontEnd) -> dict[str, torch.Tensor]:
    """The state dict with its front end, as the published files hold it."""
    real, imag = literal_stft(front_end)
    return {
        "spectrogram_extractor.stft.conv_real.weight": real,
        "spectrogram_extractor.stft.conv_imag.weight": imag,
        "logmel_extractor.melW": mel_matrix(front_end),
        **network.state_dict(),
    }


def write(path: Path, state: dict[str, Any], **entries: Any) -> Path:
    torch.save({"model": state, **entries}, path)
    return path


def same_weights(a: PannCnn, b: PannCnn) -> bool:
    states = a.state_dict(), b.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


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


class TestLoad:
    @pytest.fixture
    def front_end(self) -> FrontEnd:
        return panns.FRONT_ENDS[8_000]

    @pytest.mark.parametrize("num_classes", [527, 3, 1])
    def test_published_layout_gives_the_weights(self, tmp_path: Path, front_end: FrontEnd, num_classes: int) -> None:
        """Every weight arrives, the fixed matrices are left out, and the classifier has the checkpoint's size."""
        source, network = small(num_classes, seed=1), small(4, seed=2)
        weights.load(network, write(tmp_path / "x.pth", published(source, front_end)), front_end)
        assert same_weights(network, source)

    def test_own_layout_gives_the_weights(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """A run's checkpoint holds no front end, or names it."""
        source = small(seed=1)
        for entries in ({}, {"front_end": dataclasses.asdict(front_end), "epoch": 3}):
            network = small(seed=2)
            weights.load(network, write(tmp_path / "best.pt", source.state_dict(), **entries), front_end)
            assert same_weights(network, source)

    @pytest.mark.parametrize("numpy_core", [b"numpy._core", b"numpy.core"])
    def test_numpy_numbers_beside_the_model_are_read(
        self, tmp_path: Path, front_end: FrontEnd, numpy_core: bytes
    ) -> None:
        """As in the published 16 kHz file: the old format, a sampler's arrays, numpy 1's or 2's names."""
        source, network, path = small(seed=1), small(seed=2), tmp_path / "x.pth"
        sampler = {"indexes": np.arange(5), "pointer": np.int64(3), "share": np.float64(0.5), "used": np.bool_(True)}
        checkpoint = {"iteration": np.int64(7), "model": published(source, front_end), "sampler": sampler}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes().replace(b"numpy._core", numpy_core))
        weights.load(network, path, front_end)
        assert same_weights(network, source)

    @pytest.mark.parametrize("hz", [16_000, 32_000])
    def test_file_of_another_rate_is_refused(self, tmp_path: Path, front_end: FrontEnd, hz: int) -> None:
        """By the shape of its STFT; the error tells which rate it probably has."""
        path = write(tmp_path / "x.pth", published(small(), panns.FRONT_ENDS[hz]))
        with pytest.raises(WrongWeights, match=f"not to that of 8000 Hz: .*probably Cnn14, {hz} Hz"):
            weights.load(small(), path, front_end)

    @pytest.mark.parametrize("changed", [{"f_min_hz": 60}, {"f_max_hz": 3_500}, {"rate_hz": 8_200}])
    def test_other_mel_bands_are_refused(self, tmp_path: Path, front_end: FrontEnd, changed: dict[str, Any]) -> None:
        """By value, where all shapes agree."""
        path = write(tmp_path / "x.pth", published(small(), dataclasses.replace(front_end, **changed)))
        with pytest.raises(WrongWeights, match=r"values of logmel_extractor\.melW differ"):
            weights.load(small(), path, front_end)

    def test_other_window_is_refused(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """A Hamming window in the fixed STFT is not ours."""
        state = published(small(), front_end)
        state["spectrogram_extractor.stft.conv_real.weight"] *= 0.92
        with pytest.raises(WrongWeights, match=r"values of .*conv_real\.weight differ"):
            weights.load(small(), write(tmp_path / "x.pth", state), front_end)

    def test_run_of_another_front_end_is_refused(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """A run's checkpoint that names another front end does not start a trial of this one."""
        other = dataclasses.asdict(panns.FRONT_ENDS[16_000])
        path = write(tmp_path / "best.pt", small().state_dict(), front_end=other)
        with pytest.raises(WrongWeights, match="16000"):
            weights.load(small(), path, front_end)

    def test_another_network_is_refused_with_the_first_differences(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """Missing and unknown names are counted and shown, and the network is recognised."""
        state = {k: v for k, v in small().state_dict().items() if not k.startswith(("conv_block5", "conv_block6"))}
        state["extra.weight"] = torch.zeros(1)
        with pytest.raises(WrongWeights) as caught:
            weights.load(small(), write(tmp_path / "x.pth", state), front_end)
        assert "24 missing (conv_block5.conv1.weight," in str(caught.value)
        assert "1 unknown (extra.weight)" in str(caught.value)
        assert "probably Cnn10" in str(caught.value)

    def test_another_width_is_refused_with_shapes(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """Both shapes of the first weights that differ are told."""
        path = write(tmp_path / "x.pth", small(width=1 / 32).state_dict())
        with pytest.raises(
            WrongWeights, match=r"of another shape \(conv_block1.conv1.weight \(2, 1, 3, 3\) instead of \(1,"
        ):
            weights.load(small(), path, front_end)

    def test_a_refused_file_changes_nothing(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """Neither weights nor classifier are touched by a checkpoint with one bad value."""
        state = small(527, seed=1).state_dict()
        state["fc1.bias"][0] = float("nan")
        network = small(3, seed=2)
        with pytest.raises(WrongWeights, match=r"fc1\.bias has values that are not finite"):
            weights.load(network, write(tmp_path / "x.pth", state), front_end)
        assert same_weights(network, small(3, seed=2))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "truncated"),
            (b"<!DOCTYPE html><html>Not found</html>", "it is a web page"),
            (b"RIFF....WAVEfmt ", "truncated or damaged"),
        ],
    )
    def test_what_is_no_checkpoint_is_refused(
        self, tmp_path: Path, front_end: FrontEnd, content: bytes, told: str
    ) -> None:
        """Empty files, web pages and anything else are named, with a guess at what happened."""
        path = tmp_path / "x.pth"
        path.write_bytes(content)
        with pytest.raises(WrongWeights, match=told):
            weights.load(small(), path, front_end)

    @pytest.mark.parametrize("saved", [[1, 2], {"state_dict": {}}, {"model": 3}])
    def test_another_layout_is_refused(self, tmp_path: Path, front_end: FrontEnd, saved: object) -> None:
        """A checkpoint without a state dict under "model" is told how to be saved."""
        torch.save(saved, tmp_path / "x.pth")
        with pytest.raises(WrongWeights, match="no state dict under"):
            weights.load(small(), tmp_path / "x.pth", front_end)

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
    def test_truncated_file_is_refused(self, tmp_path: Path, front_end: FrontEnd, zipped: bool) -> None:
        """At any of 40 lengths, in torch's zip format and the published files' old one."""
        whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
        torch.save({"model": small().state_dict()}, whole, _use_new_zipfile_serialization=zipped)
        content = whole.read_bytes()
        for length in np.linspace(0, len(content) - 1, 40).astype(int):
            cut.write_bytes(content[:length])
            with pytest.raises(WrongWeights):
                weights.load(small(), cut, front_end)

    def test_flipped_bit_is_never_read_as_weights(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """In torch's zip format: refused by its checksum, or outside of what is read; never another weight."""
        source, path = small(seed=1), tmp_path / "x.pth"
        content = write(path, source.state_dict()).read_bytes()
        refused, rng = 0, np.random.default_rng(0)
        for place in rng.integers(0, len(content), size=40):
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            network = small(seed=2)
            try:
                weights.load(network, path, front_end)
            except WrongWeights:
                refused += 1
            else:
                assert same_weights(network, source)
        assert refused > 20

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
    def test_malicious_file_runs_nothing(self, tmp_path: Path, front_end: FrontEnd, zipped: bool) -> None:
        """A pickle that would run a command is refused, the command is named, and its mark is not there."""
        mark, path = tmp_path / "mark", tmp_path / "x.pth"

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.system, (f"touch {mark}",)

        torch.save({"model": small().state_dict(), "sampler": Evil()}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WrongWeights, match=r"it asks for posix\.system"):
            weights.load(small(), path, front_end)
        assert not mark.exists()

    def test_pickled_network_is_refused(self, tmp_path: Path, front_end: FrontEnd) -> None:
        """A whole network, which would need its code to be run, is not read; nor is a plain pickle."""
        torch.save(small(), tmp_path / "whole.pth")
        (tmp_path / "plain.pth").write_bytes(pickle.dumps({"model": np.ones(3)}))
        for name in ("whole.pth", "plain.pth"):
            with pytest.raises(WrongWeights):
                weights.load(small(), tmp_path / name, front_end)


def test_every_published_front_end_is_its_own_file(tmp_path: Path) -> None:
    """The matrices of each rate's file pass for that rate's front end."""
    cards: list[Card] = [panns.card("cnn14", hz) for hz in panns.FRONT_ENDS]
    for card in cards:
        path = write(tmp_path / f"{card.pretrain_hz}.pth", published(small(), card.front_end))
        weights.load(small(), path, card.front_end)
