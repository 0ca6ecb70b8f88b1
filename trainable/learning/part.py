"""A part of a trial, such as its objective: a frozen dataclass in a module of the same name.

`objective="cross_entropy"` is the part in `trainable/objectives/cross_entropy.py`: a name is a module, and there is no
register. The top of the module does not import torch, so that a plan can use a part; functions on tensors import it.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.engine.corpus import UNWRITABLE, shown
from datasets.engine.words.suggest import did_you_mean

if TYPE_CHECKING:
    from trainable.config import TrialConfig

Value = str | int | float
NONE = "none"  # the value of a setting that none of a trial's parts has
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """One choice for a slot of a trial; its fields are its settings.

    A setting is a string, a float or an integer, and has a default. The default of a setting that is added later must
    be the old behaviour, so that no key changes.

    Raises:
        ValueError: if a setting has the wrong type.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = coerced(field.name, str(field.type), getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @property
    def name(self) -> str:
        """The name of its module."""
        return type(self).__module__.rpartition(".")[2]

    def check(self, config: TrialConfig) -> None:
        """Refuses a trial that this part cannot belong to.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """

    def settings(self, whole: bool = False) -> dict[str, Value]:
        """The settings that differ from their defaults; with `whole`, all settings."""
        settings_and_defaults = {
            field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)
        }
        return {name: value for name, (value, default) in settings_and_defaults.items() if whole or value != default}

    def __str__(self) -> str:
        return self.name


class Twice(ValueError):
    """A part that is named more than once."""


class Parts(tuple[Part, ...]):
    """Several parts of one slot, each at most once; the order in which they are named does not matter."""

    def __new__(cls, parts: Any = ()) -> Parts:
        """Sorts the parts by stage.

        Raises:
            Twice: if a part is named twice.
        """
        ordered = super().__new__(cls, sorted(parts, key=lambda part: (getattr(part, "stage", 0), part.name)))
        if len({part.name for part in ordered}) < len(ordered):
            raise Twice(f"{ordered}: a part is named twice")
        return ordered

    def __str__(self) -> str:
        return "+".join(part.name for part in self) or "none"


def named(slot: str, folder: str, word: object, many: bool = False) -> Part:
    """The part of a slot with the name `word` and default settings; a part is returned unchanged.

    Args:
        slot: the field of `TrialConfig`, for messages.
        folder: the folder of `trainable/` with the module.
        many: whether the slot takes several parts, for messages.

    Raises:
        ValueError: if there is no such part; names those that exist.
    """
    if isinstance(word, Part) and type(word).__module__ == f"trainable.{folder}.{word.name}":
        return word
    return part_class(slot, folder, word, many)()


def several(slot: str, folder: str, words: object) -> Parts:
    """The parts in a string such as "specaugment+mixup", or in a collection; "none" means no parts.

    Raises:
        ValueError: if there is no such part, or one is named twice.
    """
    if isinstance(words, str):
        words = [] if words == "none" else words.split("+")
    if isinstance(words, Part):
        words = [words]
    if not isinstance(words, list | tuple | set | frozenset):
        raise ValueError(f"{slot}={shown(words)}: write names with + between them, or none")
    try:
        return Parts(named(slot, folder, word, many=True) for word in words)
    except Twice as error:
        raise ValueError(f"{slot}={error}; name each once") from None


def flat(slot: str, value: Part | Parts, whole: bool = False) -> Iterator[tuple[str, Value]]:
    """The flat form of a slot: its name, and every setting that is not the default, such as `schedule.after`.

    Args:
        slot: the field of `TrialConfig`.
        value: the part or parts in it.
        whole: whether to include the settings that are the default.
    """
    yield slot, str(value)
    for part in value if isinstance(value, Parts) else [value]:
        prefix = f"{slot}.{part.name}" if isinstance(value, Parts) else slot
        yield from ((f"{prefix}.{name}", setting) for name, setting in part.settings(whole).items())


