"""Grad-CAM compared with autograd by hand and with networks of known maps, and the averages of maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.engine.rows import Predictions
from analysis.inside import heatmaps
from analysis.inside.heatmaps import Seen, average, evenly_spread, grad_cam, map_size, over_input
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.learning.augmentation import NOTHING, Augmentation
from trainable.network.backbone import Backbone
from trainable.network.card import BackboneError
from trainable.network.networks import start_network

CNN14 = RATES.but(data_hz=8_000, augment="none", weights="none", width=1 / 32)
RESNET50 = dataclasses.replace(CNN14, backbone="timm/resnet50.a1_in1k", width=1 / 8)
RES1DNET31 = dataclasses.replace(CNN14, backbone="res1dnet31", data_hz=32_000, width=1 / 64)


def inputs(config: TrialConfig, num: int) -> Tensor:
    """Random log-mels [dB], or waveforms."""
    noise = torch.Generator().manual_seed(0)
    if not config.given.waves:
        return 10 * torch.randn(num, *config.logmel_shape, generator=noise) - 40
    return torch.rand(num, config.num_samples, generator=noise)


def by_hand(network: Backbone, x: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """The map of a single input by autograd, from the definition, and the logits."""
    kept: list[Tensor] = []
    handle = network.last_features.register_forward_hook(lambda layer, given, features: kept.append(features))
    logits = network(x[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, target], kept[0])
    weights = gradient[0].flatten(1).mean(dim=1)
    return torch.einsum("c,c...->...", weights, kept[0][0]).clamp(min=0).detach(), logits.detach()[0]


@pytest.mark.slow
@pytest.mark.parametrize("config", [CNN14, RESNET50, RES1DNET31], ids=lambda config: config.backbone)
def test_maps_are_those_of_autograd_by_hand(config: TrialConfig) -> None:
    """They are sums of channels weighted by the mean gradient of the logit, clipped at 0, in a batch as one by one."""
    network = start_network(config, 4, None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):  # residual blocks begin as the identity
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(3))
    x, targets = inputs(config, 3), torch.tensor([2, 0, 2])
    cams, logits = grad_cam(network, x, targets)
    assert cams.shape[1:] == map_size(config)
    assert not cams.requires_grad
    assert cams.max() > 0
    for cam, logit, clip, target in zip(cams, logits, x, targets, strict=True):
        expected, expected_logits = by_hand(network, clip, int(target))
        assert torch.allclose(cam, expected, atol=1e-5 * float(expected.max()), rtol=1e-5)
        assert torch.allclose(logit, expected_logits, atol=1e-5)


def test_weights_are_unchanged_and_need_no_gradients() -> None:
    """Frozen weights give the same maps; neither weights nor running statistics are touched."""
    network = start_network(CNN14, 4, None).eval()
    x, target = inputs(CNN14, 2), torch.tensor([1, 3])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    free, _ = grad_cam(network, x, target)
    frozen, _ = grad_cam(network.requires_grad_(False), x, target)
    assert free.max() > 0
    assert torch.allclose(free, frozen, atol=1e-6 * float(free.max()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


class Two(Backbone):
    """Two channels, the input and its negative, averaged over the plane; the first is class 0, the second class 1."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.body, self.fc = nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 2, bias=False)
        self.body.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.fc.weight.data = torch.eye(2)

    @property
    def last_features(self) -> nn.Module:
        return self.body

    def embed(self, x: Tensor, augment: Augmentation = NOTHING) -> Tensor:
        return self.body(x.unsqueeze(1)).mean(dim=(2, 3))


def test_a_known_map() -> None:
    """Positive values are evidence for class 0, negative ones for class 1, each divided by the size of the plane."""
    x = torch.tensor([[[4.0, 0.0], [0.0, -2.0]]]).repeat(2, 1, 1)
    cams, logits = grad_cam(Two().eval(), x, torch.tensor([0, 1]))
    assert cams.tolist() == [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]]
    assert logits.tolist() == [[0.5, -0.5]] * 2


