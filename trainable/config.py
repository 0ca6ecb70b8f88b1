"""`TrialConfig`: one trial, flat and frozen, refused when it cannot work; its key is its identity in every store."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
from dataclasses import dataclass

from trainable.card import Card, card

CHOICES = {
    "augment": ("specaugment+mixup", "specaugment", "mixup", "none"),
    "scale": ("minmax", "pcm"),
    "keep_by": ("accuracy", "loss"),
    "stop_by": ("accuracy", "loss"),
    "score_on": ("test", "validation"),
    "mode": ("finetune", "probe"),
    "precision": ("float32", "bfloat16"),
}


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One fine-tuning: (corpus, backbone, pre-train rate, data rate, augmentation, seed) and its recipe.

    A field's name is the Ray config key, the MLflow param and the DataFrame column. Defaults are the recipe of
    Mohammadi et al. 2024; a field that is added later has the old behaviour as its default, so that no key changes.

    Raises:
        ValueError: if a value is impossible, alone or with the others; names the field, the value and the remedy.
    """

    corpus: str  # a module of datasets/
    backbone: str  # a network of trainable/backbones/
    pretrain_hz: int
    data_hz: int
    augment: str
    seed: int

    classes: str = ""  # comma-separated; empty is all that the corpus has
    split: str = "recording"  # what no role may share: "recording", or a group of the corpus; or "published"
    clip_s: float = 5.0
    scale: str = "minmax"  # waveform: train split's global minimum and maximum to [0, 1]; "pcm": int16 to [-1, 1]
    weights: str = "published"  # or "none", or "run:KEY", the checkpoint that the run with this key left
    width: float = 1.0  # of every layer, against the published network
    head_dropout: float = 0.5  # before the new classifier, on top of the network's own (the authors' code does this)
    input_norm: str = "batch"  # log-mel: "batch", a batch normalisation of each mel band; "standard", mean and standard
    # deviation of the training clips; "none", in dB as it is. PANNs bring the first with them

    lr: float = 5e-5
    batch: int = 32  # samples after mixup, which draws twice as many clips
    epochs: int = 100
    patience: int = 50  # epochs without a better `stop_by`
    stop_by: str = "loss"  # validation
    keep_by: str = "accuracy"  # validation
    weight_decay: float = 0.0  # Adam's, added to the gradient
    score_on: str = "test"  # or "validation": a trial of a search, which never loads a test clip
    mode: str = "finetune"  # or "probe": a linear probe, the classifier alone, on embeddings made once a trial
    precision: str = "float32"  # or "bfloat16": of convolutions and matrix products, by autocast; the rest stays

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _coerced(field.name, str(field.type), getattr(self, field.name)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(allowed)}")
        for name in ("data_hz", "clip_s", "width", "lr", "batch", "epochs", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be above 0")
        if not 0 <= self.head_dropout < 1:
            raise ValueError(f"head_dropout={self.head_dropout!r}: must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay!r}: must be at least 0")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed!r}: must be at least 0")
        if len(class_list := self.class_list) != len(set(class_list)) or len(class_list) == 1:
            raise ValueError(f"classes={self.classes!r}: name two or more different classes, or none for all")
        if not re.fullmatch(r"published|none|run:[0-9a-f]{12}", self.weights):
            raise ValueError(f"weights={self.weights!r}: choose published, none, or run:KEY with a run's 12-digit key")
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
        if self.num_samples >= card.min_samples:
            return
        given, needed, unit = self.num_samples, card.min_samples, "samples"
        if card.input == "logmel":
            given, needed, unit = self.num_frames, card.front_end.num_frames(card.min_samples), "frames"
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
        return dataclasses.asdict(self)


def parse_fields(assignments: list[str]) -> dict[str, str | int | float]:
    """Reads `field=value` words into typed `TrialConfig` fields.

    Raises:
        ValueError: if a word has no `=`, the field does not exist, or the value is not of its type.
    """
    types = {f.name: str(f.type) for f in dataclasses.fields(TrialConfig)}
    fields: dict[str, str | int | float] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r}: write field=value")
        if name not in types:
            raise ValueError(f"{word!r}: TrialConfig has no field {name!r}; it has {', '.join(types)}")
        if name in fields:
            raise ValueError(f"{word!r}: {name} is set twice")
        fields[name] = _coerced(name, types[name], text)
    return fields


def _coerced(name: str, kind: str, value: object) -> str | int | float:
    """`value` as the field's type and in one form, so that equal configs have one key; a lossy change is refused."""
    try:
        if kind == "str" and isinstance(value, str):
            return ",".join(sorted(filter(None, map(str.strip, value.split(","))))) if name == "classes" else value
        if kind != "str" and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
            if kind == "float" and math.isfinite(number):
                return number + 0.0  # -0.0 is 0.0
            if kind == "int" and number == int(number) and abs(number) < 2**53:  # above, floats skip numbers
                return int(number)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name}={value!r}: must be of type {kind}")
