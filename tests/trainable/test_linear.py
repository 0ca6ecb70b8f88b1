"""A linear probe trains the classifier of a frozen network, on embeddings that are made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.esc50 import write as write_esc50
from sweeps.recipes.mohammadi import RATES
from trainable import examples, finetune, trial
from trainable.config import TrialConfig
from trainable.cost import measure
from trainable.cost.cost import cell_of, epoch_flops, forward_flops
from trainable.device.place import Place
from trainable.examples import Examples, Scale
from trainable.finetune import Row
from trainable.network import linear
from trainable.network.backbone import Backbone
from trainable.network.linear import LinearProbe, embedded
from trainable.network.networks import start_network
from trainable.result import record
from trainable.result.usage import MEASURED
from trainable.weights import checkpoint

CPU = torch.device("cpu")
CONFIG = RATES.but(
    corpus="esc50",
    pretrain_hz=8_000,
    data_hz=8_000,
    augment="none",
    split="published",
    clip_s=1.0,
    weights="none",
    width=1 / 32,
    lr=1e-2,
    batch=8,
    epochs=3,
    trained="head",
)
MOBILENET = dataclasses.replace(
    CONFIG, backbone="timm/mobilenetv3_large_100.ra_in1k", width=1 / 8, input_norm="standard"
)
WAVE = dataclasses.replace(CONFIG, backbone="res1dnet31", pretrain_hz=32_000, data_hz=32_000)
NUM_CLASSES = 3


class Stopped(Exception):
    """Ends a trial in the middle."""


def toy(config: TrialConfig, clips: int = 21, seed: int = 0) -> Examples:
    """Noise around a level that depends on the class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips) % NUM_CLASSES
    none = np.zeros(clips, dtype=int)
    if not config.given.spectrogram:
        wave = torch.randint(-9_000, 9_000, (clips, config.num_samples), generator=random).to(torch.int16)
        return Examples(wave, labels, none, none, Scale(0.0, 1 / 32767))
    level = torch.linspace(-1, 1, NUM_CLASSES)[labels, None, None]
    noise = torch.randn(clips, *config.logmel_shape, generator=random)
    return Examples((-30 + 5 * level + 5 * noise).half(), labels, none, none)


def fresh(config: TrialConfig = CONFIG) -> Backbone:
    """The network from which a trial starts, with normalisations that have seen some clips."""
    network = start_network(config, NUM_CLASSES, None).to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.random.fork_rng():
        network.train()(toy(config).batch(slice(0, 8)))
    return network


class Outcome(NamedTuple):
    """The results of training: its numbers without the times, and the weights of the network."""

    history: list[Row]
    weights: dict[str, Tensor]


def run(folder: Path, report: Callable[[Row], None] = lambda row: None, config: TrialConfig = CONFIG) -> Outcome:
    """Trains a linear probe on toys."""
    network = fresh(config)
    part, (train, validation) = config.trained.ready(config, network, (toy(config), toy(config, 10, seed=1)))
    history = finetune.finetune(config, part, train, validation, folder, report)
    return Outcome(timeless(history), {n: t.clone() for n, t in network.state_dict().items()})


