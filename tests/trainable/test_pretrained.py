"""A checkpoint is loaded into a network completely or not at all, and cannot run code."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweeps.recipes.mohammadi import RATES
from trainable.backbones import panns
from trainable.network.backbone import Backbone
from trainable.network.card import Card, FrontEnd
from trainable.network.frontend import mel_matrix
from trainable.network.panns.rates import FRONT_ENDS
from trainable.weights import pretrained
from trainable.weights.weights import WrongWeights

CONFIG = RATES.but(augment="none", weights="none")


def small(num_classes: int = 3, seed: int = 1, width: float = 1 / 64) -> Backbone:
    config = dataclasses.replace(CONFIG, width=width)
    return panns.build(config, num_classes, generator=torch.Generator().manual_seed(seed))


def literal_stft(front_end: FrontEnd) -> tuple[torch.Tensor, torch.Tensor]:
    """The windowed DFT of the published files: exp(-2 pi i k n / N) times a Hann window, (bins, 1, samples)."""
    n, size = np.arange(front_end.window), front_end.window
    k = np.arange(size // 2 + 1)[:, None, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / size)
    angle = 2 * np.pi * k * n / size
    return torch.tensor(np.cos(angle) * window).float(), torch.tensor(-np.sin(angle) * window).float()


def published(network: Backbone, front_end: FrontEnd) -> dict[str, torch.Tensor]:
    """The state dict with its front end, as in the published files."""
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


def same_weights(a: Backbone, b: Backbone) -> bool:
    states = a.state_dict(), b.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.fixture
def front_end() -> FrontEnd:
    return FRONT_ENDS[8_000]


@pytest.mark.parametrize("num_classes", [527, 3, 1])
def test_published_layout_gives_the_weights(tmp_path: Path, front_end: FrontEnd, num_classes: int) -> None:
    """All weights are loaded without the fixed matrices, and the classifier has the checkpoint's size."""
    source, network = small(num_classes, seed=1), small(4, seed=2)
    pretrained.load(network, write(tmp_path / "x.pth", published(source, front_end)), front_end)
    assert same_weights(network, source)


def test_own_layout_gives_the_weights(tmp_path: Path, front_end: FrontEnd) -> None:
    """A run's checkpoint has no front end, or only names it."""
    source = small(seed=1)
    for entries in ({}, {"front_end": dataclasses.asdict(front_end), "epoch": 3}):
        network = small(seed=2)
        pretrained.load(network, write(tmp_path / "best.pt", source.state_dict(), **entries), front_end)
        assert same_weights(network, source)


@pytest.mark.parametrize("numpy_core", [b"numpy._core", b"numpy.core"])
def test_numpy_numbers_beside_the_model_are_read(tmp_path: Path, front_end: FrontEnd, numpy_core: bytes) -> None:
    """The published 16 kHz file has the old format, a sampler's arrays, and names of numpy 1 or 2."""
    source, network, path = small(seed=1), small(seed=2), tmp_path / "x.pth"
    sampler = {"indexes": np.arange(5), "pointer": np.int64(3), "share": np.float64(0.5), "used": np.bool_(True)}
    checkpoint = {"iteration": np.int64(7), "model": published(source, front_end), "sampler": sampler}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", numpy_core))
    pretrained.load(network, path, front_end)
    assert same_weights(network, source)


@pytest.mark.parametrize("hz", [16_000, 32_000])
def test_file_of_another_rate_is_refused(tmp_path: Path, front_end: FrontEnd, hz: int) -> None:
    """The shape of its STFT shows it, and the error names the probable rate."""
    path = write(tmp_path / "x.pth", published(small(), FRONT_ENDS[hz]))
    with pytest.raises(WrongWeights, match=f"another front end than that of 8000 Hz: .*probably Cnn14, {hz} Hz"):
        pretrained.load(small(), path, front_end)


@pytest.mark.parametrize("changed", [{"f_min_hz": 60}, {"f_max_hz": 3_500}, {"rate_hz": 8_200}])
def test_other_mel_bands_are_refused(tmp_path: Path, front_end: FrontEnd, changed: dict[str, Any]) -> None:
    """Their values show it, although all shapes agree."""
    path = write(tmp_path / "x.pth", published(small(), dataclasses.replace(front_end, **changed)))
    with pytest.raises(WrongWeights, match=r"values of logmel_extractor\.melW differ"):
        pretrained.load(small(), path, front_end)


