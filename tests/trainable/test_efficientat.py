"""EfficientAT: its front end and its layers against independent ones, and its published weights on real sound."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig

from datasets.engine import prepare
from datasets.engine.clips import open_clips
from datasets.engine.prepare import Source, Wanted
from datasets.engine.splits import Split
from trainable import examples
from trainable.backbones import efficientat
from trainable.config import TrialConfig
from trainable.examples import Examples
from trainable.finetune import finetune, predict
from trainable.inputs.kaldi_mel import KaldiMel
from trainable.learning.augmentation import draw
from trainable.network.kaldi import kaldi_logmel
from trainable.network.linear import embedded
from trainable.network.mobilenetv3 import BLOCKS, MobileNetV3, renamed
from trainable.network.networks import check_starts, start_network
from trainable.weights import pretrained, weights
from trainable.weights.weights import MissingWeights, WrongWeights

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP_S = 4.9  # one of ESC-10's 400 recordings is shorter
TRIAL = TrialConfig(
    corpus="esc50",
    split="published",
    backbone="efficientat/mn04_as",
    pretrain_hz=32_000,
    data_hz=32_000,
    augment="none",
    seed=1,
    clip_s=CLIP_S,
    weights="published",
    lr=1e-3,
    batch=32,
    epochs=1,
    trained="head",
)
AUDIOSET = {  # the number of an AudioSet class that is a class of ESC-10
    "dog": 74,
    "rain": 289,
    "rooster": 101,
    "helicopter": 339,
    "chainsaw": 347,
    "crying_baby": 23,
    "sneezing": 49,
    "clock_tick": 407,
    "crackling_fire": 298,
    "sea_waves": 295,
}


def reference_logmel(wave: np.ndarray) -> np.ndarray:
    """One clip's log-mel in double precision, frame by frame, from the numbers that its authors tell."""
    x = wave[1:] - 0.97 * wave[:-1]
    x = np.pad(x, 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799)
    frames = np.stack([x[start : start + 1024] * window for start in range(0, len(x) - 1023, 320)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = 1127 * np.log(1 + np.arange(513) * 31.25 / 700)
    edges = np.linspace(0, 1127 * np.log(1 + 15_000 / 700), 130)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    bands = np.maximum(0, np.minimum(rising, falling))
    return (np.log(power @ bands + 1e-5) + 4.5) / 5


def reference_network(width: float, num_classes: int) -> torchvision.models.MobileNetV3:
    """torchvision's MobileNetV3 with what EfficientAT changed: one channel, and a sigmoid that squeezes."""
    settings, channels = [], 16
    for kernel, inside, out, excited, hard, stride in BLOCKS:
        activation = "HS" if hard else "RE"
        settings.append(InvertedResidualConfig(channels, kernel, inside, out, excited, activation, stride, 1, width))
        channels = out
    squeeze = partial(torchvision.ops.misc.SqueezeExcitation, scale_activation=nn.Sigmoid)
    network = torchvision.models.MobileNetV3(
        settings,
        InvertedResidualConfig.adjust_channels(1280, width),
        num_classes,
        block=partial(InvertedResidual, se_layer=squeeze),
        norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.01),
    )
    network.features[0][0] = nn.Conv2d(1, network.features[0][0].out_channels, 3, 2, 1, bias=False)
    return network


def published(network: nn.Module) -> dict[str, torch.Tensor]:
    """The reference's state dict as EfficientAT publishes it: named so, and with layers where it has convolutions."""
    names = {"block.2.fc": "block.2.conc_se_layers.0.fc", "block.1.fc": "block.1.conc_se_layers.0.fc"}
    found = {}
    for name, value in network.state_dict().items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        found[name] = value[:, :, 0, 0] if ".fc" in name and value.ndim == 4 else value
    found["classifier.2.weight"] = found.pop("classifier.0.weight")
    found["classifier.2.bias"] = found.pop("classifier.0.bias")
    found["classifier.5.weight"] = found.pop("classifier.3.weight")
    found["classifier.5.bias"] = found.pop("classifier.3.bias")
    return found


def lively(network: nn.Module) -> nn.Module:
    """The network with weights and moments under which every layer has a say."""
    random = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=random) + 0.5)
        elif value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=random) / value[0].numel() ** 0.5)
        elif value.is_floating_point() and not name.endswith("1.weight"):
            value.copy_(0.1 * torch.randn(value.shape, generator=random))
    return network.eval()