def timeless(history: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if not name.startswith(MEASURED)} for row in history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of a probe that was not interrupted."""
    return run(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("config", [CONFIG, MOBILENET, WAVE], ids=lambda config: config.backbone)
def test_embeddings_are_what_feeds_the_classifier(config: TrialConfig) -> None:
    """They are those of every clip in order, in evaluation mode and single precision."""
    network, clips, fed = fresh(config), toy(config), []
    network.classifier.register_forward_pre_hook(lambda module, args: fed.append(args[0]))
    embeddings = embedded(config, network, clips)
    assert fed == []
    with torch.no_grad():
        for start in range(0, 21, 4):  # in different batches from those of the embedding
            network.eval()(clips.batch(slice(start, start + 4)))
    expected = torch.cat(fed)
    assert (embeddings.inputs.shape, embeddings.inputs.dtype) == ((21, network.classifier.in_features), torch.float32)
    torch.testing.assert_close(embeddings.inputs, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(
        embeddings.batch(slice(None)), embeddings.inputs
    )  # the scale of a waveform does not apply to its embedding
    assert torch.equal(embeddings.labels, clips.labels)
    assert float(embeddings.inputs.std(0).max()) > 0


def frozen(config: TrialConfig) -> Outcome:
    """Trains in the plain way: every epoch passes every clip through the network, but only the classifier learns."""
    network, train, validation = fresh(config), toy(config), toy(config, 10, seed=1)
    optimizer = torch.optim.Adam(network.classifier.parameters(), lr=config.lr)
    history, best_weights = [], {}
    for epoch in range(1, config.epochs + 1):
        network.eval()
        network.head_dropout.train()
        order = torch.randperm(21, generator=finetune.generator(config.seed, "order", epoch))
        losses = []
        with finetune.dropout_of(config, epoch, CPU):
            for drawn in finetune.batches(order, config.batch, 1):
                network.zero_grad()
                loss = F.cross_entropy(network(train.batch(drawn)), train.labels[drawn])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        with torch.no_grad():
            logits = network.eval()(validation.batch(slice(None)))
        row = {
            "epoch": float(epoch),
            "train_loss": float(np.mean(losses)),
            "val_loss": F.cross_entropy(logits, validation.labels).item(),
            "val_accuracy": (logits.argmax(1) == validation.labels).double().mean().item(),
        }
        if row["val_accuracy"] > max((r["val_accuracy"] for r in history), default=-1):
            best_weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        history.append(row)
    return Outcome(history, best_weights)


def test_it_is_fine_tuning_of_a_frozen_network(undisturbed: Outcome) -> None:
    """Losses, accuracies and weights equal those of a network in evaluation mode, except its last dropout."""
    plain = frozen(CONFIG)
    for row, other in zip(undisturbed.history, plain.history, strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-5)
    torch.testing.assert_close(undisturbed.weights, plain.weights, rtol=1e-5, atol=1e-5)
    assert len({row["val_loss"] for row in plain.history}) == CONFIG.epochs  # it learns


def test_the_classifier_alone_is_trained(undisturbed: Outcome) -> None:
    """All other weights keep their bits, including the moments of normalisations."""
    start = fresh().state_dict()
    differ = {name for name, value in undisturbed.weights.items() if not torch.equal(value, start[name])}
    assert differ == {"fc_audioset.weight", "fc_audioset.bias"}


@pytest.mark.parametrize("field", [{"head_dropout": 0.4}, {"head_dropout": 0.0}, {"seed": 2}, {"lr": 1e-3}])
def test_the_recipe_counts(tmp_path: Path, undisturbed: Outcome, field: dict[str, Any]) -> None:
    """Dropout on the embedding, the order of the clips and the learning rate follow the config."""
    assert run(tmp_path, config=dataclasses.replace(CONFIG, **field)).history != undisturbed.history


@pytest.mark.parametrize("epoch", range(1, CONFIG.epochs + 1))
def test_a_probe_stopped_after_any_epoch_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Outcome, epoch: int
) -> None:
    """It embeds the clips again and continues with the classifier."""

    def stop(row: Row) -> None:
        if row["epoch"] == epoch:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path, stop)
    rows: list[Row] = []
    resumed = run(tmp_path, rows.append)
    assert resumed.history == undisturbed.history == timeless(rows)
    assert all(torch.equal(value, undisturbed.weights[name]) for name, value in resumed.weights.items())


def test_a_network_that_is_fine_tuned_is_left_as_it_is() -> None:
    """Without a probe, the whole network is trained on its clips."""
    config = dataclasses.replace(CONFIG, trained="everything")
    network, clips = fresh(config), toy(config)
    part, roles = config.trained.ready(config, network, (clips,))
    assert part is network
    assert roles == (clips,)
    assert all(p.requires_grad for p in network.parameters())


class Material(NamedTuple):
    """A cache entry, a split manifest and a stored scan."""

    clips: Path
    split: Path
    scan: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A synthetic ESC-50, cut into clips of 1 s."""
    root = tmp_path_factory.mktemp("esc50")
    write_esc50(root / "audio", num_classes=NUM_CLASSES, rate_hz=16_000)
    source = Source(root / "audio", root / "cache")
    prepared = prepare.prepare(Wanted("esc50", (), "published", CONFIG.clip_s), source)
    (clips,) = prepare.clips(prepared, [CONFIG.data_hz], CONFIG.clip_s, source).values()
    split, scan = splits.write(prepared.split, root / "splits"), manifest.write(prepared.scan, root / "scans")
    return Material(clips, split, scan)


def whole_trial(material: Material, folder: Path, num_devices: int = 1) -> record.Record:
    """The record of a trial on clips of sounds."""
    trial.run(
        CONFIG,
        Place(material.clips, material.split, None, folder, scan=material.scan, num_devices=num_devices),
        lambda row: None,
    )
    committed = record.read(folder)
    assert committed is not None
    return committed


@pytest.fixture(scope="module")
def finished(material: Material, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, record.Record]:
    """A finished trial, and its folder."""
    folder = tmp_path_factory.mktemp("trial")
    return folder, whole_trial(material, folder)