def setting_names(slot: str, folder: str, many: bool) -> Iterator[str]:
    """The names of all settings that the parts of a slot can have, in the form of `flat`.

    Args:
        slot: the field of `TrialConfig`.
        folder: the folder of `trainable/` with the modules.
        many: whether the slot holds several parts; the names then include the part.
    """
    unique: dict[str, None] = {}
    for name in names(folder):
        prefix = f"{slot}.{name}" if many else slot
        unique |= dict.fromkeys(
            f"{prefix}.{field.name}" for field in dataclasses.fields(part_class(slot, folder, name))
        )
    yield from unique


def names(folder: str) -> list[str]:
    """The names of all parts for a slot, sorted.

    Args:
        folder: the folder of `trainable/` with the modules.
    """
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__")


def with_settings(slot: str, value: Part | Parts, settings: Mapping[str, object]) -> Part | Parts:
    """A copy of a part or parts with some settings changed.

    Args:
        slot: the field of `TrialConfig`, for messages.
        settings: the new values, by the name after the slot and its dot: `after` or, with several parts,
            `specaugment.mels`.

    Raises:
        ValueError: if there is no such part or setting, or it cannot have that value.
    """
    if isinstance(value, Part):
        return _changed(slot, value, settings)
    of_part: dict[str, dict[str, object]] = {}
    for path, setting in settings.items():
        name, _, setting_name = path.partition(".")
        of_part.setdefault(name, {})[setting_name] = setting
    if unknown := sorted(of_part.keys() - {part.name for part in value}):
        near = did_you_mean([part.name for part in value], unknown[0])
        raise ValueError(f"{slot}.{unknown[0]}: {slot}={value} has no such part{near}")
    return Parts(_changed(f"{slot}.{part.name}", part, of_part.get(part.name, {})) for part in value)


def _changed(slot: str, part: Part, settings: Mapping[str, object]) -> Part:
    setting_names = [field.name for field in dataclasses.fields(part)]
    if unknown := sorted(settings.keys() - set(setting_names)):
        choices, near = ", ".join(setting_names) or "none", did_you_mean(setting_names, unknown[0])
        raise ValueError(f"{slot}.{unknown[0]}: {part.name} has no such setting; it has {choices}{near}")
    try:
        return dataclasses.replace(part, **settings)
    except ValueError as error:
        raise ValueError(f"{slot}.{error}") from None


@cache
def part_class(slot: str, folder: str, word: object, many: bool = False) -> type[Part]:
    """The class of the part with the name `word`.

    Raises:
        ValueError: if there is no such part; names those that exist.
    """
    full = f"trainable.{folder}.{word}"
    if isinstance(word, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", word):
        try:
            module = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:  # the part exists, but one of its own imports fails
                raise
        else:
            classes = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == full]
            for candidate in classes:
                if issubclass(candidate, Part):
                    return candidate
    choices, grammar = names(folder), ", with + between them, or none" * many
    raise ValueError(f"{slot}={shown(word)}: choose one of {', '.join(choices)}{grammar}{did_you_mean(choices, word)}")


def coerced(name: str, kind: str, value: object) -> Value:
    """`value` as the field's type, in a canonical form, so that equal configs have one key; nothing may get lost.

    Args:
        name: the field, for messages.
        kind: "str", "int" or "float".

    Raises:
        ValueError: naming the field, the value and the required type.
    """
    try:
        if kind == "str" and isinstance(value, str) and not UNWRITABLE.search(value):
            return value
        if kind != "str" and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
            if kind == "float" and math.isfinite(number):
                return number + 0.0  # -0.0 is 0.0
            if kind == "int" and number == int(number) and abs(number) < 2**53:  # above that, floats skip integers
                return int(number)
    except (ValueError, OverflowError):
        pass
    requirements = {"str": "text in UTF-8 without control characters", "int": "a whole number below 2**53"}
    raise ValueError(f"{name}={shown(value)}: must be of type {kind}, {requirements.get(kind, 'a finite number')}")
