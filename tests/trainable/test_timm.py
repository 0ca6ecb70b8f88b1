"""Networks of timm: their weights are loaded as timm itself does, from the places where timm keeps them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import timm as library
import torch

from sweeps.recipes.mohammadi import RATES
from trainable.backbones import timm
from trainable.config import TrialConfig
from trainable.network.card import BackboneError, card
from trainable.network.networks import check_starts, start_network
from trainable.network.picture import ImageBackbone
from trainable.weights import weights
from trainable.weights.weights import MissingWeights, WrongWeights

ROOT = Path(__file__).parents[2]
MOBILENET = "mobilenetv3_large_100.ra_in1k"
CONFIG = RATES.but(backbone=f"timm/{MOBILENET}", augment="none", clip_s=1.0)


def config(name: str = MOBILENET, **fields: Any) -> TrialConfig:
    return dataclasses.replace(CONFIG, backbone=f"timm/{name}", **fields)


def coloured(name: str = MOBILENET, width: float = 1) -> torch.nn.Module:
    """The published network, for pictures with three colours and its published classes."""
    options = {"num_classes": library.get_pretrained_cfg(name).num_classes}
    architecture = name.partition(".")[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.narrowed(architecture, width)(**options) if width != 1 else library.create_model(name, **options)


def stem(name: str) -> str:
    return f"{library.get_pretrained_cfg(name).first_conv}.weight"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_into_hub(hub: Path, name: str, file: Path) -> Path:
    """Stores a file like the hub's library after a download; returns the place of the bytes."""
    repository, revision = hub / f"models--timm--{name}", "0123456789" * 4
    blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
    link = repository / "snapshots" / revision / "model.safetensors"
    for folder in (blob.parent, link.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    file.rename(blob)
    link.symlink_to(Path("../../blobs") / blob.name)
    return blob


@pytest.mark.slow
@pytest.mark.parametrize("name", timm.KNOWN)
def test_the_stem_is_summed_over_the_colours(name: str) -> None:
    """Other published weights are loaded unchanged; input normalisation and classifier are new."""
    small = config(name, weights="none", width=1 / 8)
    published = {n: v.clone() for n, v in coloured(name, width=1 / 8).state_dict().items()}
    network = timm.build(small, 3, generator=torch.Generator().manual_seed(1))
    initial = {n: v.clone() for n, v in network.state_dict().items()}
    state = timm.from_published(small, network, dict(published))
    torch.testing.assert_close(state.pop(f"trunk.{stem(name)}"), published[stem(name)].sum(dim=1, keepdim=True))
    for key, value in state.items():
        expected = published[key.removeprefix("trunk.")] if key.startswith("trunk.") else initial[key]
        assert torch.equal(value, expected), key


def test_a_file_gives_what_timm_makes_of_it(tmp_path: Path) -> None:
    """The weights and logits are those of timm with `in_chans=1` and the same file."""
    path = tmp_path / f"{MOBILENET}.safetensors"
    safetensors.torch.save_file(coloured().state_dict(), path)
    assert weights.locate(CONFIG, tmp_path, tmp_path) == path
    ours = start_network(CONFIG, 4, path).eval()
    reference = library.create_model(
        MOBILENET, pretrained=True, in_chans=1, num_classes=0, pretrained_cfg_overlay={"file": str(path)}
    ).eval()
    assert isinstance(ours, ImageBackbone)
    actual, expected = ours.trunk.state_dict(), reference.state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[n], expected[n]) for n in actual)
    x = torch.randn(2, 101, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours.embed(x), reference(ours.norm(x[:, None])))


def test_timms_own_cache_is_looked_into(tmp_path: Path, hub: Path) -> None:
    """A file downloaded by the hub's library is found, and checked by the digest in its name."""
    safetensors.torch.save_file(coloured().state_dict(), tmp_path / "file")
    blob = put_into_hub(hub, MOBILENET, tmp_path / "file")
    located = weights.locate(CONFIG, tmp_path, tmp_path)
    assert located is not None
    assert located.resolve() == blob.resolve()
    check_starts([CONFIG], {CONFIG.key: located})
    with blob.open("r+b") as file:  # one bit
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(WrongWeights, match=f"has sha256 [0-9a-f]{{64}} instead of {blob.name}"):
        weights.locate(CONFIG, tmp_path, tmp_path)


