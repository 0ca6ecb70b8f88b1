"""The PANNs compute what their authors' do, under the published names, and are built from a generator alone."""

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

from trainable import augment
from trainable.backbones import panns
from trainable.backbones.panns_networks import PannCnn
from trainable.frontend import logmel

GOLDEN = Path(__file__).with_name("cnn14_reference.json")  # says itself what it holds, and by which rule
FIXED = ("spectrogram_extractor.", "logmel_extractor.")  # the published front end, which is not in our networks


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(num_classes: int = 3, head_dropout: float = 0.0, seed: int = 1) -> PannCnn:
    return panns.build("cnn14", num_classes, width=1 / 64, head_dropout=head_dropout, generator=seeded(seed))


def clips(batch: int = 4, frames: int = 40) -> torch.Tensor:
    return torch.randn(batch, frames, 64, generator=seeded(0))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    models: dict[str, Any] = json.loads(GOLDEN.read_text())["models"]
    return models


@pytest.fixture(scope="module")
def published_cnn14() -> PannCnn:
    """CNN14 with 527 classes and the weights that the reference outputs were computed with."""
    network = panns.build("cnn14", 527, generator=seeded(0)).eval()
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
    return network


@pytest.mark.parametrize("name", ["Cnn14", "Cnn14_16k", "Cnn14_8k"])
def test_equals_the_authors_implementation(name: str, golden: dict[str, Any], published_cnn14: PannCnn) -> None:
    """From the waveform to embedding and class probabilities, within 1e-5 of the published network's outputs."""
    reference = golden[name]
    wave = 0.1 * np.random.default_rng(0).standard_normal((2, reference["num_samples"]))
    with torch.inference_mode():
        x = logmel(torch.from_numpy(wave.astype(np.float32)), panns.FRONT_ENDS[reference["sample_rate"]])
        embedding, logits = published_cnn14.embed(x), published_cnn14(x).double()
    np.testing.assert_allclose(embedding[:, :8], reference["embedding_first8"], rtol=1e-5, atol=1e-5)
    assert embedding.mean().item() == pytest.approx(reference["embedding_mean"], rel=1e-5)
    assert embedding.std().item() == pytest.approx(reference["embedding_std"], rel=1e-5)
    clipwise = np.array(reference["clipwise_first8"])
    np.testing.assert_allclose(logits.sigmoid()[:, :8], clipwise, rtol=0, atol=1e-5)
    inner = clipwise < 1 - 1e-6  # nearer to 1, float32 does not tell the logit
    np.testing.assert_allclose(logits[:, :8][inner], np.log(clipwise[inner] / (1 - clipwise[inner])), rtol=1e-5)


@pytest.mark.parametrize("name", ["Cnn14", "Cnn14_16k", "Cnn14_8k"])
def test_state_dict_is_the_published_one(name: str, golden: dict[str, Any], published_cnn14: PannCnn) -> None:
    """Same names, in the same order, and same shapes, without the fixed front end."""
    published = {key: tuple(shape) for key, shape in golden[name]["keys"].items() if not key.startswith(FIXED)}
    ours = {key: tuple(value.shape) for key, value in published_cnn14.state_dict().items()}
    assert list(ours.items()) == list(published.items())


@pytest.mark.parametrize(("num_classes", "expected"), [(527, 80_753_615), (5, 79_684_037), (4, 79_681_988)])
def test_parameter_counts(num_classes: int, expected: int, published_cnn14: PannCnn) -> None:
    """The counts of Mohammadi et al.'s Table II (79.7 M with 4 classes) and of the published network."""
    body = sum(p.numel() for p in published_cnn14.parameters()) - sum(
        p.numel() for p in published_cnn14.classifier.parameters()
    )
    assert body + (published_cnn14.classifier.in_features + 1) * num_classes == expected


