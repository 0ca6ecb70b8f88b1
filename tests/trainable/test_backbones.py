"""The contract of networks holds for every family, and the ten networks of the study make a training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sweeps.deepship_backbones import SWEEP
from sweeps.recipes.mohammadi import RATES
from tests.trainable.drawing import draw
from trainable import finetune
from trainable.backbones import efficientat, panns, timm
from trainable.config import TrialConfig
from trainable.examples import Examples, Scale
from trainable.learning.learner import ready_learner
from trainable.network import card
from trainable.network.backbone import Backbone
from trainable.network.card import family, module
from trainable.network.networks import start_network
from trainable.weights import pretrained
from trainable.weights.weights import WrongWeights

NAMES = [*panns.NUM_PARAMETERS, *(f"timm/{name}" for name in timm.KNOWN), *efficientat.NAMES]
STUDY = {trial.backbone: trial for trial in SWEEP.trials}
TABLE_II = {  # trainable parameters with four classes; networks of timm have 128 more, for the input's normalisation
    "cnn14": 79_681_988,
    "wavegram_logmel_cnn14": 79_993_860,
    "mobilenetv1": 4_260_228,
    "resnet38": 72_711_620,
    "res1dnet31": 79_392_836,
    "timm/convnextv2_tiny.fcmae": 27_866_500 + 128,
    "timm/regnety_320.tv2_in1k": 141_348_046 + 128,
    "timm/densenet201.tv_in1k": 18_094_340 + 128,
    "timm/resnet50.a1_in1k": 23_509_956 + 128,
    "timm/mobilenetv3_large_100.ra_in1k": 4_206_868 + 128,
}


def config(name: str, width: float = 1 / 16, **fields: object) -> TrialConfig:
    """A trial with a narrow network on clips of 2 s at 32 kHz."""
    return RATES.but(
        corpus="deepship",
        backbone=name,
        pretrain_hz=32_000,
        data_hz=32_000,
        augment="none",
        seed=1,
        clip_s=2.0,
        weights="none",
        width=width,
        input_norm=card.card(name, 32_000).input_norms[0],
        **fields,  # type: ignore[arg-type]
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(name: str, seed: int = 1) -> Backbone:
    network: Backbone = module(name).build(config(name), 3, generator=seeded(seed))
    return network


@cache
def network(name: str) -> Backbone:
    """A network that no test changes."""
    return build(name)


def clips(trial: TrialConfig, batch: int = 4) -> torch.Tensor:
    """Noise with the shape and range of the network's input."""
    if trial.given.waves:
        return 0.1 * torch.randn(batch, trial.num_samples, generator=seeded(0))
    return -50 + 10 * torch.randn(batch, *trial.logmel_shape, generator=seeded(0))


