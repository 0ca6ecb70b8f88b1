"""Behaviour of the PANNs: initialisation, input, augmentation, dropout. `test_panns_reference` checks their outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.trainable.drawing import draw
from trainable.augmentations.mixup import Lambdas
from trainable.augmentations.specaugment import Masks, draw_masks
from trainable.backbones import panns
from trainable.learning.augmentation import Augmentation
from trainable.network.frontend import logmel
from trainable.network.panns import models
from trainable.network.panns.blocks import HalvingConv2d, ResidualBlock
from trainable.network.panns.models import Pann

ALL = tuple(panns.NUM_PARAMETERS)
WAVEGRAM = "wavegram_logmel_cnn14"
OF_WAVES = ("res1dnet31", WAVEGRAM)
OF_LOGMELS = tuple(name for name in ALL if name not in OF_WAVES)
FRONT_END = panns.card("cnn14", 32_000).front_end


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(
    backbone: str = "cnn14", num_classes: int = 3, head_dropout: float = 0.0, seed: int = 1, width: float = 1 / 64
) -> Pann:
    network = models.build(
        backbone, num_classes, width=width, head_dropout=head_dropout, front_end=FRONT_END, generator=seeded(seed)
    )
    assert isinstance(network, Pann)
    return network


def lively(backbone: str) -> Pann:
    """A network in evaluation mode with statistics and normalisations that are not the identity, so no output is 0."""
    network = small(backbone, width=1 / 16).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1, 2, generator=seeded(2))
            nn.init.uniform_(module.bias, 0, 1, generator=seeded(3))
    return network


def clips(batch: int = 4, frames: int = 40) -> torch.Tensor:
    return torch.randn(batch, frames, 64, generator=seeded(0))


def waves(batch: int = 4, num_samples: int = 20_480) -> torch.Tensor:
    return 0.1 * torch.randn(batch, num_samples, generator=seeded(0))


def inputs(backbone: str, batch: int = 4) -> torch.Tensor:
    return waves(batch) if backbone in OF_WAVES else clips(batch)


def halves(batch: int) -> Augmentation:
    """Mixup only, with a quarter of one clip and three quarters of the other."""
    return Augmentation((Lambdas(torch.full((batch // 2,), 0.25)),))


@dataclass(frozen=True)
class Spy(Augmentation):
    """Changes nothing, but keeps its input."""

    called: list[torch.Tensor] = field(default_factory=list)
    mixed: list[torch.Tensor] = field(default_factory=list)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.called.append(x)
        return x

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        self.mixed.append(x)
        return x


def test_building_draws_from_the_generator_alone() -> None:
    """The network follows from the generator; torch's global state is neither used nor changed."""
    before = torch.get_rng_state()
    first, again, other = small(seed=1), small(seed=1), small(seed=2)
    first.replace_classifier(5, seeded(3))
    again.replace_classifier(5, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


@pytest.mark.parametrize("backbone", ALL)
def test_initialisation_is_the_published_one(backbone: str) -> None:
    """Weights are Xavier-uniform, biases 0, normalisations the identity, or 0 at the end of residual blocks."""
    network = small(backbone)
    ends = [module.bn2 for module in network.modules() if isinstance(module, ResidualBlock)]
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            bound = math.sqrt(6 / (fan_in + fan_out))
            assert module.weight.abs().max() <= bound
            if module.weight.numel() > 500:
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.weight.eq(0 if module in ends else 1).all()
            assert module.running_var.eq(1).all()  # type: ignore[union-attr]
            assert not module.bias.any()
            assert not module.running_mean.any()  # type: ignore[union-attr]
            assert module.num_batches_tracked == 0


def test_new_classifier_has_pytorchs_default_initialisation() -> None:
    """It equals an nn.Linear drawn from a generator in the same state, bit for bit."""
    network = small()
    network.replace_classifier(7, seeded(5))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = nn.Linear(network.classifier.in_features, 7)
    assert torch.equal(network.classifier.weight, expected.weight)
    assert torch.equal(network.classifier.bias, expected.bias)
    assert network(clips()).shape == (4, 7)


@pytest.mark.parametrize("backbone", OF_LOGMELS)
def test_channel_axis_is_optional(backbone: str) -> None:
    """(batch, frames, mels) and (batch, 1, frames, mels) are the same input."""
    network, x = lively(backbone), clips()
    assert torch.equal(network(x), network(x[:, None]))


@pytest.mark.parametrize("size", [(8, 6), (9, 6), (8, 7), (101, 64), (2, 3)])
def test_mobilenets_first_convolution_pools_too(size: tuple[int, int]) -> None:
    """It has the output and the gradients of a convolution and a pooling."""
    ours, plain = HalvingConv2d(3, 5), nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.AvgPool2d(2))
    plain[0].weight = nn.Parameter(ours.weight.detach().clone())
    x = torch.randn(2, 3, *size, generator=seeded(0))
    our_x, plain_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    pooled, expected = ours(our_x), plain(plain_x)
    torch.testing.assert_close(pooled, expected)
    weights = torch.randn(expected.shape, generator=seeded(1))
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(our_x.grad, plain_x.grad)
    torch.testing.assert_close(ours.weight.grad, plain[0].weight.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("backbone", ALL)
def test_embedding_is_made_of_the_last_features(backbone: str) -> None:
    """It is their mean over mels, mean plus maximum over time, and `fc1`, so class activation maps work."""
    network, maps = lively(backbone), []
    network.last_features.register_forward_hook(lambda module, args, out: maps.append(out))
    embedding = network.embed(inputs(backbone))
    (features,) = maps
    assert features.min() >= 0
    pooled = features.flatten(3).mean(dim=3) if features.ndim == 4 else features
    expected = F.relu(network.fc1(pooled.mean(dim=2) + pooled.max(dim=2).values))
    assert expected.max() > 0
    torch.testing.assert_close(embedding, expected)


def test_logits_are_the_classifier_of_the_embedding() -> None:
    """In evaluation the head dropout does nothing, and `embed` is the classifier's input."""
    network, x = small(head_dropout=0.5).eval(), clips()
    assert torch.equal(network(x), network.classifier(network.embed(x)))


@pytest.mark.parametrize(("backbone", "pretrain_hz"), panns.CHECKPOINTS)
def test_shortest_clip_of_the_card_is_the_shortest_that_works(backbone: str, pretrain_hz: int) -> None:
    """The card's minimum passes all poolings in training; one sample less does not."""
    card, network = panns.card(backbone, pretrain_hz), small(backbone).train()

    def run(num_samples: int) -> torch.Tensor:
        wave = waves(2, num_samples)
        return network(logmel(wave, card.front_end) if card.inputs == ("logmel",) else wave)

    assert run(card.min_samples).isfinite().all()
    with pytest.raises(RuntimeError):
        run(card.min_samples - 1)


@pytest.mark.parametrize("backbone", [*OF_LOGMELS, WAVEGRAM])
def test_mel_bands_are_normalised_apart_before_augmentation(backbone: str) -> None:
    """The augmentation gets each mel band with mean 0 and variance 1 over batch and frames."""
    spy, logmels = Spy(), clips(16) * torch.linspace(1, 9, 64) + torch.linspace(-80, 0, 64)
    small(backbone).train()(logmels if backbone in OF_LOGMELS else waves(16), spy)
    (normalised,) = spy.called
    assert normalised.shape == (16, 1, 40 if backbone in OF_LOGMELS else 65, 64)
    torch.testing.assert_close(normalised.mean(dim=(0, 1, 2)), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(normalised.std(dim=(0, 1, 2)), torch.ones(64), rtol=0, atol=1e-2)


@pytest.mark.parametrize("backbone", ALL)
def test_augmentation_halves_the_batch(backbone: str) -> None:
    """Mixup inside the network gives logits for pairs, and gradients for every parameter."""
    network, x = small(backbone).train(), inputs(backbone, 8)
    frames = FRONT_END.num_frames(x.shape[1]) if backbone in OF_WAVES else 40
    logits = network(x, draw("specaugment+mixup", 8, frames, 64, time_width=16, generator=seeded(1)))
    logits.sum().backward()
    assert logits.shape == (4, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(("head_dropout", "zero_share"), [(0.0, 0.0), (0.5, 0.5)])
def test_head_dropout_is_before_the_classifier(head_dropout: float, zero_share: float) -> None:
    """In training that share of the classifier's input is dropped; the default is none."""
    network = small(head_dropout=head_dropout, width=1 / 8).train()
    nn.init.constant_(network.fc1.bias, 100.0)  # so that ReLU adds no zeros
    inputs: list[torch.Tensor] = []
    network.classifier.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(clips(16))
    assert (inputs[0] == 0).float().mean().item() == pytest.approx(zero_share, abs=0.05)


@pytest.mark.parametrize(
    ("backbone", "expected"),
    {
        "cnn6": [0.2] * 4,
        "cnn10": [0.2] * 4,
        "cnn14": [0.2] * 6,
        "resnet22": [0.2, *[0.1] * 8, 0.2, 0.2],
        "resnet38": [0.2, *[0.1] * 16, 0.2, 0.2],
        "mobilenetv1": [],
        "res1dnet31": [0.1] * 14,
        "wavegram_logmel_cnn14": [0.2] * 6,
    }.items(),
)
def test_published_dropout_is_active_in_training(backbone: str, expected: list[float]) -> None:
    """Dropout is 0.2 after blocks, 0.1 in residual blocks and 0.5 before fc1, as published."""
    network, shares = small(backbone, width=1 / 8).train(), []

    def note(module: nn.Dropout, args: tuple[torch.Tensor], out: torch.Tensor) -> None:
        shares.append((module.p, ((out == 0) & (args[0] != 0)).sum() / (args[0] != 0).sum()))

    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(note)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(inputs(backbone, 16))
    assert [p for p, _ in shares if p] == [*expected, 0.5]
    assert all(abs(share - p) < 0.05 for p, share in shares)


@pytest.mark.parametrize("backbone", ALL)
def test_channels_last_changes_nothing(backbone: str) -> None:
    """The memory layout of trials gives the same logits."""
    network, x = lively(backbone), inputs(backbone)
    expected = network(x)
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["cnn14", "resnet22", "mobilenetv1", "res1dnet31"])
def test_the_forward_pass_is_one_graph(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler can take the whole network with its augmentation, and no step waits for the host."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # no compiler can take the tests' look at shapes
    network, x = small(backbone).train(), inputs(backbone, 8)
    drawn = draw("specaugment+mixup", 8, 40, 64, time_width=16, generator=seeded(1))
    compiled = torch.compile(network.embed, backend="eager", fullgraph=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = network.embed(x, drawn)
        torch.manual_seed(0)
        logits = compiled(x, drawn)
    torch.testing.assert_close(logits, expected)


class TestRes1dNet:
    def test_mixup_is_of_the_waveforms(self) -> None:
        """Mixing inside the network equals mixing before it."""
        network, x, mixup = lively("res1dnet31"), waves(), halves(4)
        assert torch.equal(network(x, mixup), network(mixup.mix(x)))

    def test_nothing_is_masked(self) -> None:
        """A waveform has no mel bands to mask."""
        network, x = lively("res1dnet31"), waves()
        masks = draw_masks(4, 65, 64, time_width=64, generator=seeded(0))
        assert torch.equal(network(x, Augmentation((masks,))), network(x))


class TestWavegram:
    def test_log_mel_is_of_the_clean_waveform_and_normalised(self) -> None:
        """The augmentation gets the log-mel of each clip with normalised bands."""
        network, spy, x = lively(WAVEGRAM), Spy(), waves()
        network(x, spy)
        (normalised,) = spy.called
        mels = logmel(x, FRONT_END)[:, None].transpose(1, 3)
        assert torch.equal(normalised, network.get_submodule("bn0")(mels).transpose(1, 3))

    def test_mixup_is_of_the_wavegrams(self) -> None:
        """The authors mix the learnt maps, not the waveforms."""
        network, spy, x = lively(WAVEGRAM), Spy(), waves()
        network(x, spy)
        (wavegram,) = spy.mixed
        assert wavegram.shape == (4, 4, 32, 32)
        assert torch.equal(wavegram, network.wavegram(x))

    def test_masks_are_of_the_log_mel_alone(self) -> None:
        """With the whole log-mel hidden, the wavegram still has an effect."""
        hidden = Masks(torch.ones(4, 65, dtype=torch.bool), torch.ones(4, 64, dtype=torch.bool))
        network = lively(WAVEGRAM)
        blind = network(waves(), Augmentation((hidden,)))
        assert not torch.equal(blind, network(waves()))
        assert not torch.equal(blind[0], blind[1])

    @pytest.mark.slow
    @pytest.mark.parametrize("lengths", [range(9_920, 10_260), range(48_000, 48_660)])
    @torch.inference_mode()
    def test_every_length_works(self, lengths: range) -> None:
        """The published network fails for half of all lengths, where its branches differ by a frame."""
        network, x = small(WAVEGRAM).eval(), waves(1, lengths[-1])
        assert all(network(x[:, :num_samples]).isfinite().all() for num_samples in lengths)

    @pytest.mark.slow
    @torch.inference_mode()
    def test_only_what_does_not_line_up_is_padded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At every length of a period, padding is used exactly if the branches would differ in size."""
        network, x = small(WAVEGRAM).eval(), waves(1, 20_480)
        lengths, needed = range(19_840, 20_480), []
        padded = [network.padding(num_samples) > 0 for num_samples in lengths]
        monkeypatch.setattr(network, "padding", lambda num_samples: 0)
        for num_samples in lengths:
            wave = x[:, :num_samples]
            spectral = network.get_submodule("conv_block1")(logmel(wave, FRONT_END)[:, None])
            needed.append(spectral.shape[2:] != network.wavegram(wave).shape[2:])
        assert padded == needed
        assert 0 < sum(needed) < len(needed) / 2

    @pytest.mark.parametrize("num_samples", [64_000, 48_319, 48_636])
    def test_a_length_that_lines_up_is_computed_as_published(
        self, num_samples: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The result equals that without any padding, bit for bit."""
        network, x = lively(WAVEGRAM), waves(2, num_samples)
        expected = network(x)
        monkeypatch.setattr(network, "padding", lambda num_samples: 0)
        assert torch.equal(network(x), expected)

    @pytest.mark.parametrize("num_samples", [48_320, 48_635])
    def test_other_lengths_are_reflected_at_their_end(self, num_samples: int) -> None:
        """They are padded to the next even multiple of the hop, 640 samples, before the wavegram."""
        network, x = lively(WAVEGRAM), waves(2, num_samples)
        longer = torch.cat((x, x[:, :-1].flip(1)), dim=1)[:, :48_640]
        assert torch.equal(network.wavegram(x), network.wavegram(longer))

    def test_masks_fit_every_length(self) -> None:
        """The log-mel has the clip's own number of frames, for which masks are drawn, even with padding."""
        network, spy = lively(WAVEGRAM), Spy()
        network(waves(2, 48_320), spy)
        assert spy.called[0].shape[2] == FRONT_END.num_frames(48_320) == 152
