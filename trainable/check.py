"""Tests on this machine what every backbone must do, and prints one line for each test.

python -m trainable.check backbone=efficientat/mn04_as
python -m trainable.check backbone=cnn14 pretrain_hz=16000 clip_s=5

Any field of TrialConfig can be given. Clips are 2 s of noise unless clip_s says
otherwise, and the network starts from random weights. Published weights are
tested if they are on this machine; nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets.engine.corpus import folder
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from trainable.__main__ import add_weights_dir
from trainable.config import TrialConfig
from trainable.examples import Scale
from trainable.network import names
from trainable.network.backbone import Backbone
from trainable.network.card import module
from trainable.network.networks import start_network
from trainable.weights import pretrained, weights
from trainable.weights.weights import MissingWeights, WrongWeights

NUM_CLASSES, NUM_CLIPS = 3, 4
LONG_S, SHORT_S = 60.0, 2.0  # a clip that every network can take, and one that is tried soon


class Wrong(Exception):
    """Something that a backbone must do and does not."""


class NotHere(Exception):
    """Something that cannot be tested on this machine."""


def trial_of(words: Sequence[str]) -> TrialConfig:
    """The trial that the words `field=value` describe; the default rate is the highest that the network has.

    Raises:
        ValueError: if there is no such network, or the trial is impossible.
        TypeError: if there is no such field.
    """
    fields: dict[str, Any] = dict(word.partition("=")[::2] for word in words)
    if not (backbone := str(fields.get("backbone", ""))):
        raise ValueError("name a network: backbone=NAME; python -m trainable lists those that there are")
    try:
        rates = [card.pretrain_hz for card in names.cards(module(backbone), backbone)]
    except ValueError as error:
        raise ValueError(f"{error}{names.near(backbone)}") from None
    rate: Any = fields.get("pretrain_hz", max(rates, default=32_000))
    norms = module(backbone).card(backbone, int(rate)).input_norms if str(rate).isdecimal() else ("none",)
    base = TrialConfig(
        corpus="noise",
        backbone=backbone,
        pretrain_hz=rate,
        data_hz=rate,
        input_norm=norms[0],
        augment="none",
        seed=1,
        clip_s=LONG_S,
        lr=1e-3,
        batch=NUM_CLIPS,
        epochs=1,
    )
    return base.but(**{"clip_s": SHORT_S} | fields)


def noise(trial: TrialConfig, num_clips: int = NUM_CLIPS) -> Tensor:
    """The network's input for clips of noise, made as a trial makes it."""
    random = torch.Generator().manual_seed(0)
    wave = torch.randint(-9_000, 9_000, (num_clips, trial.num_samples), generator=random).to(torch.int16)
    scale = Scale(0.0, 1 / 32767)
    made: Tensor = trial.given.made(wave, trial, scale)
    return scale(made.float()) if trial.given.waves else made.float()


def build(trial: TrialConfig, seed: int = 1) -> Backbone:
    """The network with random weights."""
    return start_network(trial.but(seed=seed, weights="none"), NUM_CLASSES, None)


def shapes(trial: TrialConfig) -> str:
    """Each clip has an embedding, and the classifier turns it into logits."""
    network, x = build(trial).eval(), noise(trial)
    with torch.inference_mode():
        embedding, logits = network.embed(x), network(x)
        again = network.classifier(embedding)
    size = network.classifier.in_features
    if embedding.shape != (NUM_CLIPS, size) or logits.shape != (NUM_CLIPS, NUM_CLASSES):
        raise Wrong(f"embedding {tuple(embedding.shape)}, logits {tuple(logits.shape)} of {NUM_CLIPS} clips")
    if not torch.allclose(again, logits, rtol=1e-4, atol=1e-4):
        raise Wrong("the logits are not what the classifier makes of the embedding")
    return f"{tuple(x.shape[1:])} in, an embedding of {size}, {NUM_CLASSES} logits"