def test_a_trial_leaves_the_whole_network(finished: tuple[Path, record.Record], material: Material) -> None:
    """best.pt, in the published layout, gives the stored predictions, and its classifier has changed."""
    folder, committed = finished
    weights, network = checkpoint.load(folder / "best.pt")["model"], start_network(CONFIG, NUM_CLASSES, None)
    start = network.state_dict()
    assert {n for n, t in weights.items() if not torch.equal(t, start[n])} == {"fc_audioset.weight", "fc_audioset.bias"}
    network.load_state_dict(weights)
    test = examples.load(
        CONFIG,
        trial.open_clips(material.clips, manifest.read(material.scan).corpus),
        splits.read(material.split),
        "test",
        CPU,
    )
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        logits = finetune.predict(network.to(memory_format=torch.channels_last), test, CONFIG)
        assert (stored["logits"] == logits).all()
    assert committed.scores["epochs_run"] == CONFIG.epochs


def test_its_parameters_are_those_of_the_classifier(finished: tuple[Path, record.Record]) -> None:
    """Each of three classes has a weight for each of 64 features, and a bias."""
    assert finished[1].scores["num_parameters"] == 3 * (64 + 1)


@pytest.mark.parametrize(("score_on", "afterwards"), [("test", ["test"]), ("validation", [])])
def test_test_clips_are_taken_up_after_the_last_epoch(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_on: str, afterwards: list[str]
) -> None:
    """They are neither loaded nor embedded before, and never in a trial of a search."""
    happened: list[str] = []
    load = examples.load
    monkeypatch.setattr(examples, "load", lambda *args: happened.append(args[3]) or load(*args))  # type: ignore[func-returns-value]
    config = dataclasses.replace(CONFIG, score_on=score_on)
    place = Place(material.clips, material.split, None, tmp_path, scan=material.scan)
    trial.run(config, place, lambda row: happened.append("epoch"))
    assert happened == ["train", "validation", *CONFIG.epochs * ["epoch"], *afterwards]


@pytest.mark.slow
def test_two_devices_end_as_one(finished: tuple[Path, record.Record], material: Material, tmp_path: Path) -> None:
    """Each device embeds the training clips and takes its share of every batch."""
    shared = whole_trial(material, tmp_path, num_devices=2)
    assert shared.provenance["num_devices"] == "2"
    for row, other in zip(timeless(shared.history), timeless(finished[1].history), strict=True):
        assert row == pytest.approx(other, rel=1e-5)