def test_width_scales_every_layer() -> None:
    """Half the width is half of every layer's channels, and a minute width leaves one."""
    half = panns.build("cnn14", 3, width=1 / 32, generator=seeded(0))
    outputs = [m.out_channels for m in half.modules() if isinstance(m, nn.Conv2d)]
    assert outputs == [2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert half.fc1.in_features == half.fc1.out_features == half.classifier.in_features == 64
    assert panns.build("cnn14", 3, width=1e-6, generator=seeded(0)).classifier.in_features == 1


def test_building_draws_from_the_generator_alone() -> None:
    """The same generator state gives the same network; torch's global state is neither used nor changed."""
    before = torch.get_rng_state()
    first, again, other = small(seed=1), small(seed=1), small(seed=2)
    first.replace_classifier(5, seeded(3))
    again.replace_classifier(5, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_initialisation_is_the_published_one() -> None:
    """Weights are Xavier-uniform, biases 0, normalisations the identity with fresh statistics."""
    network = small()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            bound = math.sqrt(6 / (fan_in + fan_out))
            assert module.weight.abs().max() <= bound
            if module.weight.numel() > 500:
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.running_var.eq(1).all()  # type: ignore[union-attr]
            assert not module.bias.any()
            assert not module.running_mean.any()  # type: ignore[union-attr]
            assert module.num_batches_tracked == 0


def test_new_classifier_has_pytorchs_default_initialisation() -> None:
    """Bit for bit what nn.Linear draws from a generator in the same state."""
    network = small()
    network.replace_classifier(7, seeded(5))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = nn.Linear(network.classifier.in_features, 7)
    assert torch.equal(network.classifier.weight, expected.weight)
    assert torch.equal(network.classifier.bias, expected.bias)
    assert network(clips()).shape == (4, 7)


def test_channel_axis_is_optional() -> None:
    """(batch, frames, mels) and (batch, 1, frames, mels) are the same input."""
    network, x = small().eval(), clips()
    assert torch.equal(network(x), network(x[:, None]))


def test_logits_are_the_classifier_of_the_embedding() -> None:
    """In evaluation the head dropout does nothing, and `embed` is what the classifier sees."""
    network, x = small(head_dropout=0.5).eval(), clips()
    assert torch.equal(network(x), network.classifier(network.embed(x)))


def test_shortest_clip_of_the_card_is_the_shortest_that_works() -> None:
    """The card's minimum passes five poolings, one frame less does not."""
    network, shortest = small().eval(), panns.card("cnn14", 32_000).min_frames
    assert network(clips(frames=shortest)).isfinite().all()
    with pytest.raises(RuntimeError):
        network(clips(frames=shortest - 1))


def test_mel_bands_are_normalised_apart_before_augmentation() -> None:
    """The augmentation sees each mel band with mean 0 and variance 1 over batch and frames."""
    seen = []
    x = clips(16) * torch.linspace(1, 9, 64) + torch.linspace(-80, 0, 64)
    small().train()(x, lambda normal: seen.append(normal) or normal)  # type: ignore[func-returns-value]
    assert seen[0].shape == (16, 1, 40, 64)
    torch.testing.assert_close(seen[0].mean(dim=(0, 1, 2)), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(seen[0].std(dim=(0, 1, 2)), torch.ones(64), rtol=0, atol=1e-2)


def test_augmentation_halves_the_batch() -> None:
    """Mixup inside the network gives logits for pairs, and gradients to every parameter."""
    network = small().train()
    drawn = augment.draw("specaugment+mixup", 8, 40, 64, time_width=16, generator=seeded(1))
    logits = network(clips(8), drawn)
    logits.sum().backward()
    assert logits.shape == (4, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(("head_dropout", "zero_share"), [(0.0, 0.0), (0.5, 0.5)])
def test_head_dropout_is_before_the_classifier(head_dropout: float, zero_share: float) -> None:
    """In training the classifier sees the embedding with that share of it dropped, none by default."""
    network = panns.build("cnn14", 3, width=1 / 8, head_dropout=head_dropout, generator=seeded(1)).train()
    nn.init.constant_(network.fc1.bias, 100.0)  # so that ReLU makes no zeros of its own
    seen: list[torch.Tensor] = []
    network.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(clips(16))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(zero_share, abs=0.05)


def test_published_dropout_is_active_in_training() -> None:
    """0.2 after each convolution block and 0.5 before fc1, as published."""
    network, shares = panns.build("cnn14", 3, width=1 / 8, generator=seeded(1)).train(), []
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(
                lambda m, inputs, out: shares.append(
                    (m.p, ((out == 0) & (inputs[0] != 0)).sum() / (inputs[0] != 0).sum())
                )
            )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(clips(16))
    assert [p for p, _ in shares] == [0.2] * 6 + [0.5, 0.0]
    assert all(abs(share - p) < 0.05 for p, share in shares)


def test_the_forward_pass_is_one_graph() -> None:
    """A compiler can take the whole network with its augmentation; no step waits for the host."""
    network, x = small().train(), clips(8)
    drawn = augment.draw("specaugment+mixup", 8, 40, 64, time_width=16, generator=seeded(1))
    compiled = torch.compile(network.embed, backend="eager", fullgraph=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = network.embed(x, drawn)
        torch.manual_seed(0)
        found = compiled(x, drawn)
    torch.testing.assert_close(found, expected)
