"""`TrialConfig`: one trial, flat and frozen, refused when it cannot work; its key is its identity in every store."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets.engine.corpus import UNWRITABLE, shown
from trainable.network.card import Card, card

CHOICES = {
    "augment": ("specaugment+mixup", "specaugment", "mixup", "none"),
    "scale": ("minmax", "pcm"),
    "keep_by": ("accuracy", "loss"),
    "stop_by": ("accuracy", "loss"),
    "score_on": ("test", "validation"),
    "mode": ("finetune", "probe"),
    "precision": ("float32", "bfloat16"),
}
LIMITS: dict[str, tuple[float, float]] = {  # the least and the most that can be trained
    "data_hz": (1, 10_000_000),
    "clip_s": (1e-6, 3_600),
    "width": (1 / 1024, 16),  # below, every layer of every network has one channel
    "lr": (1e-38, 1e38),  # what float32 holds, as of the next two
    "weight_decay": (0, 1e38),
    "batch": (1, 1_000_000),
    "epochs": (1, 9_999),  # the names of checkpoints have four digits
    "patience": (1, 1_000_000),
    "seed": (0, 2**53 - 1),  # above, floats skip numbers
}
NAMES = {  # how a module, a network and a group of recordings can be called, in words
    "corpus": (r"(?a)[A-Za-z]\w{0,63}", "the name of a file of datasets/, such as deepship"),
    "backbone": (r"(?a)[A-Za-z]\w{0,63}(/[\w.-]{1,120})?", "a network's name, such as cnn14 or timm/resnet50.a1_in1k"),
    "split": (r"\w[\w. -]{0,63}", "recording, published, or a group of the corpus, such as vessel"),
}


class Changes(enum.Flag):
    """What of a trial a field changes; `TrialConfig.only` asks for fields by this, and nothing else lists them."""

    DATA = enum.auto()  # which recordings there are, and their classes
    SPLIT = enum.auto()  # who is in which role
    CLIPS = enum.auto()  # what is cut from a recording
    INPUT = enum.auto()  # what a network is given of a clip, beside what its card says
    NETWORK = enum.auto()  # the layers, and the front end that they are fed by
    START = enum.auto()  # the file of weights to start from
    STEP = enum.auto()  # the arithmetic of a step, and so its time and memory
    LEARNING = enum.auto()  # the numbers of a step, or how many steps there are
    SCORE = enum.auto()  # which epoch is kept, and on what it is scored
    CHANCE = enum.auto()  # random numbers, and nothing else


DATA, SPLIT, CLIPS, INPUT, NETWORK, START, STEP, LEARNING, SCORE, CHANCE = Changes


def changes(what: Changes, default: Any = dataclasses.MISSING) -> Any:
    """A field that changes `what`."""
    return dataclasses.field(default=default, metadata={"changes": what})


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One fine-tuning: (corpus, backbone, pre-train rate, data rate, augmentation, seed) and its recipe.

    A field's name is the Ray config key, the MLflow param and the DataFrame column, and it says what it changes.
    Defaults are the recipe of Mohammadi et al. 2024; a field that is added later has the old behaviour as its default,
    so that no key changes.

    Raises:
        ValueError: if a value is impossible, alone or with the others; names the field, the value and the remedy.
    """

    corpus: str = changes(DATA)  # a module of datasets/
    backbone: str = changes(NETWORK | START)  # a network of trainable/backbones/
    pretrain_hz: int = changes(NETWORK | START)
    data_hz: int = changes(INPUT)
    augment: str = changes(STEP)
    seed: int = changes(CHANCE)

    classes: str = changes(DATA, "")  # comma-separated; empty is all that the corpus has
    # What no role may share: "recording", or a group of the corpus; or "published".
    split: str = changes(SPLIT, "recording")
    clip_s: float = changes(CLIPS, 5.0)
    # Of the waveform: the training split's minimum and maximum to [0, 1]; "pcm": int16 to [-1, 1].
    scale: str = changes(INPUT, "minmax")
    # Or "none", or "run:KEY", the checkpoint that the run with this key left.
    weights: str = changes(START, "published")
    width: float = changes(NETWORK, 1.0)  # of every layer, against the published network
    # Before the new classifier, on top of the network's own (the authors' code does this).
    head_dropout: float = changes(NETWORK, 0.5)
    # Of the log-mel: "batch", a batch normalisation of each mel band; "standard", mean and standard deviation of the
    # training clips; "none", in dB as it is. PANNs bring the first with them.
    input_norm: str = changes(NETWORK, "batch")

    lr: float = changes(LEARNING, 5e-5)
    batch: int = changes(STEP, 32)  # samples after mixup, which draws twice as many clips
    epochs: int = changes(LEARNING, 100)
    patience: int = changes(LEARNING, 50)  # epochs without a better `stop_by`
    stop_by: str = changes(LEARNING, "loss")  # validation
    keep_by: str = changes(SCORE, "accuracy")  # validation
    weight_decay: float = changes(LEARNING, 0.0)  # Adam's, added to the gradient
    score_on: str = changes(SCORE, "test")  # or "validation": a trial of a search, which never loads a test clip
    mode: str = changes(STEP, "finetune")  # or "probe": a linear probe, the classifier alone, on embeddings made once
    # Or "bfloat16": of convolutions and matrix products, by autocast; the rest stays.
    precision: str = changes(STEP, "float32")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _coerced(field.name, str(field.type), getattr(self, field.name)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={shown(getattr(self, name))}: choose one of {', '.join(allowed)}")
        for name, (pattern, remedy) in NAMES.items():
            if not re.fullmatch(pattern, getattr(self, name)):
                raise ValueError(f"{name}={shown(getattr(self, name))}: is no such name; write {remedy}")
        for name, (least, most) in LIMITS.items():
            if not least <= (value := getattr(self, name)) <= most:
                low = "above 0" if value <= 0 < least else f"at least {least:,}"
                raise ValueError(f"{name}={shown(value)}: must be {low} and at most {most:,}")
        if not 0 <= self.head_dropout < 1:
            raise ValueError(f"head_dropout={self.head_dropout!r}: must be at least 0 and below 1")
        if len(class_list := self.class_list) != len(set(class_list)) or len(class_list) == 1:
            raise ValueError(f"classes={shown(self.classes)}: name two or more different classes, or none for all")
        if not re.fullmatch(r"published|none|run:[0-9a-f]{12}", self.weights):
            raise ValueError(
                f"weights={shown(self.weights)}: choose published, none, or run:KEY with a run's 12-digit key"
            )
        if self.weights == "published" and self.width != 1:
            raise ValueError(
                f"width={self.width!r}: the published weights fit width=1 only; set weights=none or run:KEY"
            )
        if self.mode == "probe" and self.augment != "none":
            raise ValueError(
                f"augment={self.augment!r}: a linear probe embeds each clip once, so that there is nothing to augment; "
                "choose augment=none, or mode=finetune"
            )
        self._check_backbone()
        self._check_length()

    def _check_backbone(self) -> None:
        card = self.card
        if self.input_norm not in card.input_norms:
            raise ValueError(
                f"input_norm={self.input_norm!r}: {self.backbone} takes {' or '.join(card.input_norms)}; choose that"
            )
        if self.input_norm == "none" and "specaugment" in self.augment:
            raise ValueError(
                f"augment={self.augment!r}: SpecAugment sets what it hides to 0, which is the mean of a normalised "
                "input only; choose input_norm=batch or standard, or another augment"
            )
        if self.mode == "probe" and self.input_norm == "batch" and "standard" in card.input_norms:
            raise ValueError(
                f"input_norm='batch': a linear probe trains no normalisation, and {self.backbone} brings none; choose "
                "input_norm=standard or none"
            )
        if self.width != 1 and not card.scalable:
            raise ValueError(f"width={self.width!r}: {self.backbone} cannot be made narrower or wider; leave width=1")
        if card.input == "wave" and "specaugment" in self.augment:
            remedy = "mixup" if "mixup" in self.augment else "none"
            raise ValueError(
                f"augment={self.augment!r}: {self.backbone} takes waveforms, which have no spectrogram to mask; "
                f"choose augment={remedy}"
            )

    def _check_length(self) -> None:
        if abs(self.num_samples - self.clip_s * self.data_hz) > 1e-6:  # clips would drift against the recording
            raise ValueError(f"clip_s={self.clip_s!r}: not a whole number of samples at data_hz={self.data_hz}")
        card = self.card
        least = max(card.min_samples, 0 if card.input == "wave" else card.front_end.window // 2 + 1)  # it is reflected
        if self.num_samples >= least:
            return
        given, needed, unit = self.num_samples, least, "samples"
        if card.input == "logmel" and self.num_frames < card.front_end.num_frames(least):
            given, needed, unit = self.num_frames, card.front_end.num_frames(least), "frames"
        raise ValueError(
            f"data_hz={self.data_hz}: a clip of {self.clip_s:g} s gives {given} {unit} to {self.backbone} "
            f"pre-trained at {self.pretrain_hz} Hz, which needs {needed}; raise data_hz or clip_s"
        )

    @functools.cached_property
    def card(self) -> Card:
        """What the backbone needs."""
        return card(self.backbone, self.pretrain_hz)

    @property
    def class_list(self) -> tuple[str, ...]:
        """The chosen classes, sorted; empty for all."""
        return tuple(filter(None, self.classes.split(",")))

    @property
    def num_samples(self) -> int:
        """Samples of a clip at the data rate."""
        return round(self.clip_s * self.data_hz)

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return self.card.front_end.num_frames(self.num_samples)

    @property
    def logmel_shape(self) -> tuple[int, int]:
        """Frames and mel bands of a clip."""
        return self.num_frames, self.card.front_end.num_mels

    @functools.cached_property
    def key(self) -> str:
        """Twelve hex digits of the SHA-256 of the canonical JSON of what differs from the defaults."""
        differs = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default
        }
        return hashlib.sha256(json.dumps(differs, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, str | int | float]:
        """All fields, flat."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def only(self, *what: Changes) -> tuple[tuple[str, str | int | float], ...]:
        """Name and value of each field that changes any of `what`: what trials share that agree in it."""
        return tuple((name, getattr(self, name)) for name in fields_that_change(*what))

    def all_but(self, *what: Changes) -> tuple[tuple[str, str | int | float], ...]:
        """Name and value of each field that changes none of `what`."""
        left_out = fields_that_change(*what)
        return tuple((name, getattr(self, name)) for name in FIELDS if name not in left_out)


NAMED = ("backbone", "pretrain_hz", "data_hz", "seed")  # what a trial is called by: `cnn14-8k on 2 kHz, seed 1`
FIELDS: Mapping[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(TrialConfig)}


@functools.cache
def fields_that_change(*what: Changes) -> tuple[str, ...]:
    """The names of the fields that change any of `what`, in their order."""
    return tuple(name for name, field in FIELDS.items() if any(field.metadata["changes"] & kind for kind in what))


def parse_fields(assignments: list[str]) -> dict[str, str | int | float]:
    """Reads `field=value` words into typed `TrialConfig` fields.

    Raises:
        ValueError: if a word has no `=`, the field does not exist, or the value is not of its type.
    """
    types = {name: str(field.type) for name, field in FIELDS.items()}
    fields: dict[str, str | int | float] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{shown(word)}: write field=value")
        if name not in types:
            raise ValueError(f"{shown(word)}: TrialConfig has no field {shown(name)}; it has {', '.join(types)}")
        if name in fields:
            raise ValueError(f"{shown(word)}: {name} is set twice")
        fields[name] = _coerced(name, types[name], text)
    return fields


def _coerced(name: str, kind: str, value: object) -> str | int | float:
    """`value` as the field's type and in one form, so that equal configs have one key; a lossy change is refused."""
    try:
        if kind == "str" and isinstance(value, str) and not UNWRITABLE.search(value):
            return ",".join(sorted(filter(None, map(str.strip, value.split(","))))) if name == "classes" else value
        if kind != "str" and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
            if kind == "float" and math.isfinite(number):
                return number + 0.0  # -0.0 is 0.0
            if kind == "int" and number == int(number) and abs(number) < 2**53:  # above, floats skip numbers
                return int(number)
    except (ValueError, OverflowError):
        pass
    wanted = {"str": "text in UTF-8 without control characters", "int": "a whole number below 2**53"}
    raise ValueError(f"{name}={shown(value)}: must be of type {kind}, {wanted.get(kind, 'a finite number')}")