def logits(network: MobileNetV3, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network.eval()(x)
    return found


class TestFrontEnd:
    def test_is_that_of_its_authors(self) -> None:
        """To 1e-4 of its spread over loud and soft noise."""
        wave = np.random.default_rng(0).normal(size=(2, 16_000)) * [[0.3], [1e-3]]
        found = kaldi_logmel(torch.from_numpy(wave).float(), efficientat.FRONT_END).numpy()
        expected = np.stack([reference_logmel(clip) for clip in wave])
        assert found.shape == expected.shape == (2, efficientat.FRONT_END.num_frames(16_000), 128)
        np.testing.assert_allclose(found, expected, atol=1e-4)

    @pytest.mark.parametrize("num_samples", [514, 640, 641, 32_000, 32_001])
    def test_counts_its_frames(self, num_samples: int) -> None:
        """One sample is lost; the shortest clip is the card's."""
        found = kaldi_logmel(torch.zeros(1, num_samples), efficientat.FRONT_END)
        assert found.shape[1] == efficientat.FRONT_END.num_frames(num_samples)

    def test_refuses_what_is_too_short(self) -> None:
        """In the plan, by the input's own rule: half a window must be reflected, and a sample is lost."""
        assert TRIAL.but(clip_s=514 / 32_000).num_samples == KaldiMel().min_samples(TRIAL)
        with pytest.raises(ValueError, match=r"gives 513 samples to efficientat/mn04_as .* which needs 514"):
            TRIAL.but(clip_s=513 / 32_000)

    def test_silence_is_finite(self) -> None:
        """The floor's logarithm."""
        found = kaldi_logmel(torch.zeros(1, 1_000), efficientat.FRONT_END)
        torch.testing.assert_close(found, torch.full_like(found, (np.log(1e-5) + 4.5) / 5))


class TestNetwork:
    @pytest.mark.parametrize("name", efficientat.NAMES)
    def test_has_as_many_parameters_as_published(self, name: str) -> None:
        """0.983, 1.43, 4.88, 17.91, 39.09 and 68.43 million, as its authors' table has them."""
        millions = dict(zip(efficientat.NAMES, (0.983, 1.43, 4.88, 17.91, 39.09, 68.43), strict=True))
        width, _, told = efficientat.NETWORKS[name.partition("/")[2]]
        with torch.device("meta"):
            network = MobileNetV3(width, 527, head_dropout=0)
        assert sum(p.numel() for p in network.parameters()) == told
        assert told / 1e6 == pytest.approx(millions[name], abs=0.01)

    @pytest.mark.parametrize("width", [0.4, 0.5, 1.0])
    def test_is_torchvisions_with_a_sigmoid(self, width: float, tmp_path: Path) -> None:
        """From one published file, a state dict alone, both give the same logits; frames are columns there."""
        with torch.random.fork_rng():
            theirs = lively(reference_network(width, 5))
        torch.save(published(theirs), tmp_path / "x.pt")
        ours = MobileNetV3(width, 2, head_dropout=0)
        pretrained.load(ours, tmp_path / "x.pt", efficientat.FRONT_END, renamed)
        x = torch.randn(2, 101, 128, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = theirs(x.transpose(1, 2)[:, None])
        assert float(expected.std()) > 0.01
        torch.testing.assert_close(logits(ours, x), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("damage", ["less", "more", "another width"])
    def test_another_file_is_refused(self, damage: str, tmp_path: Path) -> None:
        """Loading is strict."""
        state = published(reference_network(0.5 if damage == "another width" else 0.4, 5))
        if damage == "less":
            del state["features.4.block.2.conc_se_layers.0.fc1.weight"]
        if damage == "more":
            state["features.17.weight"] = torch.zeros(1)
        torch.save(state, tmp_path / "x.pt")
        with pytest.raises(WrongWeights, match="does not fit the network"):
            start_network(TRIAL, 3, tmp_path / "x.pt")

    def test_its_dropout_is_of_training_alone(self) -> None:
        """A fifth of the embedding, as published; a probe's embeddings are whole."""
        network = start_network(TRIAL.but(weights="none"), 3, None)
        nn.init.ones_(network.get_submodule("hidden").bias)
        x = torch.randn(4, *TRIAL.logmel_shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad(), torch.random.fork_rng():
            dropped = (network.train().embed(x) == 0).float().mean()
            whole = (network.eval().embed(x) == 0).float().mean()
        assert (float(dropped), float(whole)) == (pytest.approx(0.2, abs=0.05), 0)


class TestPlan:
    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"backbone": "efficientat/mn06_as"}, "there is no such EfficientAT; there are efficientat/mn04_as, "),
            ({"backbone": "mn10_as"}, "did you mean efficientat/mn10_as"),
            ({"pretrain_hz": 16_000}, "efficientat/mn04_as was pre-trained at 32000 Hz"),
            ({"input_norm": "batch"}, "efficientat/mn04_as takes none; choose that"),
            ({"input": "logmel"}, "efficientat/mn04_as takes kaldi_mel; choose that"),
        ],
    )
    def test_others_are_refused(self, fields: dict[str, object], told: str) -> None:
        """By name, rate, normalisation and input, with those that there are."""
        with pytest.raises(ValueError, match=told):
            TRIAL.but(**fields)

    def test_takes_all_augmentations(self) -> None:
        """Its input is normalised as it is, so that SpecAugment can hide a part of it."""
        trial = TRIAL.but(augment="specaugment+mixup", trained="everything", weights="none")
        network = start_network(trial, 3, None).train()
        augment = draw(trial, 4, torch.Generator().manual_seed(0))
        with torch.random.fork_rng():
            assert network(torch.randn(4, *trial.logmel_shape), augment).shape == (2, 3)

    @pytest.mark.parametrize("data_hz", [2_000, 8_000, 44_100])
    def test_takes_any_rate(self, data_hz: int) -> None:
        """Audio is fed to the front end as it is."""
        trial = TRIAL.but(data_hz=data_hz, weights="none")
        check_starts([trial], {trial.key: None})

    def test_absent_weights_are_asked_for(self, tmp_path: Path) -> None:
        """With the command that gets them, their digest and their licence."""
        with pytest.raises(MissingWeights) as caught:
            weights.locate(TRIAL, tmp_path, tmp_path)
        for words in ("4,066,513 bytes", "899a8c62", "MIT", "releases/download/v0.0.1/mn04_as_mAP_432.pt", "curl"):
            assert words in str(caught.value)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examples]:
    """The 80 clips each of ESC-10's folds 1 and 2, of ten classes."""
    source = Source(DATA / "esc10", tmp_path_factory.mktemp("clips"), None, "drop")
    found = prepare.prepare(Wanted("esc50", (), "published", CLIP_S), source)
    (folder,) = prepare.clips(found, [TRIAL.data_hz], CLIP_S, source).values()
    clips = open_clips(folder, found.scan.corpus)
    groups = {r.id: r.groups["fold"] for r in found.scan.corpus.recordings}
    split = Split("two folds", {i: fold for i, fold in groups.items() if fold in "12"})
    return {fold: examples.load(TRIAL, clips, split, fold, torch.device("cpu")) for fold in "12"}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real recordings are not here: {DATA}")