def test_other_window_is_refused(tmp_path: Path, front_end: FrontEnd) -> None:
    """An STFT with a Hamming window is refused."""
    state = published(small(), front_end)
    state["spectrogram_extractor.stft.conv_real.weight"] *= 0.92
    with pytest.raises(WrongWeights, match=r"values of .*conv_real\.weight differ"):
        pretrained.load(small(), write(tmp_path / "x.pth", state), front_end)


def test_run_of_another_front_end_is_refused(tmp_path: Path, front_end: FrontEnd) -> None:
    """A run's checkpoint that names another front end cannot start a trial with this one."""
    other = dataclasses.asdict(FRONT_ENDS[16_000])
    path = write(tmp_path / "best.pt", small().state_dict(), front_end=other)
    with pytest.raises(WrongWeights, match="16000"):
        pretrained.load(small(), path, front_end)


def test_another_network_is_refused_with_the_first_differences(tmp_path: Path, front_end: FrontEnd) -> None:
    """Missing and unknown names are counted and shown, and the network is recognised."""
    state = {k: v for k, v in small().state_dict().items() if not k.startswith(("conv_block5", "conv_block6"))}
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(WrongWeights) as caught:
        pretrained.load(small(), write(tmp_path / "x.pth", state), front_end)
    assert "24 missing (conv_block5.conv1.weight," in str(caught.value)
    assert "1 unknown (extra.weight)" in str(caught.value)
    assert "probably Cnn10" in str(caught.value)


def test_another_width_is_refused_with_shapes(tmp_path: Path, front_end: FrontEnd) -> None:
    """The message has both shapes of the first weights that differ."""
    path = write(tmp_path / "x.pth", small(width=1 / 32).state_dict())
    with pytest.raises(
        WrongWeights, match=r"of another shape \(conv_block1.conv1.weight \(2, 1, 3, 3\) instead of \(1,"
    ):
        pretrained.load(small(), path, front_end)


def test_a_refused_file_changes_nothing(tmp_path: Path, front_end: FrontEnd) -> None:
    """A checkpoint with one bad value changes neither weights nor classifier."""
    state = small(527, seed=1).state_dict()
    state["fc1.bias"][0] = float("nan")
    network = small(3, seed=2)
    with pytest.raises(WrongWeights, match=r"fc1\.bias has values that are not finite"):
        pretrained.load(network, write(tmp_path / "x.pth", state), front_end)
    assert same_weights(network, small(3, seed=2))


def flipped(value: torch.Tensor, bit: int) -> torch.Tensor:
    """The checkpoint with one bit of its first number flipped, as by damage in transit."""
    damaged = value.clone()
    mask = torch.tensor(-(2**31) if bit == 31 else 1 << bit, dtype=torch.int32)
    damaged.view(-1)[:1].view(torch.int32).bitwise_xor_(mask)
    return damaged


