"""Readable names for the fields of `TrialConfig`, the settings of parts, and their values.

A field without a label goes by its own name. A value is shown alone where its field is named beside it, or where it
makes its field plain, as 2 kHz does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.engine.protocol import FIELDS
from analysis.engine.protocol import words as plain_words
from analysis.engine.wording import khz
from datasets.engine.words.suggest import did_you_mean, listed
from trainable.config import TrialConfig
from trainable.learning.settings import all_settings, is_known


def _plain(value: Any) -> str:
    # Nine digits, so that no two values look alike.
    return f"{value:.9g}" if isinstance(value, float) else plain_words([value])


def _start(weights: str) -> str:
    return {"none": "random weights", "published": "pre-trained"}.get(weights, f"pre-trained ({weights})")


@dataclass(frozen=True)
class Label:
    """The readable names of one field."""

    name: str  # its name above a column
    axis: str = ""  # its name below a figure; empty for `name`
    short: str = ""  # its name above a narrow column; empty for `name`
    noun: str = "setting"  # a noun for each of its values
    words: Callable[[Any], str] = _plain  # words a value
    alone: bool = False  # whether a value makes the field plain


LABELS = {
    "data_hz": Label("Data rate", axis="Data sampling rate", short="Data", words=khz, alone=True),
    "pretrain_hz": Label("Pre-training rate", short="Pre-training", words=khz, alone=True),
    "clip_s": Label("Clip length", words=lambda seconds: f"{seconds:g} s", alone=True),
    "backbone": Label("Backbone", noun="network", alone=True),
    "corpus": Label("Corpus", alone=True),
    "weights": Label("Weights", words=_start, alone=True),
    "augment": Label("Augmentation"),
    "lr": Label("Learning rate"),
    "weight_decay": Label("Weight decay"),
}

Phrase = Callable[[TrialConfig], str]
# What a field says about a trial, in the words of a recipe; empty for the absence of something.
PHRASES: dict[str, Phrase] = {
    "corpus": lambda trial: f"corpus {trial.corpus}",
    "classes": lambda trial: f"only the classes {', '.join(trial.class_list)}" if trial.classes else "",
    "groups": lambda trial: f"label and groups by the file names {trial.groups}" if trial.groups else "",
    "target": lambda trial: f"the class is the {trial.target}" if trial.target else "",
    "split": lambda trial: f"split by {trial.split}" if trial.split != "published" else "the published split",
    "clip_s": lambda trial: f"clips of {trial.clip_s:g} s",
    "overlap": lambda trial: f"that overlap by {100 * trial.overlap:g} %" if trial.overlap else "",
    "short": lambda trial: "" if trial.short == "refuse" else f"shorter recordings: {trial.short}",
    "backbone": lambda trial: trial.backbone if "/" in trial.backbone else trial.backbone.upper(),
    "weights": lambda trial: _start(trial.weights),
    "pretrain_hz": lambda trial: f"made for {khz(trial.pretrain_hz)}",
    "data_hz": lambda trial: f"given sound at {khz(trial.data_hz)}",
    "width": lambda trial: f"{trial.width:g} of the published channels" if trial.width != 1 else "",
    "head_dropout": lambda trial: f"dropout {trial.head_dropout:g} before the classifier" if trial.head_dropout else "",
    "input_norm": lambda trial: f"input normalised: {trial.input_norm}" if trial.input_norm != "none" else "",
    "input": lambda trial: f"input: {trial.input}" if str(trial.input) != "own" else "",
    "scale": lambda trial: "waveform scaled to [0, 1]" if trial.scale == "minmax" else "",
    "trained": lambda trial: f"trained: {trial.trained}",
    "augment": lambda trial: f"augmentation: {trial.augment}",
    "lr": lambda trial: f"Adam with a learning rate of {trial.lr:g}",
    "weight_decay": lambda trial: f"weight decay {trial.weight_decay:g}" if trial.weight_decay else "",
    "schedule": lambda trial: f"schedule: {trial.schedule}",
    "batch": lambda trial: f"batches of {trial.batch}",
    "epochs": lambda trial: f"{'at most ' * bool(trial.patience)}{trial.epochs} epochs",
    "patience": lambda trial: f"stopped after {trial.patience} epochs without a better one" if trial.patience else "",
    "stop_by": lambda trial: f"judged by validation {trial.stop_by}" if trial.patience else "",
    "sampler": lambda trial: f"sampler: {trial.sampler}" if str(trial.sampler) != "shuffled" else "",
    "objective": lambda trial: f"objective: {str(trial.objective).replace('_', ' ')}",
    "average": lambda trial: f"average of weights: {trial.average}" if str(trial.average) != "none" else "",
    "precision": lambda trial: f"in {trial.precision}" if trial.precision != "float32" else "",
    "keep_by": lambda trial: (
        f"epoch of the best validation {trial.keep_by}" if trial.keep_by != "none" else "last epoch"
    ),
    "score_on": lambda trial: f"scored on {trial.score_on} clips",
    "scores": lambda trial: f"scores: {', '.join(score.title for score in trial.scores)}",
    "keep": lambda trial: f"keeps its {trial.keep}" if trial.keep != "none" else "",
}


def phrase(field: str, trial: TrialConfig) -> str:
    """The phrase of a field or a setting of a part in a recipe; empty for the absence of something."""
    return PHRASES[field](trial) if field in PHRASES else f"{field}={_plain(trial.get(field))}"


def label(field: str) -> Label:
    """The label of a field; that of a setting of a part names its slot as well, such as Schedule (after)."""
    slot, _, setting = field.partition(".")
    if not setting:
        return LABELS.get(field, Label(field))
    of_slot = LABELS[slot].name if slot in LABELS else slot.capitalize()
    return Label(f"{of_slot} ({re.sub('[._]', ' ', setting)})")


def title(field: str) -> str:
    """The name of a field within a sentence."""
    return label(field).name.lower() if field in LABELS or "." in field else field


def plural(field: str) -> str:
    """A plural for the values of a field, within a sentence."""
    if field not in LABELS:
        return f"values of {field}"
    return title(field) if title(field).endswith("s") else f"{title(field)}s"


def axis(field: str) -> str:
    """The name of a field below a figure."""
    return label(field).axis or label(field).name


def words(field: str, value: Any) -> str:
    """The words for a value whose field is named beside it."""
    return label(field).words(value)


def told(field: str, value: Any) -> str:
    """The words for a value that is shown alone, such as 2 kHz or lr=0.001."""
    return words(field, value) if label(field).alone else f"{field}={words(field, value)}"


def check(*fields: str) -> None:
    """Refuses fields that cannot distinguish the cells of a table.

    Raises:
        ValueError: if a field is neither of `TrialConfig` nor a setting of a part, is named twice, or is the seed.
    """
    for field in fields:
        if is_known(field):
            continue
        slot, dot, _ = field.partition(".")
        settings = [name for name in all_settings() if name.startswith(f"{slot}.")]
        if dot and settings:
            raise ValueError(f"no part of {slot} has a setting {field!r}; a table can be over {', '.join(settings)}")
        among, near = listed(FIELDS, "see trainable/config.py"), did_you_mean(FIELDS, field)
        raise ValueError(f"TrialConfig has no field {field!r}; a table can be over {among}{near}")
    if len(set(fields)) < len(fields):
        raise ValueError(f"{' and '.join(fields)}: choose two different fields")
    if "seed" in fields:
        raise ValueError("a cell is averaged over its seeds; choose another field than seed")