class TestRealSound:
    def test_the_published_network_knows_what_it_hears(self, folds: dict[str, Examples]) -> None:
        """Nothing is trained: of ten AudioSet classes, the right one is the likeliest for 96.75 % of all clips."""
        path = weights.locate(TRIAL, DATA / "weights", DATA)
        assert path is not None
        network = MobileNetV3(0.4, 527, head_dropout=0)
        pretrained.load(network, path, TRIAL.card.front_end, renamed)
        places = [AUDIOSET[name] for name in sorted(AUDIOSET)]
        for clips in folds.values():
            of_ten = predict(network, clips, TRIAL)[:, places]
            assert (of_ten.argmax(axis=1) == clips.labels.numpy()).mean() > 0.9

    def test_pretrained_beats_random(self, folds: dict[str, Examples]) -> None:
        """Linear probes on standardised embeddings, trained on one fold and scored on another: .99 against .45."""
        found = {}
        for kind in ("published", "none"):
            trial = TRIAL.but(weights=kind)
            network = start_network(trial, 10, weights.locate(trial, DATA / "weights", DATA))
            train, test = (embedded(trial, network, folds[fold]) for fold in "12")
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
            found[kind] = probe.fit(train.inputs, train.labels).score(test.inputs, test.labels)
        assert found["published"] > 0.9
        assert found["published"] > found["none"] + 0.2

    def test_a_probe_as_trials_train_it(self, folds: dict[str, Examples], tmp_path: Path) -> None:
        """With `trained.standardise=1`, an untrained network's faint embeddings teach something too: .99 against .4."""
        found = {}
        for kind in ("published", "none"):
            trial = TRIAL.but(weights=kind, epochs=30, **{"trained.standardise": 1})
            network = start_network(trial, 10, weights.locate(trial, DATA / "weights", DATA))
            probe, (train, test) = trial.trained.ready(trial, network, (folds["1"], folds["2"]))
            finetune(trial, probe, train, test, tmp_path / kind, lambda row: None)
            trial.trained.finish(probe)
            logits = network.classifier(test.inputs).detach().numpy()
            found[kind] = (logits.argmax(axis=1) == test.labels.numpy()).mean()
        assert found["published"] > 0.9
        assert found["published"] > found["none"] + 0.2
        assert found["none"] > 0.2  # chance is a tenth