def test_absent_weights_are_asked_for(tmp_path: Path) -> None:
    """Without a file, the error has its name, source, licence and destination."""
    with pytest.raises(MissingWeights) as caught:
        weights.locate(config("convnextv2_tiny.fcmae"), tmp_path, tmp_path)
    for words in (
        f"{tmp_path}/convnextv2_tiny.fcmae.safetensors is missing",
        "hf download timm/convnextv2_tiny.fcmae model.safetensors",
        "huggingface.co/timm/convnextv2_tiny.fcmae",
        "masked autoencoder without labels",
        "CC BY-NC 4.0",
        "or set weights=none",
    ):
        assert words in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["another network", "less", "more", "cut", "not finite", "a web page"])
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    """Another network's weights, missing or extra ones, half a file, NaN or an error page are refused."""
    path, state = tmp_path / f"{MOBILENET}.safetensors", coloured().state_dict()
    if damage == "another network":
        state = coloured("resnet50.a1_in1k", width=1 / 8).state_dict()
    if damage == "less":
        state.popitem()
    if damage == "more":
        state["extra.weight"] = torch.zeros(1)
    if damage == "not finite":
        state[stem(MOBILENET)][0, 0, 0, 0] = float("nan")
    safetensors.torch.save_file(state, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    if damage == "a web page":
        path.write_text("<html>no such page</html>")
    with pytest.raises(WrongWeights, match=str(path)):
        start_network(CONFIG, 4, path)


@pytest.mark.parametrize("name", timm.KNOWN)
def test_what_a_plan_knows_is_what_timm_says(name: str) -> None:
    """Numbers of parameters, licence and place agree, and no size of pictures is fixed."""
    our_card, cfg = card(f"timm/{name}", 32_000), library.get_pretrained_cfg(name)
    with torch.device("meta"):
        published = library.create_model(name, num_classes=cfg.num_classes)
    assert our_card.num_parameters == sum(p.numel() for p in published.parameters())
    assert our_card.passport.hub_id == cfg.hf_hub_id
    assert our_card.passport.licence.lower().replace(" ", "-") == cfg.license.replace("cc-by-nc", "cc-by-nc")
    assert not cfg.fixed_input_size


def test_names_whose_weights_lie_elsewhere_are_known() -> None:
    """For all other networks, the plan names the repository that timm itself would use."""
    names = library.list_pretrained()
    elsewhere = {name for name in names if library.get_pretrained_cfg(name).hf_hub_id != f"timm/{name}"}
    assert len(elsewhere) == 72
    assert {name for name in names if timm.ELSEWHERE.fullmatch(name)} == elsewhere
    assert not any(card(f"timm/{name}", 32_000).passport.hub_id for name in elsewhere)


def test_what_timm_itself_has_loaded_is_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command for such weights works, with a random network in place of the download."""
    trial = config("legacy_seresnet18.in1k")
    path, random = tmp_path / trial.card.passport.file, coloured("legacy_seresnet18.in1k")
    monkeypatch.setattr(library, "create_model", lambda name, pretrained: random)
    monkeypatch.setattr(sys, "argv", ["-c", str(path)])
    exec(timm.ASK_TIMM.format("legacy_seresnet18.in1k"), {})
    monkeypatch.undo()
    state = start_network(trial, 4, path).state_dict()
    assert torch.equal(state["trunk.layer4.1.conv2.weight"], random.state_dict()["layer4.1.conv2.weight"])


@pytest.mark.slow
def test_a_plan_loads_neither_torch_nor_timm() -> None:
    """The card of any name takes milliseconds."""
    code = (
        "import sys, json; from trainable.network.card import card; "
        "c = card('timm/vit_tiny_patch16_224.augreg_in21k', 16000); "
        "print(json.dumps([c.front_end.rate_hz, [m for m in ('torch', 'timm') if m in sys.modules]]))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(process.stdout) == [16_000, []]


@pytest.mark.parametrize("name", ["timm/resnet50", "timm/resnet50.", "timm/../x.y", "timm/Res.x"])
def test_a_name_without_a_tag_is_refused(name: str) -> None:
    """Its weights could change with timm's version."""
    with pytest.raises(ValueError, match=r"write timm/<name>\.<tag>"):
        card(name, 32_000)


@pytest.mark.parametrize("name", ["resnet50.a9_in1k", "resnet51.a1_in1k"])
def test_an_unknown_network_is_refused_before_any_trial(name: str) -> None:
    """The message has similar names, whether the tag or the network is unknown."""
    trial = config(name, weights="none")
    with pytest.raises(BackboneError, match=r"has no such network; similar names are .*resnet50"):
        check_starts([trial], {trial.key: None})


def test_a_network_that_is_not_known_cannot_be_narrowed() -> None:
    """Only the study's five networks can."""
    with pytest.raises(ValueError, match="cannot be made narrower or wider; leave width=1"):
        config("resnet18.a1_in1k", weights="none", width=0.5)


def test_another_tag_is_the_same_architecture() -> None:
    """It can be made as narrow, and needs as many frames; what it was pre-trained on is its own."""
    first, second = (config(f"resnet50.{tag}", weights="none", width=1 / 8) for tag in ("a1_in1k", "tv_in1k"))
    assert second.card.min_samples == first.card.min_samples
    assert second.card.passport != first.card.passport
    short = config("densenet201.tv_in1k", weights="none").card.min_samples
    assert config("densenet201.ra_in1k", weights="none").card.min_samples == short > 0


class TestVisionTransformers:
    NAME = "vit_tiny_patch16_224.augreg_in21k"

    def test_is_made_for_the_log_mel(self, tmp_path: Path) -> None:
        """timm resamples its positions from the published 14 x 14 to 6 x 4, and it takes the clips."""
        trial = config(self.NAME)
        path = tmp_path / f"{self.NAME}.safetensors"
        safetensors.torch.save_file(coloured(self.NAME).state_dict(), path)
        check_starts([trial], {trial.key: path})
        network = start_network(trial, 4, path).eval()
        assert network(torch.randn(2, *trial.logmel_shape)).shape == (2, 4)
        assert network.state_dict()["trunk.pos_embed"].shape == (1, 6 * 4 + 1, 192)

    @pytest.mark.parametrize("name", ["maxvit_tiny_tf_224.in1k", "xcit_nano_12_p16_224.fb_in1k"])
    def test_or_is_refused_with_the_reason(self, name: str) -> None:
        """Before any trial, the message has the network, the size of the log-mel and the remedy."""
        trial = config(name, weights="none", clip_s=5.0)
        with pytest.raises(BackboneError, match=f"backbone='timm/{name}': .*501.* 64.*; choose another"):
            check_starts([trial], {trial.key: None})


class TestInputNorm:
    def test_batch_normalises_each_band(self) -> None:
        """In training every mel band of a batch has mean 0 and deviation 1."""
        network = timm.build(config(weights="none", width=1 / 8), 3, generator=torch.Generator())
        x = network.norm.train()(torch.randn(8, 1, 101, 64) * torch.linspace(1, 9, 64) - 50)  # type: ignore[operator, union-attr]
        torch.testing.assert_close(x.mean(dim=(0, 1, 2)), torch.zeros(64), atol=1e-4, rtol=0)
        torch.testing.assert_close(x.var(dim=(0, 1, 2), unbiased=False), torch.ones(64), atol=1e-3, rtol=0)

    def test_standard_takes_the_training_clips(self) -> None:
        """It computes (x - mean) / std, which are stored with the weights."""
        network = timm.build(config(weights="none", width=1 / 8, input_norm="standard"), 3, generator=torch.Generator())
        network.fit_input(-50.0, 4.0)
        assert network.norm(torch.full((1, 1, 2, 2), -42.0)).unique().tolist() == [2.0]  # type: ignore[operator]
        assert {"norm.mean", "norm.std"} <= network.state_dict().keys()

    def test_none_is_the_log_mel_as_it_is(self) -> None:
        """The log-mel stays in dB."""
        network = timm.build(config(weights="none", width=1 / 8, input_norm="none"), 3, generator=torch.Generator())
        x = torch.randn(1, 1, 4, 4)
        assert network.norm(x) is x  # type: ignore[operator]

    def test_a_pann_brings_its_own(self) -> None:
        """The plan refuses any other normalisation."""
        with pytest.raises(ValueError, match="input_norm='none': cnn14 takes batch; choose that"):
            dataclasses.replace(CONFIG, backbone="cnn14", input_norm="none")


def test_the_names_that_are_suggested_are_timms() -> None:
    """They are read from its files without importing it; nearly all of a thousand architectures are pre-trained."""
    pretrained, suggested = set(library.list_pretrained()), [name.removeprefix("timm/") for name in timm.more_names()]
    assert len(pretrained & set(suggested)) > 0.95 * len(pretrained)
    assert len(set(suggested) - pretrained) < 0.01 * len(suggested)