def convolutions(net: nn.Module) -> list[nn.Module]:
    return [m for m in net.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_gives_an_embedding_and_logits(self, name: str) -> None:
        """The output has a row for each clip, with the widths that the classifier takes and gives."""
        x = clips(config(name))
        with torch.no_grad():
            embedding, logits = network(name).eval().embed(x), network(name)(x)
        assert embedding.shape == (4, network(name).classifier.in_features)
        assert logits.shape == (4, 3)
        torch.testing.assert_close(network(name).classifier(embedding), logits)

    @pytest.mark.slow
    def test_gradients_reach_the_first_layer(self, name: str) -> None:
        """The first convolution of each branch gets a gradient, and so does every parameter."""
        net = build(name).train()
        net(clips(config(name))).square().sum().backward()
        first = {"wavegram_logmel_cnn14": ["pre_conv0", "conv_block1.conv1"]}.get(name)
        inputs = [net.get_submodule(n) for n in first] if first else convolutions(net)[:1]
        assert all(layer.weight.grad.abs().max() > 0 for layer in inputs)  # type: ignore[union-attr, operator]
        assert [n for n, p in net.named_parameters() if p.grad is None] == []

    def test_evaluation_is_deterministic_and_clip_by_clip(self, name: str) -> None:
        """Logits are reproducible, and do not depend on the other clips."""
        x, net = clips(config(name)), network(name).eval()
        with torch.no_grad():
            together, again, alone = net(x), net(x), net(x[2:3])
        assert torch.equal(together, again)
        torch.testing.assert_close(alone, together[2:3], rtol=1e-4, atol=1e-4)

    def test_mixup_halves_the_batch(self, name: str) -> None:
        """Two clips become one sample, for any input."""
        x, trial = clips(config(name)), config(name)
        mixed = draw("specaugment+mixup", 4, *trial.logmel_shape, time_width=8, generator=seeded(2))
        with torch.no_grad():
            assert network(name).eval()(x, mixed).shape == (2, 3)

    @pytest.mark.slow
    def test_building_draws_from_the_generator_alone(self, name: str) -> None:
        """Weights follow from the generator, and torch's random state does not change."""
        before = torch.get_rng_state()
        states = [build(name, seed).state_dict() for seed in (1, 1, 2)]
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
        drawn = [n for n, p in states[0].items() if p.ndim > 1]
        assert any(not torch.equal(states[0][n], states[2][n]) for n in drawn)

    def test_evaluation_leaves_the_random_state_alone(self, name: str) -> None:
        """Evaluation draws no random numbers."""
        before = torch.get_rng_state()
        network(name).eval()(clips(config(name)))
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.slow
    def test_a_runs_checkpoint_fits_whole_or_not_at_all(self, name: str, tmp_path: Path) -> None:
        """A network with another's checkpoint has the same logits; a missing name is refused."""
        x, front_end = clips(config(name)), config(name).card.front_end
        source, other = build(name, seed=1).eval(), build(name, seed=2).eval()
        state = {"model": source.state_dict(), "front_end": dataclasses.asdict(front_end), "key": "0123456789ab"}
        torch.save(state, tmp_path / "best.pt")
        pretrained.load(other, tmp_path / "best.pt", front_end)
        assert torch.equal(other(x), source(x))
        state["model"].popitem(last=False)  # type: ignore[attr-defined]
        torch.save(state, tmp_path / "less.pt")
        with pytest.raises(WrongWeights, match="1 missing"):
            pretrained.load(other, tmp_path / "less.pt", front_end)

    @pytest.mark.slow
    def test_a_new_classifier_takes_the_old_ones_place(self, name: str) -> None:
        """It follows from the generator, has a logit for each class, and nothing else changes."""
        net, other = build(name), build(name, seed=2)
        body = {n: p.clone() for n, p in net.state_dict().items() if not n.startswith(f"{net.head}.")}
        for each in (net, other):
            each.replace_classifier(7, seeded(3))
        assert net.eval()(clips(config(name))).shape == (4, 7)
        assert torch.equal(net.classifier.weight, other.classifier.weight)
        after = net.state_dict()  # once: 1,212 names of DenseNet take 11 ms
        assert all(torch.equal(after[n], value) for n, value in body.items())

    def test_last_features_are_a_map(self, name: str) -> None:
        """The map has channels over time and frequency, or over time only for a waveform."""
        maps: list[torch.Tensor] = []
        hook = network(name).last_features.register_forward_hook(lambda layer, inputs, out: maps.append(out))
        with torch.no_grad():
            network(name).eval()(clips(config(name)))
        hook.remove()
        assert maps[0].ndim == (3 if not config(name).given.spectrogram else 4)
        assert maps[0].shape[0] == 4

    def test_the_shortest_clip_of_its_card_is_the_shortest(self, name: str) -> None:
        """Clips of that length can be trained on; a frame or a sample less is too short where there is a limit."""
        card, net = config(name).card, build(name).train()
        takes_wave = "wave" in card.inputs[0]
        frames = card.front_end.num_frames(card.min_samples)
        shortest = (card.min_samples,) if takes_wave else (frames, card.front_end.num_mels)
        assert net(torch.randn(2, *shortest)).isfinite().all()
        if shortest[0] > 1:
            with pytest.raises(RuntimeError):
                net(torch.randn(2, shortest[0] - 1, *shortest[1:]))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_II)
def test_parameter_counts_are_those_of_table_ii(name: str) -> None:
    """The counts are those of the reference implementations and, in millions, of the paper."""
    with torch.device("meta"):
        net = module(name).build(config(name, width=1), 4, generator=torch.Generator())
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == TABLE_II[name]


def test_the_study_has_the_papers_networks() -> None:
    """There are ten backbones, each with a count to compare."""
    assert set(STUDY) == set(TABLE_II)


def at_rate(name: str, data_hz: int) -> TrialConfig:
    """The trial of the study at another data rate, with a narrow network."""
    return dataclasses.replace(STUDY[name], weights="none", width=1 / 16, data_hz=data_hz, batch=2, lr=1e-3)


@pytest.mark.parametrize("data_hz", [2_000, 4_000])
def test_what_is_too_short_is_refused_in_the_plan(data_hz: int) -> None:
    """5 s at 2 and 4 kHz are too short for Res1dNet31's strides; the plan refuses them."""
    reason = f"a clip of 5 s gives {5 * data_hz} samples to res1dnet31 pre-trained at 32000 Hz, which needs 20476"
    with pytest.raises(ValueError, match=f"^data_hz={data_hz}: {reason}; raise data_hz or clip_s$"):
        at_rate("res1dnet31", data_hz)