IMPOSSIBLE: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], str]] = {
    "sign of a variance": ("bn0.running_var", lambda v: flipped(v, 31), "negative values, down to"),
    "exponent of a weight": ("fc1.weight", lambda v: flipped(v + 0.01, 30), r"values up to \d\.?\d*e\+3\d, as no"),
    "sign of a count": ("bn0.num_batches_tracked", lambda v: v - 1, "negative values, down to -1"),
    "bits of a count": ("bn0.num_batches_tracked", lambda v: v + 2**60, r"values up to 1\.2e\+18"),
    "infinite": ("fc1.bias", lambda v: v / 0, "values that are not finite"),
    "complex": ("fc1.weight", lambda v: v + 0j, "is a complex tensor; save plain ones"),
    "sparse": ("fc1.weight", lambda v: v.to_sparse(), "is a sparse tensor; save plain ones"),
    "meta": ("fc1.weight", lambda v: v.to("meta"), "is a meta tensor; save plain ones"),
    "whole numbers": ("fc1.weight", lambda v: v.int(), "holds torch.int32 instead of torch.float32"),
    "fractions": ("bn0.num_batches_tracked", lambda v: v + 0.5, "holds torch.float32 instead of torch.int64"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_no_trained_network_has_is_refused(tmp_path: Path, front_end: FrontEnd, case: str) -> None:
    """Bad values are named, even in the published files' old format, before anything changes."""
    name, change, message = IMPOSSIBLE[case]
    state, network = small(seed=1).state_dict(), small(seed=2)
    state[name] = change(state[name])
    torch.save({"model": state}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(WrongWeights, match=rf"x\.pth: {name} .*{message}"):
        pretrained.load(network, tmp_path / "x.pth", front_end)
    assert same_weights(network, small(seed=2))


def test_what_trained_networks_have_is_accepted(tmp_path: Path, front_end: FrontEnd) -> None:
    """Large and vanishing variances, dead channels, half precision and many batches are accepted."""
    state = small(seed=1).state_dict()
    state["bn0.running_var"][:3] = torch.tensor([0, 1e-30, 1e9])
    state["bn0.num_batches_tracked"] += 10**9
    state["fc1.weight"] = state["fc1.weight"].half()
    pretrained.load(small(seed=2), write(tmp_path / "x.pth", state), front_end)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"<!DOCTYPE html><html>Not found</html>", "it is a web page"),
        (b"RIFF....WAVEfmt ", "truncated or damaged"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, front_end: FrontEnd, content: bytes, message: str) -> None:
    """Empty files, web pages and others are named, with the probable cause."""
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(WrongWeights, match=message):
        pretrained.load(small(), path, front_end)


def test_a_state_dict_alone_is_a_checkpoint(tmp_path: Path, front_end: FrontEnd) -> None:
    """As some publish it: it is loaded as strictly as under "model"."""
    state, network = published(small(seed=2), front_end), small(seed=1)
    torch.save(state, tmp_path / "x.pth")
    pretrained.load(network, tmp_path / "x.pth", front_end)
    assert same_weights(network, small(seed=2))
    state.popitem()
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(WrongWeights, match="1 missing"):
        pretrained.load(network, tmp_path / "less.pth", front_end)


@pytest.mark.parametrize("saved", [[1, 2], {}, {"state_dict": {}}, {"model": 3}, {"model": 3, "x": torch.ones(1)}])
def test_another_layout_is_refused(tmp_path: Path, front_end: FrontEnd, saved: object) -> None:
    """For a checkpoint without a state dict under "model", the message says how to save it."""
    torch.save(saved, tmp_path / "x.pth")
    with pytest.raises(WrongWeights, match="no state dict under"):
        pretrained.load(small(), tmp_path / "x.pth", front_end)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_truncated_file_is_refused(tmp_path: Path, front_end: FrontEnd, zipped: bool) -> None:
    """This holds at any of 40 lengths, in torch's zip format and the published files' old one."""
    complete, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save({"model": small().state_dict()}, complete, _use_new_zipfile_serialization=zipped)
    content = complete.read_bytes()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        cut.write_bytes(content[:length])
        with pytest.raises(WrongWeights):
            pretrained.load(small(), cut, front_end)


def test_flipped_bit_is_never_read_as_weights(tmp_path: Path, front_end: FrontEnd) -> None:
    """In torch's zip format a flip is refused by its checksum, or lies outside the weights."""
    source, path = small(seed=1), tmp_path / "x.pth"
    content = write(path, source.state_dict()).read_bytes()
    refused, rng = 0, np.random.default_rng(0)
    for place in rng.integers(0, len(content), size=40):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        network = small(seed=2)
        try:
            pretrained.load(network, path, front_end)
        except WrongWeights:
            refused += 1
        else:
            assert same_weights(network, source)
    assert refused > 20


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_malicious_file_runs_nothing(tmp_path: Path, front_end: FrontEnd, zipped: bool) -> None:
    """A pickle that would run a command is refused, the command is named, and it has no effect."""
    mark, path = tmp_path / "mark", tmp_path / "x.pth"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    torch.save({"model": small().state_dict(), "sampler": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WrongWeights, match=r"it asks for posix\.system"):
        pretrained.load(small(), path, front_end)
    assert not mark.exists()


def test_pickled_network_is_refused(tmp_path: Path, front_end: FrontEnd) -> None:
    """A pickled network, which would need its code, is refused, and so is a plain pickle."""
    torch.save(small(), tmp_path / "whole.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"model": np.ones(3)}))
    for name in ("whole.pth", "plain.pth"):
        with pytest.raises(WrongWeights):
            pretrained.load(small(), tmp_path / name, front_end)


def test_every_published_front_end_is_its_own_file(tmp_path: Path) -> None:
    """The matrices of each rate's file are accepted for that rate's front end."""
    cards: list[Card] = [panns.card("cnn14", hz) for hz in FRONT_ENDS]
    for card in cards:
        path = write(tmp_path / f"{card.pretrain_hz}.pth", published(small(), card.front_end))
        pretrained.load(small(), path, card.front_end)
