"""The check of a backbone finds what it promises to find, on a network that does it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainable import check
from trainable.network.backbone import Backbone
from trainable.weights.weights import WrongWeights

WORDS = ["backbone=baseline/bands", "pretrain_hz=8000", "clip_s=0.5"]
TRIAL = check.trial_of(WORDS)


def names_of(page: str, outcome: str) -> list[str]:
    """What has that outcome, by the page."""
    lines = [line.strip() for line in page.splitlines() if line.startswith("  ")]
    return [line.removeprefix(outcome).strip() for line in lines if line.startswith(outcome)]


@pytest.mark.parametrize("backbone", ["efficientat/mn04_as", "baseline/bands", "res1dnet31"])
def test_a_good_network_passes(backbone: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Whatever it is given of a clip; in a terminal of 80 columns."""
    width = [] if backbone == "baseline/bands" else ["width=0.03125"]
    assert check.main([f"backbone={backbone}", "clip_s=1", *width, "--weights-dir", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert len(names_of(page, "ok")) == 8
    assert len(names_of(page, "-")) == 1
    assert max(map(len, page.splitlines())) <= 80


def test_the_page_says_what_was_tried() -> None:
    """The rate is the network's highest, and fields are those of a trial."""
    assert (check.trial_of(["backbone=cnn14"]).pretrain_hz, check.trial_of(["backbone=cnn14"]).data_hz) == (32_000,) * 2
    trial = check.trial_of(["backbone=cnn14", "pretrain_hz=8000", "width=0.5", "clip_s=3"])
    assert (trial.data_hz, trial.width, trial.clip_s) == (8_000, 0.5, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a network: backbone=NAME"),
        (["backbone=cnn15"], "there is no such network"),
        (["backbone=mn04"], "did you mean efficientat/mn04_as"),
        (["backbone=cnn14", "clip_s=0.1"], "which needs 32; raise data_hz or clip_s"),
        (["backbone=cnn14", "pretrain_hz=x"], "pretrain_hz='x': must be of type int"),
        (["backbone=cnn14", "colour=red"], "TrialConfig has no field 'colour'"),
    ],
)
def test_what_cannot_be_tried_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a study refuses it."""
    assert check.main(words) == 2
    assert told in capsys.readouterr().err


class Frozen(nn.Module):
    """A layer that no gradient passes."""

    def forward(self, x: Tensor) -> Tensor:
        """As it was."""
        return x.detach()


class Noisy(nn.Module):
    """A layer that draws while it is evaluated."""

    def forward(self, x: Tensor) -> Tensor:
        """Another every time."""
        return x + 0.1 * torch.randn_like(x)


class Mixing(nn.Module):
    """A layer in which a clip sees those beside it."""

    def forward(self, x: Tensor) -> Tensor:
        """Less the batch's mean."""
        return x - x.mean(dim=0)


@pytest.mark.parametrize(
    ("layer", "spoilt"),
    [(Frozen(), "gradients"), (Noisy(), "evaluation"), (Mixing(), "evaluation")],
    ids=["frozen", "noisy", "mixing"],
)
def test_what_is_wrong_is_found(layer: nn.Module, spoilt: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what is right is still said to be."""
    built = check.build

    def spoil(trial: check.TrialConfig, seed: int = 1) -> Backbone:
        network = built(trial, seed)
        network.norm = nn.Sequential(network.norm, layer)
        return network

    monkeypatch.setattr(check, "build", spoil)
    found = {name: outcome for outcome, name, _ in check.page(TRIAL.but(input_norm="batch"), tmp_path)}
    assert found[spoilt] == "FAIL"
    assert found["randomness"] == found["shapes" if spoilt == "gradients" else "gradients"] == "ok"


def test_one_seed_with_two_values_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A network that draws from torch's own state."""
    built = check.build

    def spoil(trial: check.TrialConfig, seed: int = 1) -> Backbone:
        network = built(trial, seed)
        with torch.no_grad():
            network.classifier.weight.normal_()
        return network

    monkeypatch.setattr(check, "build", spoil)
    with torch.random.fork_rng():
        found = {name: (outcome, told) for outcome, name, told in check.page(TRIAL, tmp_path)}
    assert found["randomness"] == ("FAIL", "building draws from torch's own random state; draw from the generator")


def test_loading_that_is_not_strict_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with a tensor less must not get in; one that is whole must."""
    monkeypatch.setattr(check.pretrained, "load", lambda network, path, front_end: None)
    with pytest.raises(check.Wrong, match="without its first tensor is loaded"):
        check.checkpoint(TRIAL)

    def refuse(network: Backbone, path: Path, front_end: object) -> None:
        raise WrongWeights("1 missing")

    monkeypatch.setattr(check.pretrained, "load", refuse)
    with pytest.raises(WrongWeights, match="1 missing"):
        check.checkpoint(TRIAL)
