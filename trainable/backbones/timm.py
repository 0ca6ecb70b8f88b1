"""The networks of timm (PyTorch Image Models), by full name `timm/<name>.<tag>`; a log-mel is a one-channel picture."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.engine.words.suggest import nearest
from trainable.network.card import HUB_FILE, BackboneError, Card, Passport
from trainable.network.panns.rates import FRONT_ENDS  # Mohammadi et al. 2024 feed image networks the same log-mels

if TYPE_CHECKING:
    import torch
    from timm.models import PretrainedCfg
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.network.backbone import Backbone

# Facts that a plan should know without loading timm: the pre-training data, the licence of the weights, the published
# number of trainable parameters, and the fewest frames (at 64 mel bands) that survive all poolings. For other networks,
# the check before the first trial finds out.
KNOWN = {
    "convnextv2_tiny.fcmae": ("ImageNet-1k, masked autoencoder without labels", "CC BY-NC 4.0", 27_866_496, 32),
    "regnety_320.tv2_in1k": ("ImageNet-1k, torchvision's second recipe", "BSD-3-Clause", 145_046_770, 1),
    "densenet201.tv_in1k": ("ImageNet-1k, torchvision's first recipe", "Apache-2.0", 20_013_928, 29),
    "mobilenetv3_large_100.ra_in1k": ("ImageNet-1k, RandAugment", "Apache-2.0", 5_483_032, 1),
    "resnet50.a1_in1k": ("ImageNet-1k, recipe A1 of ResNet strikes back", "Apache-2.0", 25_557_032, 1),
    "tf_efficientnet_lite0.in1k": ("ImageNet-1k, EfficientNet-Lite0 of TensorFlow", "Apache-2.0", 4_652_008, 1),
}
BYTES_PER_CELL = 64 * 6 * 4 * 2  # as for CNN14; most networks begin at a quarter of the resolution, and keep less
# Names whose weights are not in a repository timm/<name>.<tag> of the hub: timm 1.0.31 takes these 72 from elsewhere.
ELSEWHERE = re.compile(
    r"(cspnext|gcvit|legacy|rdnet|vitamin)_.*|davit_.*_fl\..*|fastvit_mci[012]\.apple_mclip|.*_lingbot\..*|"
    r"vit_base_mci_224\.apple_mclip(_lt)?|.*_ijepa|.*_quickgelu_.*"
)
ASK_TIMM = (  # timm knows where they are
    "import sys, timm; from safetensors.torch import save_model; "
    "save_model(timm.create_model({!r}, pretrained=True), sys.argv[1])"
)


def more_names() -> list[str]:
    """The names of all pre-trained networks of the installed timm, except a few dozen that it computes.

    Its files are read but not run, because importing it takes seconds and loads torch.
    """
    spec = importlib.util.find_spec("timm")
    files = sorted((Path(spec.origin).parent / "models").glob("*.py")) if spec and spec.origin else []
    pattern = re.compile(r"""^\s+['"]([a-z0-9_]+\.[a-z0-9_]+)['"]:""", re.MULTILINE)
    network_names = dict.fromkeys(name for file in files for name in pattern.findall(file.read_text(encoding="utf-8")))
    return [f"timm/{name}" for name in network_names if not name.endswith(".untrained")]


def card(backbone: str, pretrain_hz: int) -> Card:
    """The card of a timm network; `pretrain_hz` chooses the front end, because pictures have no rate.

    Raises:
        ValueError: if the name has no tag, or there is no front end for that rate.
    """
    name = backbone.removeprefix("timm/")
    if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", name):
        raise ValueError(
            f"backbone={backbone!r}: write timm/<name>.<tag>, such as timm/resnet50.a1_in1k: the weights of a name "
            "without a tag depend on timm's version"
        )
    if pretrain_hz not in FRONT_ENDS:
        raise ValueError(f"pretrain_hz={pretrain_hz}: there are front ends of {', '.join(map(str, FRONT_ENDS))} Hz")
    architecture, _, tag = name.partition(".")
    # Another tag is the same architecture, with other weights, and perhaps with another number of classes.
    min_frames = next((known[3] for key, known in KNOWN.items() if key.startswith(f"{architecture}.")), None)
    unknown = (f"as timm's tag says: {tag}", "licence: see the page", None, 1)
    pretrained_on, licence, num_parameters, _ = KNOWN.get(name, unknown)
    return Card(
        backbone=backbone,
        pretrain_hz=pretrain_hz,
        inputs=("logmel",),
        front_end=FRONT_ENDS[pretrain_hz],
        min_samples=((min_frames or 1) - 1) * FRONT_ENDS[pretrain_hz].hop,
        num_parameters=num_parameters,
        bytes_per_cell=BYTES_PER_CELL,
        passport=_passport(name, pretrained_on, licence),
        input_norms=("batch", "standard", "none"),
        scalable=min_frames is not None,
    )