def gradients(trial: TrialConfig) -> str:
    """Gradients reach every parameter, and are finite."""
    network = build(trial).train()
    network(noise(trial)).square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    if without := [name for name, grad in gradients.items() if grad is None]:
        raise Wrong(f"none at {', '.join(without[:3])}")
    if wrong := [name for name, grad in gradients.items() if grad is not None and not grad.isfinite().all()]:
        raise Wrong(f"not finite at {', '.join(wrong[:3])}")
    convolutions = [m.weight.grad for m in network.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    if convolutions and (convolutions[0] is None or not convolutions[0].any()):
        raise Wrong("the first convolution learns nothing")
    return f"reach all of {len(gradients)} tensors, {sum(p.numel() for p in network.parameters()):,} parameters"


def randomness(trial: TrialConfig) -> str:
    """Weights follow from the seed alone, and torch's random state is left as it was."""
    before = torch.get_rng_state()
    one, same, other = (build(trial, seed).state_dict() for seed in (1, 1, 2))
    if not torch.equal(torch.get_rng_state(), before):
        raise Wrong("building draws from torch's own random state; draw from the generator")
    if differ := [name for name in one if not torch.equal(one[name], same[name])]:
        raise Wrong(f"one seed gives two values of {differ[0]}")
    if all(torch.equal(one[name], other[name]) for name in one):
        raise Wrong("two seeds give the same weights")
    return "weights follow from the seed alone"


def evaluation(trial: TrialConfig) -> str:
    """The same logits again, and alone as among others."""
    network, x = build(trial).eval(), noise(trial)
    before = torch.get_rng_state()
    with torch.inference_mode():
        together, again, alone = network(x), network(x), network(x[2:3])
    if not torch.equal(together, again) or not torch.equal(torch.get_rng_state(), before):
        raise Wrong("it is not the same twice: something is drawn")
    if not torch.allclose(alone, together[2:3], rtol=1e-4, atol=1e-4):
        raise Wrong("a clip's logits change with the clips beside it")
    return "the same twice, and alone as among others"


def classifier(trial: TrialConfig) -> str:
    """The classifier can be replaced, and nothing else changes."""
    network, x = build(trial).eval(), noise(trial)
    with torch.inference_mode():
        before = network.embed(x)
        network.replace_classifier(7, torch.Generator().manual_seed(0))
        after, logits = network.embed(x), network(x)
    if logits.shape != (NUM_CLIPS, 7) or not torch.equal(before, after):
        raise Wrong(f"logits {tuple(logits.shape)} of 7 classes, or another embedding than before")
    return f"{network.head} can be replaced"


def last_map(trial: TrialConfig) -> str:
    """The layer that heatmaps show gives a map over time, and over frequency if the input has any."""
    network, maps = build(trial).eval(), list[Tensor]()
    network.last_features.register_forward_hook(lambda layer, given, out: maps.append(out))
    with torch.no_grad():
        network(noise(trial))
    axes = 4 if trial.given.spectrogram else 3
    if not maps or maps[0].ndim != axes or len(maps[0]) != NUM_CLIPS:
        raise Wrong(f"last_features gives {tuple(maps[0].shape) if maps else 'nothing'}; {axes} axes are wanted")
    return " x ".join(map(str, maps[0].shape[1:]))


def checkpoint(trial: TrialConfig) -> str:
    """A checkpoint loads if it is complete, and is refused if a tensor is missing."""
    source, other, x = build(trial, 1).eval(), build(trial, 2).eval(), noise(trial)
    front_end, state = trial.card.front_end, source.state_dict()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "best.pt"
        for kept in (state, dict(list(state.items())[1:])):
            torch.save({"model": kept, "front_end": dataclasses.asdict(front_end), "key": "0" * 12}, path)
            try:
                pretrained.load(other, path, front_end)
            except WrongWeights:
                if kept is state:
                    raise
            else:
                if kept is not state:
                    raise Wrong("a checkpoint without its first tensor is loaded")
    with torch.inference_mode():
        if not torch.equal(source(x), other(x)):
            raise Wrong("from one checkpoint, two networks give different logits")
    return f"{len(state)} tensors, strictly"


def shortest(trial: TrialConfig) -> str:
    """It trains on the shortest clip that its card and its input allow."""
    least = max(trial.card.min_samples, trial.given.min_samples(trial))
    short = trial.but(clip_s=least / trial.data_hz)
    if not build(short).train()(noise(short)).isfinite().all():
        raise Wrong(f"a clip of {least} samples gives logits that are not finite")
    return f"{least} samples, {1000 * least / trial.data_hz:.0f} ms at {trial.data_hz} Hz"


def published(trial: TrialConfig, weights_dir: Path) -> str:
    """The published file loads strictly, if it is here."""
    if not trial.card.passport.command:
        raise NotHere("nothing was published for it")
    if trial.width != 1:
        raise NotHere("published weights fit width=1 only")
    wanted = trial.but(weights="published")
    try:
        path = weights.locate(wanted, weights_dir, weights_dir)
    except MissingWeights:
        raise NotHere(f"not here: python -m trainable.fetch {trial.backbone}") from None
    network = start_network(wanted, NUM_CLASSES, path).eval()
    with torch.inference_mode():
        if not network(noise(trial)).isfinite().all():
            raise Wrong("its logits are not finite")
    return f"{path.name if path else ''}, strictly"


def page(trial: TrialConfig, weights_dir: Path) -> Iterator[tuple[str, str, str]]:
    """Yields for each test: `ok`, `FAIL`, or `-` if it cannot be run here; its name; and what was found."""
    tried: dict[str, Callable[[], str]] = {
        check.__name__.replace("_", " "): lambda check=check: check(trial)  # type: ignore[misc]
        for check in (shapes, gradients, randomness, evaluation, classifier, last_map, checkpoint, shortest)
    }
    tried["published"] = lambda: published(trial, weights_dir)
    for name, check in tried.items():
        try:
            yield "ok", name, check()
        except NotHere as error:
            yield "-", name, str(error)
        except Exception as error:  # the author of a new family wants to read whatever it raises
            told = str(error).partition("\n")[0] or type(error).__name__
            yield "FAIL", name, told if isinstance(error, Wrong) else f"{type(error).__name__}: {told}"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the page; 1 if a test fails, 2 if the trial is impossible."""
    parser = Flags("python -m trainable.check", __doc__)
    parser.add_argument("fields", metavar="FIELD=VALUE", nargs="*", help="backbone=NAME, and any other field")
    add_weights_dir(parser)
    args = parser.parse_args(argv)
    try:
        weights_dir = folder(args.weights_dir, "--weights-dir ")
        trial = trial_of(args.fields)
    except (Refusal, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{trial.backbone}, pre-trained at {trial.pretrain_hz} Hz; clips of {trial.clip_s:g} s at {trial.data_hz} Hz")
    outcomes = []
    for outcome, name, told in page(trial, weights_dir):
        print(f"  {outcome:<5}{name:<12}{told}", flush=True)
        outcomes.append(outcome)
    return 1 if "FAIL" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
