"""The PANNs compute the same as their authors' code, and have the published names, shapes and sizes."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainable.backbones import panns
from trainable.network.backbone import Backbone
from trainable.network.frontend import logmel
from trainable.network.panns import models
from trainable.network.panns.rates import FRONT_ENDS

REFERENCE = json.loads(
    Path(__file__).with_name("panns_reference.json").read_text()
)  # the file describes its own content
MODELS: dict[str, Any] = REFERENCE["models"]
KEYS = {model["backbone"]: model["keys"] for model in MODELS.values() if "keys" in model}
# Parameters with 527, 5 and 4 classes. The papers that fine-tune with 5 and 4 print the same, in millions.
COUNTS = {
    "cnn6": (4_837_455, 4_569_669, 4_569_156),
    "cnn10": (5_219_279, 4_951_493, 4_950_980),
    "cnn14": (80_753_615, 79_684_037, 79_681_988),
    "resnet22": (63_675_087, 62_605_509, 62_603_460),
    "resnet38": (73_783_247, 72_713_669, 72_711_620),
    "mobilenetv1": (4_796_303, 4_261_253, 4_260_228),
    "res1dnet31": (80_464_463, 79_394_885, 79_392_836),
    "wavegram_logmel_cnn14": (81_065_487, 79_995_909, 79_993_860),
}


def build(backbone: str, num_classes: int, width: float) -> Backbone:
    generator = torch.Generator().manual_seed(0)
    return models.build(backbone, num_classes, width=width, front_end=FRONT_ENDS[32_000], generator=generator)


@pytest.fixture(scope="module", params=COUNTS)
def published(request: pytest.FixtureRequest) -> tuple[str, Backbone]:
    """A network with 527 classes and the weights of the reference outputs; built once."""
    network = build(request.param, 527, width=1).eval()
    for key, value in network.state_dict().items():
        if not value.is_floating_point():
            continue
        n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(value.shape)).astype(np.float32)
        if key.endswith("running_var"):
            n = np.exp(0.1 * n)
        elif value.ndim == 1:
            n = 0.1 * n + (1 if key.endswith("weight") else 0)
        else:
            n *= math.sqrt(2 / math.prod(value.shape[1:]))
        value.copy_(torch.from_numpy(n))
    return request.param, network


@pytest.mark.slow
@torch.inference_mode()
def test_equals_the_authors_implementation(published: tuple[str, Backbone]) -> None:
    """From waveform to embedding and probabilities, outputs are as close to the published ones as float32 allows.

    The error is below 1e-5 on the processor that computed the reference. Others add up in another order, and differ by
    4e-5 in an embedding of up to 34, and by 1.5e-5 in a logit.
    """
    backbone, network = published
    for reference in [model for model in MODELS.values() if model["backbone"] == backbone]:
        card = panns.card(backbone, reference["pretrain_hz"])
        noise = 0.1 * np.random.default_rng(0).standard_normal((2, reference["num_samples"]))
        wave = torch.from_numpy(noise.astype(np.float32))
        embedding = network.embed(logmel(wave, card.front_end) if card.inputs == ("logmel",) else wave)
        logits = network.classifier(embedding).double()
        np.testing.assert_allclose(embedding[:, :8], reference["embedding_first8"], rtol=3e-5, atol=3e-5)
        assert embedding.mean().item() == pytest.approx(reference["embedding_mean"], rel=1e-5)
        assert embedding.std().item() == pytest.approx(reference["embedding_std"], rel=1e-5)
        clipwise = np.array(reference["clipwise_first8"])
        np.testing.assert_allclose(logits.sigmoid()[:, :8], clipwise, rtol=0, atol=1e-5)
        inner = (clipwise > 1e-30) & (clipwise < 0.99)  # closer to 0 or 1, float32 cannot resolve the logit
        expected = np.log(clipwise[inner] / (1 - clipwise[inner]))
        np.testing.assert_allclose(logits[:, :8][inner], expected, rtol=3e-5)


def test_state_dict_is_the_published_one(published: tuple[str, Backbone]) -> None:
    """Names, order and shapes are the same, without the fixed front end."""
    backbone, network = published
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(shapes.items()) == list(KEYS[backbone].items())


def test_parameter_counts(published: tuple[str, Backbone]) -> None:
    """The counts are those of the published networks and of those that the papers fine-tune."""
    backbone, network = published
    head = sum(p.numel() for p in network.classifier.parameters())
    body = sum(p.numel() for p in network.parameters()) - head
    size = network.classifier.in_features + 1
    assert (body + 527 * size, body + 5 * size, body + 4 * size) == COUNTS[backbone]
    assert panns.card(backbone, 32_000).num_parameters == COUNTS[backbone][0]


@pytest.mark.parametrize("backbone", COUNTS)
def test_width_scales_every_layer(backbone: str) -> None:
    """At a quarter of the width, every layer has a quarter of its published channels."""
    fixed_sizes = {1, 3, 5, 11}  # the input's channel, and sizes of kernels
    narrow = build(backbone, 3, 1 / 4).state_dict()
    for key, shape in KEYS[backbone].items():
        expected = [size if size in fixed_sizes else size // 4 for size in shape]
        if key.startswith("fc_audioset"):
            expected[0] = 3
        elif key.startswith("bn0") and backbone != "res1dnet31":
            expected = shape  # mel bands
        assert list(narrow[key].shape) == expected, key


@pytest.mark.parametrize("backbone", COUNTS)
def test_minute_width_leaves_one_channel(backbone: str) -> None:
    """Each layer has one channel, except the layer whose channels become the wavegram's 32 mels."""
    network = build(backbone, 3, 1e-6)
    outputs = {name: m.out_channels for name, m in network.named_modules() if isinstance(m, nn.Conv1d | nn.Conv2d)}
    assert {name: n for name, n in outputs.items() if n != 1} == (
        {"pre_block3.conv1": 32, "pre_block3.conv2": 32} if backbone.startswith("wavegram") else {}
    )
    assert network.classifier.in_features == 1