def _passport(name: str, pretrained_on: str, licence: str) -> Passport:
    file, hub_id = f"{name}.safetensors", f"timm/{name}"
    if ELSEWHERE.fullmatch(name):
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(ASK_TIMM.format(name))} {{path}}"
        return Passport(file, "where timm's pretrained_cfg says", pretrained_on, licence, command=command)
    command = f"hf download {hub_id} {HUB_FILE}"
    return Passport(file, f"huggingface.co/{hub_id}", pretrained_on, licence, hub_id=hub_id, command=command)


def build(config: TrialConfig, num_classes: int, *, generator: torch.Generator) -> Backbone:
    """The network with weights that timm draws from `generator`; torch's global random state does not change.

    Raises:
        BackboneError: if timm has no such network, or cannot make it for clips of this length.
    """
    from trainable.network.picture import ImageBackbone
    from trainable.randomness import drawn, torch_seeded

    with torch_seeded(drawn(generator)):  # timm draws from torch's global state
        trunk: Any = create(config, num_classes=0)  # without a classifier its output is the embedding
        return ImageBackbone(
            trunk,
            last_features=trunk.feature_info[-1]["module"],
            features=getattr(trunk, "head_hidden_size", trunk.num_features),
            num_classes=num_classes,
            head_dropout=config.head_dropout,
            input_norm=config.input_norm,
            num_mels=config.logmel_shape[1],
        )


def from_published(config: TrialConfig, network: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a published file as timm itself loads them, strictly, with the stem summed over three colours.

    The normalisation of the input and the classifier stay as in `network`: networks for pictures lack the one, and the
    other has different classes.
    """
    import torch

    options = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
    # Every tensor must fit, including the classifier: with another number of classes timm would not be strict.
    num_classes = pictures(config.backbone).num_classes
    with torch.random.fork_rng(devices=[]):
        filled = create(config, num_classes=num_classes, **options)
    initial, loaded = network.state_dict(), filled.state_dict()
    return {n: loaded[n.removeprefix("trunk.")] if n.startswith("trunk.") else value for n, value in initial.items()}


def create(config: TrialConfig, **options: Any) -> torch.nn.Module:
    """The network of timm for one channel and, if its size is fixed, for the size of the trial's log-mels.

    Raises:
        BackboneError: if timm has no such network, or cannot make it for that size.
    """
    import timm

    name, cfg = config.backbone.removeprefix("timm/"), pictures(config.backbone)
    if cfg.fixed_input_size:  # a vision transformer: its positions are resampled to the new size
        options["img_size"] = config.logmel_shape
    make = partial(timm.create_model, name) if config.width == 1 else narrowed(name.partition(".")[0], config.width)
    try:
        network: torch.nn.Module = make(in_chans=1, **options)
    except (AssertionError, TypeError) as error:
        frames, mels = config.logmel_shape
        raise BackboneError(
            f"backbone={config.backbone!r}: takes pictures of {cfg.input_size[1]} x {cfg.input_size[2]} and cannot be "
            f"made for {frames} frames x {mels} mel bands{f' ({error})' * bool(str(error))}; choose another network, "
            "data_hz or clip_s"
        ) from error
    return network


def pictures(backbone: str) -> PretrainedCfg:
    """The facts that timm states about a network's weights, such as the size of the pictures and number of classes.

    Raises:
        BackboneError: if timm has no such network.
    """
    import timm

    name = backbone.removeprefix("timm/")
    architecture = name.partition(".")[0]
    tagged_names = timm.list_pretrained(f"{architecture}.*")
    cfg = timm.get_pretrained_cfg(name) if name in tagged_names else None
    if cfg is None:
        near = tagged_names or nearest(timm.list_pretrained(), name)
        raise BackboneError(
            f"backbone={backbone!r}: timm {timm.__version__} has no such network; "
            f"similar names are {', '.join(near[:6]) or 'none'}"
        )
    return cfg


def narrowed(architecture: str, width: float) -> Callable[..., torch.nn.Module]:
    """The function that makes a network of `KNOWN` with `width` times its channels, rounded to multiples of 8."""
    import timm
    from timm.models import efficientnet, mobilenetv3

    def channels(*published: int) -> tuple[int, ...]:
        return tuple(8 * max(1, round(width * number / 8)) for number in published)

    if architecture == "mobilenetv3_large_100":  # its public function takes no multiplier
        return partial(mobilenetv3._gen_mobilenet_v3, architecture, width)
    if architecture == "tf_efficientnet_lite0":  # nor does this one's
        return partial(efficientnet._gen_efficientnet_lite, architecture, width, pad_type="same", bn_eps=1e-3)
    options: dict[str, dict[str, Any]] = {
        "convnextv2_tiny": {"dims": channels(96, 192, 384, 768)},
        "densenet201": {"growth_rate": max(1, round(32 * width))},
        "regnety_320": {
            "w0": channels(232)[0],
            "wa": 115.89 * channels(232)[0] / 232,  # in proportion, or it would no longer have four stages
            "group_size": channels(232)[0],
            "stem_width": channels(32)[0],
        },
        "resnet50": {"channels": channels(64, 128, 256, 512)},  # the stem keeps its 64
    }
    return partial(timm.create_model, architecture, **options[architecture])