class TestStandardised:
    """Embeddings by the mean and standard deviation of the training clips, until the classifier has both in it."""

    CONFIG = CONFIG.but(**{"trained.standardise": 1}, epochs=20, head_dropout=0.0)

    @staticmethod
    def faint(config: TrialConfig) -> Backbone:
        """A network whose embeddings are as small as those of some untrained ones."""
        network = fresh(config)
        with torch.no_grad():
            network.get_submodule("fc1").weight.mul_(1e-9)
            network.get_submodule("fc1").bias.mul_(1e-9)
        return network

    def learnt(self, folder: Path, config: TrialConfig) -> tuple[Backbone, Backbone, Examples]:
        """The network, its probe before it is finished, and the validation clips."""
        network = self.faint(config)
        part, (train, validation) = config.trained.ready(config, network, (toy(config), toy(config, 30, seed=1)))
        finetune.finetune(config, part, train, validation, folder, lambda row: None)
        return network, part, validation

    def test_as_by_scikit_learn(self) -> None:
        """The training clips alone decide, and a feature that never changes is divided by 1."""
        network, clips, others = fresh(), toy(CONFIG), toy(CONFIG, 10, seed=1)
        part, (train, validation) = self.CONFIG.trained.ready(self.CONFIG, network, (clips, others))
        spread = linear.moments(train)[1]
        assert (spread == 1).any()  # some of these features are 0 for every clip
        assert (spread != 1).any()
        scaler = StandardScaler().fit(train.inputs.double().numpy())
        for role in (train, validation):
            expected = scaler.transform(role.inputs.double().numpy())
            np.testing.assert_allclose(part.embed(role.inputs).numpy(), expected, rtol=1e-5, atol=1e-6)

    def test_faint_embeddings_teach(self, tmp_path: Path) -> None:
        """As they are they leave the classifier at chance, a third."""
        found = {}
        for config in (self.CONFIG, CONFIG.but(epochs=20, head_dropout=0.0)):
            network, part, validation = self.learnt(tmp_path / config.key, config)
            assert 0 < float(validation.inputs.abs().max()) < 1e-8
            config.trained.finish(part)
            logits = finetune.predict(network, toy(config, 30, seed=1), config)
            found[config.trained.standardise] = float((logits.argmax(1) == validation.labels.numpy()).mean())
        assert found[1] > 0.8
        assert found[0] < 0.5

    def test_a_finished_probe_takes_embeddings_as_they_are(self, tmp_path: Path) -> None:
        """The network has the probe's logits, and no other tensors than before; finishing again changes nothing."""
        network, part, validation = self.learnt(tmp_path, self.CONFIG)
        before = finetune.predict(part, validation, self.CONFIG)
        for _ in range(2):
            self.CONFIG.trained.finish(part)
            for after in (
                finetune.predict(network, toy(self.CONFIG, 30, seed=1), self.CONFIG),
                finetune.predict(part, validation, self.CONFIG),
            ):
                np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * float(np.abs(before).max()))
        assert network.state_dict().keys() == fresh().state_dict().keys()

    def test_a_trial_leaves_the_whole_network(self, material: Material, tmp_path: Path) -> None:
        """best.pt alone gives the stored predictions, and validation of its kept epoch."""
        config = self.CONFIG.but(epochs=3)
        place = Place(material.clips, material.split, None, tmp_path, scan=material.scan)
        trial.run(config, place, lambda row: None)
        network = start_network(config, NUM_CLASSES, None)
        network.load_state_dict(checkpoint.load(tmp_path / "best.pt")["model"])
        network = network.to(memory_format=torch.channels_last)
        clips = trial.open_clips(material.clips, manifest.read(material.scan).corpus)
        roles = {r: examples.load(config, clips, splits.read(material.split), r, CPU) for r in ("validation", "test")}
        logits = {role: finetune.predict(network, clips, config) for role, clips in roles.items()}
        with np.load(tmp_path / "predictions.npz", allow_pickle=False) as stored:
            assert (stored["logits"] == logits["test"]).all()
        committed = record.read(tmp_path)
        assert committed is not None
        loss = F.cross_entropy(torch.from_numpy(logits["validation"]), roles["validation"].labels)
        assert float(loss) == pytest.approx(committed.scores["best_val_loss"], rel=1e-4)

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"trained.standardise": 2}, r"trained.standardise=2: choose 1 to standardise embeddings, or 0"),
            (
                {"trained.standardise": 1, "precision": "bfloat16"},
                r"choose precision=float32, or trained.standardise=0",
            ),
            ({"trained": "everything", "trained.standardise": 1}, r"everything has no such setting"),
        ],
    )
    def test_refuses(self, fields: dict[str, Any], told: str) -> None:
        """Other numbers, a precision in which it would be lost, and networks that are trained whole."""
        with pytest.raises(ValueError, match=told):
            CONFIG.but(**fields)

    def test_a_probe_as_before_keeps_its_key(self) -> None:
        """The setting is told only where it is not the default."""
        assert CONFIG.but(**{"trained.standardise": 0}).key == CONFIG.key != self.CONFIG.key
        assert "trained.standardise" not in CONFIG.to_dict()


class TestCost:
    def test_a_probe_s_network_embeds_and_makes_no_step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Steps and predictions are measured for the classifier; the network counts once per clip."""
        monkeypatch.setattr(measure, "ROUND_S", 0.0)
        events: list[tuple[str, bool]] = []
        hook = nn.modules.module.register_module_forward_pre_hook(
            lambda module, args: events.append((type(module).__name__, module.training))
        )
        try:
            measure.measure(dataclasses.replace(CONFIG, trained="head"), 1, tmp_path)
        finally:
            hook.remove()
        assert ("ConvBlock", False) in events
        assert {name for name, training in events if training} == {"LinearProbe", "Dropout", "Linear"}

    def test_a_probe_is_measured_on_what_it_trains(self) -> None:
        """The classifier is measured on as many embeddings as there are clips, without embedding them."""
        network, clips = fresh(), toy(CONFIG)
        network.register_forward_pre_hook(lambda module, args: pytest.fail("embeds clips"))
        part, embeddings = measure.trained_part(CONFIG, network, clips)
        assert isinstance(part, LinearProbe)
        assert embeddings.inputs.shape == (21, 64)

    def test_a_probe_is_a_cell_of_its_own(self) -> None:
        """Its time is not predicted from fine-tuning."""
        assert cell_of(CONFIG) != cell_of(dataclasses.replace(CONFIG, trained="everything"))

    def test_a_probe_s_operations_are_of_no_epoch(self) -> None:
        """They would make a plan a hundred times too long, and a measured step a hundred times too fast."""
        assert forward_flops(CONFIG) is None
        assert epoch_flops(CONFIG, 100, 10) is None
        assert epoch_flops(dataclasses.replace(CONFIG, trained="everything"), 100, 10)