def test_maps_are_laid_over_the_input() -> None:
    """They are bilinear between the centres of cells, and the largest value of each map is 1; zeros stay zeros."""
    cams = torch.tensor([[[0.0], [2.0]], [[5.0], [5.0]], [[0.0], [0.0]]])
    maps = over_input(cams, (4, 3))
    assert maps.shape == (3, 4, 3)
    assert maps[0].T.tolist() == [[0.0, 0.25, 0.75, 1.0]] * 3
    assert (maps[1] == 1).all()
    assert (maps[2] == 0).all()


def test_a_map_over_time_is_constant_over_frequency() -> None:
    """It is linear between its points and the same in every band."""
    maps = over_input(torch.tensor([[0.0, 2.0]]), (4, 3))
    assert maps[0].T.tolist() == [[0.0, 0.25, 0.75, 1.0]] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", "timm/swin_tiny_patch4_window7_224.ms_in1k"]
)
def test_transformers_are_refused(backbone: str) -> None:
    """Tokens, and maps whose channels are the last axis, would give a wrong picture."""
    with pytest.raises(BackboneError, match=f"backbone='{backbone}'.*no Grad-CAM.*--backbones"):
        map_size(dataclasses.replace(CNN14, backbone=backbone, width=1, data_hz=32_000))


def seen(label: list[int], predicted: list[int], values: list[float]) -> Seen:
    """Maps of 2 x 1, whose second frame is half as large as the first."""
    maps = np.array(values, dtype=np.float32)[:, None, None] * np.array([[1.0], [0.5]], dtype=np.float32)
    return Seen(maps, np.array(label), np.array(predicted), np.array([f"r{i}" for i in range(len(label))]))


def test_averages_by_hand() -> None:
    """Right maps go by true class, wrong ones by predicted class, zero maps in none, over several batches."""
    batches = [seen([0, 0, 0], [0, 1, 0], [1.0, 0.6, 0.9]), seen([1, 0, 1, 1], [1, 0, 2, 1], [0.8, 0.5, 0.4, 0.0])]
    averages = average(batches, 3)
    assert averages.count.tolist() == [[3, 1, 0], [0, 1, 1]]
    first = averages.mean[:, :, 0, 0]
    assert np.allclose(first, [[0.8, 0.8, np.nan], [np.nan, 0.6, 0.4]], equal_nan=True)
    assert np.allclose(averages.mean[:, :, 1, 0], first / 2, equal_nan=True)
    assert averages.samples["right"].tolist() == [True, False, True, True, True, False, True]
    assert averages.samples["recording"].tolist() == ["r0", "r1", "r2", "r0", "r1", "r2", "r3"]
    assert averages.samples["half_area"].isna().tolist() == [False] * 6 + [True]
    assert averages.samples["effective_area"].isna().tolist() == [False] * 6 + [True]


def test_clips_are_evenly_spread() -> None:
    """Each class has its first and last clip and evenly spaced ones between; all, if there are no more."""
    labels = np.repeat([2, 0, 1], [9, 2, 5])
    assert evenly_spread(labels, 3).tolist() == [0, 4, 8, 9, 10, 11, 13, 15]
    assert evenly_spread(labels, 1).tolist() == [0, 9, 11]
    assert evenly_spread(labels, None).tolist() == list(range(16))


def test_ties_may_fall_either_way() -> None:
    """Logits closer than a hundredth of their spread are a tie; others are not."""
    stored = np.array([[0.0, 10.0, 9.95], [0.0, 10.0, 9.8]])
    predictions = Predictions(stored, np.array([1, 1]), np.array(["a", "b"]), np.array([0, 7]), ("x", "y", "z"))
    trained = heatmaps.Trained(CNN14, "run-1", Path("best.pt"), predictions)
    heatmaps._check_logits(trained, np.array([0, 1]), stored)
    heatmaps._check_logits(trained, np.array([0]), stored[:1, [0, 2, 1]])
    with pytest.raises(ValueError, match=r"best\.pt predicts another class for clip 7 of recording b"):
        heatmaps._check_logits(trained, np.array([0, 1]), stored[:, [0, 2, 1]])
