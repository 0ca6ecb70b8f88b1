"""`TrialConfig`: one trial, flat and frozen. An impossible one is refused; its key identifies it in every store."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets.engine.corpus import names_pattern, shown
from datasets.engine.splitting.folds import fold_named
from datasets.engine.words.names import as_list, names_in
from datasets.engine.words.suggest import did_you_mean, listed
from trainable.learning.part import (
    NONE,
    Part,
    Parts,
    Value,
    coerced,
    flat,
    named,
    several,
    with_settings,
)
from trainable.network import names
from trainable.network.card import Card, card

CHOICES = {
    "scale": ("minmax", "pcm"),
    "score_on": ("test", "validation"),
    "keep": ("none", "embeddings"),
    "precision": ("float32", "bfloat16"),
    "short": ("refuse", "pad", "repeat"),
}
LIMITS: dict[str, tuple[float, float]] = {  # the smallest and largest values with which a trial can work
    "data_hz": (1, 10_000_000),
    "clip_s": (1e-6, 3_600),
    "width": (1 / 1024, 16),  # below that, every layer of every network has one channel
    "lr": (1e-38, 1e38),  # the range of float32
    "weight_decay": (0, 1e38),
    "batch": (1, 1_000_000),
    "overlap": (0, 0.99),  # beyond that, a second of sound gives hundreds of clips
    "epochs": (1, 9_999),  # the names of checkpoints have four digits
    "patience": (0, 1_000_000),
    "seed": (0, 2**53 - 1),  # above that, floats skip whole numbers
}
NAMES = {  # patterns for the names of a module, a network and a split, with their description
    "corpus": (r"(?a)[A-Za-z]\w{0,63}", "the name of a file of datasets/, such as deepship"),
    "backbone": (r"(?a)[A-Za-z]\w{0,63}(/[\w.-]{1,120})?", "a network's name, such as cnn14 or timm/resnet50.a1_in1k"),
    "split": (
        r"\w[\w. +-]{0,63}(:[0-9/]{0,9})?",
        "recording, published, a group such as vessel, or a fold, vessel:1/5",
    ),
    "target": (r"(\w[\w. -]{0,63})?", "a group of the corpus, such as speaker, or nothing for its own label"),
}


class Changes(enum.Flag):
    """The aspects of a trial that a field changes; `TrialConfig.only` selects fields by them, so no list is kept."""

    DATA = enum.auto()  # the recordings and their classes
    SPLIT = enum.auto()  # the roles of the recordings
    CLIPS = enum.auto()  # the clips that are cut from a recording
    INPUT = enum.auto()  # the form in which a network gets a clip, as far as its card leaves it open
    NETWORK = enum.auto()  # the layers, and the front end before them
    START = enum.auto()  # the file of weights to start from
    STEP = enum.auto()  # the arithmetic of a step, and so its time and memory
    LEARNING = enum.auto()  # the numbers in a step, or the number of steps
    SCORE = enum.auto()  # the epoch that is kept, and how it is scored
    CHANCE = enum.auto()  # random numbers, and nothing else


DATA, SPLIT, CLIPS, INPUT, NETWORK, START, STEP, LEARNING, SCORE, CHANCE = Changes


def changes(aspects: Changes, default: Any = dataclasses.MISSING) -> Any:
    """A field that changes `aspects` of a trial."""
    return dataclasses.field(default=default, metadata={"changes": aspects})


def slot(folder: str, aspects: Changes, default: Any = dataclasses.MISSING, several: bool = False) -> Any:
    """A field that holds a part, or several: a part is a module in that folder of `trainable/`, given by its name."""
    metadata = {"changes": aspects, "folder": folder, "several": several}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One fine-tuning: (corpus, backbone, pre-training rate, data rate, augmentation, seed) and its recipe.

    The name of a field is also the Ray config key, the MLflow param and the DataFrame column. A field declares which
    aspects of a trial it changes. A default is the absence of something: the choices of a paper are in its recipe
    (`sweeps/recipes/`). The default of a field that is added later must be the old behaviour, so that no key changes.

    A slot holds a part (`trainable.learning.part`), and takes a part or its name: `augment="mixup"`.

    Raises:
        ValueError: if a value is impossible, alone or with the others; names the field, the value and the remedy.
    """

    corpus: str = changes(DATA)  # a module of datasets/
    backbone: str = changes(NETWORK | START)  # a network of trainable/backbones/
    pretrain_hz: int = changes(NETWORK | START)
    data_hz: int = changes(INPUT)
    augment: Any = slot("augmentations", STEP, several=True)
    seed: int = changes(CHANCE)

    clip_s: float = changes(CLIPS)
    lr: float = changes(LEARNING)
    batch: int = changes(STEP)  # samples after mixup, which draws twice as many clips
    epochs: int = changes(LEARNING)  # the maximum, if there is a `patience`

    classes: str = changes(DATA, "")  # separated by commas, as '"Dog, bark",Cat'; empty for all of the corpus
    groups: str = changes(DATA, "")  # a regular expression: the label and the groups in the names of files
    short: str = changes(CLIPS, "refuse")  # a recording shorter than a clip; or "pad" with zeros, "repeat" the sound
    overlap: float = changes(CLIPS, 0.0)  # the part of a clip that the next one has too
    target: str = changes(DATA, "")  # the group that is learnt; empty for the label, which else is the group `label`
    # The unit that two roles must not share: "recording" or a group of the corpus; or "published"; or a fold of these.
    split: str = changes(SPLIT, "recording")
    # Scale of the waveform: "pcm", int16 to [-1, 1]; "minmax", the training split's minimum and maximum to [0, 1].
    scale: str = changes(INPUT, "pcm")
    # "none", "published", or "run:KEY" for the checkpoint of the run with this key.
    weights: str = changes(START, "none")
    width: float = changes(NETWORK, 1.0)  # channels of every layer, relative to the published network
    # Dropout before the new classifier, in addition to the network's own.
    head_dropout: float = changes(NETWORK, 0.0)
    # Normalisation of the log-mel: "none", unchanged in dB; "batch", a batch normalisation of each mel band, which is
    # part of PANNs; "standard", by the mean and standard deviation of the training clips.
    input_norm: str = changes(NETWORK, "none")

    patience: int = changes(LEARNING, 0)  # epochs without a better `stop_by` after which training stops; 0: never
    stop_by: str = changes(LEARNING, "loss")  # a score on validation
    keep_by: str = changes(SCORE, "none")  # the score on validation whose best epoch is kept; none keeps the last
    input: Any = slot("inputs", INPUT, "own")  # or another input on the network's card
    weight_decay: float = changes(LEARNING, 0.0)  # of Adam, added to the gradient
    score_on: str = changes(SCORE, "test")  # "validation" for a trial of a search, which never loads a test clip
    trained: Any = slot("trained", STEP, "everything")  # or "head" for a linear probe
    sampler: Any = slot("samplers", STEP, "shuffled")
    objective: Any = slot("objectives", STEP, "cross_entropy")
    average: Any = slot("averages", STEP, "none")
    schedule: Any = slot("schedules", LEARNING, "constant")
    scores: Any = slot("scores", SCORE, "accuracy+recording_accuracy+loss", several=True)
    # Results beside predictions and weights: "embeddings" of the clips of all three roles, or "none".
    keep: str = changes(SCORE, "none")
    # Precision of convolutions and matrix products: "bfloat16" is by autocast; the rest stays in float32.
    precision: str = changes(STEP, "float32")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, as_kept(field, getattr(self, field.name)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                near = did_you_mean(allowed, getattr(self, name))
                raise ValueError(f"{name}={shown(getattr(self, name))}: choose one of {', '.join(allowed)}{near}")
        for name, (pattern, remedy) in NAMES.items():
            if not re.fullmatch(pattern, getattr(self, name)):
                raise ValueError(f"{name}={shown(getattr(self, name))}: is not a valid name; write {remedy}")
        fold_named(self.split)
        if self.groups:
            names_pattern(self.groups)
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
        if not self.scores or not self.main_score.each_epoch:
            raise ValueError(f"scores={str(self.scores)!r}: include one that every epoch has, such as accuracy")
        epoch_scores = [score.name for score in self.scores if score.each_epoch]
        for name, ways in (("keep_by", sorted([*epoch_scores, "none"])), ("stop_by", sorted(epoch_scores))):
            if (value := getattr(self, name)) not in ways:
                near = did_you_mean(ways, value)
                raise ValueError(f"{name}={shown(value)}: choose one of {', '.join(ways)}, or add it to scores{near}")
        self._check_backbone()
        for part in self.parts:
            part.check(self)
        self._check_length()

    def _check_backbone(self) -> None:
        try:
            card = self.card
        except ValueError as error:
            raise ValueError(f"{error}{names.near(self.backbone)}") from None
        if self.input_norm not in card.input_norms:
            raise ValueError(
                f"input_norm={self.input_norm!r}: {self.backbone} takes {' or '.join(card.input_norms)}; choose that"
            )
        if self.given.name not in card.inputs:
            choices = " or ".join(card.inputs)
            raise ValueError(f"input={str(self.input)!r}: {self.backbone} takes {choices}; choose that, or own")
        if self.input == self.given == named("input", "inputs", card.inputs[0]):  # spelt out: it is the same trial
            object.__setattr__(self, "input", named("input", "inputs", "own"))
        if self.width != 1 and not card.scalable:
            raise ValueError(f"width={self.width!r}: {self.backbone} cannot be made narrower or wider; leave width=1")

    def _check_length(self) -> None:
        if abs(self.num_samples - self.clip_s * self.data_hz) > 1e-6:  # else clips would drift along the recording
            raise ValueError(f"clip_s={self.clip_s!r}: not a whole number of samples at data_hz={self.data_hz}")
        card = self.card
        least = max(card.min_samples, self.given.min_samples(self))
        if self.num_samples >= least:
            return
        size, needed, unit = self.num_samples, least, "samples"
        if not self.given.waves and self.num_frames < card.front_end.num_frames(least):
            size, needed, unit = self.num_frames, card.front_end.num_frames(least), "frames"
        raise ValueError(
            f"data_hz={self.data_hz}: a clip of {self.clip_s:g} s gives {size} {unit} to {self.backbone} "
            f"pre-trained at {self.pretrain_hz} Hz, which needs {needed}; raise data_hz or clip_s"
        )

    @functools.cached_property
    def card(self) -> Card:
        """The card of the backbone: the facts that a plan must know about it."""
        return card(self.backbone, self.pretrain_hz)

    @functools.cached_property
    def given(self) -> Any:
        """The part that turns a clip into the network's input: `input`, or the first on the network's card."""
        return named("input", "inputs", self.card.inputs[0]) if self.input.name == "own" else self.input

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of the trial, in the order of its slots."""
        collected: list[Part] = []
        for name, _, many in SLOTS:
            collected += getattr(self, name) if many else [getattr(self, name)]
        return tuple(collected)

    @property
    def clips_per_sample(self) -> int:
        """The number of clips in a sample of a batch: two if an augmentation mixes pairs."""
        return math.prod(getattr(part, "clips_per_sample", 1) for part in self.augment)

    @property
    def main_score(self) -> Any:
        """The score by which the trial is ranked and listed."""
        return self.scores[0]

    @property
    def listed_by(self) -> str:
        """The metric of its run by which the trial is ranked and listed."""
        return f"{'test' if self.score_on == 'test' else 'best_val'}_{self.main_score.name}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The final metrics of its run: the scores on test, those of the kept epoch on validation, and that epoch."""
        best_scores = [f"best_val_{score.name}" for score in self.scores if score.each_epoch]
        return (*(f"test_{score.name}" for score in self.scores), *best_scores, "best_epoch")

    def score(self, name: str) -> Any:
        """The score of the trial with this name."""
        return next(score for score in self.scores if score.name == name)

    @property
    def class_list(self) -> tuple[str, ...]:
        """The chosen classes, sorted; empty for all."""
        return tuple(names_in(self.classes))

    @property
    def num_samples(self) -> int:
        """The number of samples of a clip at the data rate."""
        return round(self.clip_s * self.data_hz)

    @property
    def num_frames(self) -> int:
        """The number of frames of a clip."""
        return self.card.front_end.num_frames(self.num_samples)

    @property
    def logmel_shape(self) -> tuple[int, int]:
        """The numbers of frames and mel bands of a clip."""
        return self.num_frames, self.card.front_end.num_mels

    @functools.cached_property
    def key(self) -> str:
        """The identity: twelve hex digits of the SHA-256 of the fields that are not the default, as sorted JSON."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        differs = {name: value for name, value in self.to_dict().items() if value != defaults.get(name)}
        return hashlib.sha256(json.dumps(differs, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Value]:
        """All fields, flat: a part as its name, plus settings that are not the default, such as `schedule.after`."""
        return dict(self.all_but())

    def whole(self) -> dict[str, Value]:
        """All fields, flat, with every setting of the parts, including the defaults."""
        return dict(self._flat(FIELDS, whole=True))

    def __getitem__(self, name: str) -> Any:
        """The value of a field or setting, by the name it has in `whole`.

        Raises:
            KeyError: if none of the trial's parts has such a setting.
        """
        if name in FIELDS:
            value = getattr(self, name)
            return str(value) if isinstance(value, Part | Parts) else value
        return self.whole()[name]

    def get(self, name: str) -> Any:
        """The value of a field or setting; "none" if none of the trial's parts has such a setting."""
        return self[name] if name in FIELDS else self.whole().get(name, NONE)

    def but(self, **fields: Any) -> TrialConfig:
        """A copy of the trial with some fields or settings of parts changed: `but(**{"schedule.after": "30"})`.

        Raises:
            TypeError: if there is no such field.
            ValueError: if the changed trial is impossible.
        """
        return dataclasses.replace(self, **_with_settings(fields, self))

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> TrialConfig:
        """The trial whose `to_dict` is `fields`.

        Raises:
            TypeError: if a field is unknown or missing.
            ValueError: if the trial is impossible.
        """
        return cls(**_with_settings(fields, None))

    def only(self, *aspects: Changes) -> tuple[tuple[str, Value], ...]:
        """Name and value of each field that changes any of `aspects`; equal for trials that share those aspects."""
        return self._flat(fields_that_change(*aspects))

    def all_but(self, *aspects: Changes) -> tuple[tuple[str, Value], ...]:
        """Name and value of each field that changes none of `aspects`."""
        left_out = fields_that_change(*aspects)
        return self._flat([field.name for field in dataclasses.fields(self) if field.name not in left_out])

    def _flat(self, names: Iterable[str], whole: bool = False) -> tuple[tuple[str, Value], ...]:
        values = ((name, getattr(self, name)) for name in names)
        nested = (flat(n, v, whole) if isinstance(v, Part | Parts) else ((n, v),) for n, v in values)
        return tuple(pair for pairs in nested for pair in pairs)


NAMED = ("backbone", "pretrain_hz", "data_hz", "seed")  # the fields in the name of a trial: `cnn14-8k on 2 kHz, seed 1`
FIELDS: Mapping[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(TrialConfig)}
SLOTS = tuple((n, f.metadata["folder"], f.metadata["several"]) for n, f in FIELDS.items() if "folder" in f.metadata)


@functools.cache
def fields_that_change(*aspects: Changes) -> tuple[str, ...]:
    """The names of the fields that change any of `aspects`, in the order of `TrialConfig`."""
    return tuple(name for name, field in FIELDS.items() if any(field.metadata["changes"] & kind for kind in aspects))


def no_field(name: str) -> str:
    """The message that a field or setting does not exist, with the fields that do exist."""
    near = did_you_mean([field for field in FIELDS if field != name.partition(".")[0]], name.partition(".")[0])
    return f"TrialConfig has no field {shown(name)}; it has {listed(FIELDS, 'see trainable/config.py')}{near}"


def as_kept(field: dataclasses.Field[Any], value: object) -> Any:
    """The value of a field, converted to its type and to a canonical form, so that equal configs have one key.

    Raises:
        ValueError: if it cannot be converted to the field's type, or is not the name of a part.
    """
    if "folder" in field.metadata:
        as_part = several if field.metadata["several"] else named
        return as_part(field.name, field.metadata["folder"], value)
    canonical = coerced(field.name, str(field.type), value)
    return as_list(sorted(names_in(str(canonical)))) if field.name == "classes" else canonical


def _with_settings(fields: Mapping[str, Any], base: TrialConfig | None) -> dict[str, Any]:
    """Arguments for `TrialConfig`, made from flat fields: the settings of parts are put into the parts.

    Args:
        base: the trial whose parts get the settings if `fields` name no part.
    """
    plain = {name: value for name, value in fields.items() if "." not in name}
    for slot, folder, many in SLOTS:
        prefix = f"{slot}."
        if settings := {n.removeprefix(prefix): v for n, v in fields.items() if n.startswith(prefix)}:
            default = getattr(base, slot) if base else FIELDS[slot].default
            part = (several if many else named)(slot, folder, plain.get(slot, default))
            plain[slot] = with_settings(slot, part, settings)
    slots = {slot for slot, _, _ in SLOTS}
    if unknown := [name for name in fields if name not in FIELDS and name.partition(".")[0] not in slots]:
        raise TypeError(no_field(unknown[0]))
    return plain