@pytest.mark.slow
@pytest.mark.parametrize("data_hz", [2_000, 4_000, 32_000])
@pytest.mark.parametrize("name", TABLE_II)
def test_all_else_trains_at_every_rate(name: str, data_hz: int) -> None:
    """A step of the study's training has a finite loss and changes all weights."""
    if (name, data_hz) in {("res1dnet31", 2_000), ("res1dnet31", 4_000)}:
        return  # the test above
    trial = at_rate(name, data_hz)
    net = start_network(trial, 2, None).to(memory_format=torch.channels_last)
    before = {n: p.clone() for n, p in net.named_parameters()}
    labels = torch.tensor([0, 1, 0, 1])
    x, scale = clips(trial), None
    if trial.given.waves:
        x, scale = (x * 2**15).clamp(-(2**15), 2**15 - 1).to(torch.int16), Scale(-20_000.0, 1 / 40_000)
    train = Examples(x if scale else x.half(), labels, np.array(["a", "b", "c", "d"]), np.zeros(4, dtype=int), scale)
    (losses,) = finetune.train_epoch(ready_learner(trial, net), train, epoch=1).values()
    assert losses.isfinite().all()
    assert not torch.equal(net.classifier.weight, before[f"{net.head}.weight"])
    first = convolutions(net)[0]
    assert any(p is first.weight and not torch.equal(p, before[n]) for n, p in net.named_parameters())
    assert np.isfinite(finetune.predict(net, train, trial)).all()


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The distance of two tensors, relative to the second."""
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE_II)
def test_bfloat16_is_float32_within_its_digits(name: str) -> None:
    """For one cell of each backbone, logits after some training and gradients of the loss agree."""
    trials = [config(name, precision=precision, head_dropout=0.0) for precision in ("float32", "bfloat16")]
    net, labels = build(name).to(memory_format=torch.channels_last).train(), torch.arange(8) % 3
    with torch.no_grad():
        net(clips(trials[0], 8))  # the moments of its batch normalisations
    logits, gradients = [], []
    for trial in trials:
        net.eval().zero_grad()
        with finetune.arithmetic(trial, torch.device("cpu")):
            logits.append(net(clips(trial, 8)).float())
        torch.nn.functional.cross_entropy(logits[-1], labels).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert 0 < distance(logits[1].detach(), logits[0].detach()) < 0.05  # 0.3 to 1 %, MobileNetV3 3 %
    assert distance(gradients[1], gradients[0]) < (0.5 if "wavegram" in name else 0.3)  # 0.6 to 16 %, Wavegram 27 %


Read = Callable[[], Mapping[str, str]]


class TestFamilies:
    @pytest.fixture
    def read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
        """Reads the bare names of families in a separate folder."""
        monkeypatch.setattr(card, "BACKBONES", tmp_path)
        card.bare_names.cache_clear()
        yield card.bare_names
        card.bare_names.cache_clear()

    def test_a_bare_name_is_of_the_family_that_names_it(self) -> None:
        """Other names have their family before a slash."""
        assert tuple(panns.NUM_PARAMETERS) == panns.NAMES
        assert {family(name) for name in panns.NAMES} == {"panns"}
        assert [family(name) for name in ("timm/x.y", "baseline/bands", "nosuch/x")] == ["timm", "baseline", "nosuch"]

    def test_a_new_family_is_one_file(self, tmp_path: Path, read: Read) -> None:
        """Its file is read but not run, for any spelling of NAMES; names with a family are not bare."""
        (tmp_path / "a.py").write_text('import nosuch\nNAMES: tuple[str, ...] = ("ast", "a/b")\nNAMES_TOO = 1\n')
        (tmp_path / "b.py").write_text('NAMES = (\n    "beats",\n)\nraise SystemExit\n')
        (tmp_path / "c.py").write_text('"""NAMES = 1"""\n')
        assert read() == {"ast": "a", "beats": "b"}
        with pytest.raises(ValueError, match=r"no such network; there are ast, beats, and family/name of c$"):
            family("cnn14")

    def test_names_that_must_be_computed_are_refused(self, tmp_path: Path, read: Read) -> None:
        """The message has the file and the remedy."""
        (tmp_path / "a.py").write_text("NAMES = tuple(OTHERS)\n")
        with pytest.raises(ValueError, match=r"a\.py: NAMES is read without running the file; write the names out"):
            read()
