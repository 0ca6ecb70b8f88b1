"""A part of a trial: what a paper varies beyond the tuple, as a frozen dataclass in the module of its name.

`objective="cross_entropy"` is the part in `trainable/objectives/cross_entropy.py`: a name is a module, and there is no
register. The module's top loads no torch, so that a plan can ask a part; what works on tensors imports it inside.
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
NONE = "none"  # what a trial is said to have in a setting that none of its parts has
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """One choice for a slot of a trial; its fields are its settings.

    A setting is a text, a number or a whole number, and has a default; a setting that is added later has the old
    behaviour as its default, so that no key changes.

    Raises:
        ValueError: if a setting is of another type.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = coerced(field.name, str(field.type), getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @property
    def name(self) -> str:
        """That of its module."""
        return type(self).__module__.rpartition(".")[2]

    def check(self, config: TrialConfig) -> None:
        """Refuses a trial that this part cannot be a part of.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """

    def settings(self, whole: bool = False) -> dict[str, Value]:
        """The settings that differ from their defaults; all of them with `whole`."""
        found = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in found.items() if whole or value != default}

    def __str__(self) -> str:
        return self.name


class Twice(ValueError):
    """A part that is named more than once."""


class Parts(tuple[Part, ...]):
    """Several parts of one slot, none twice; in whichever order they were named they are the same."""

    def __new__(cls, parts: Any = ()) -> Parts:
        """Sorts them by when they act.

        Raises:
            Twice: if a part is there twice.
        """
        found = super().__new__(cls, sorted(parts, key=lambda part: (getattr(part, "stage", 0), part.name)))
        if len({part.name for part in found}) < len(found):
            raise Twice(f"{found}: a part stands there twice")
        return found

    def __str__(self) -> str:
        return "+".join(part.name for part in self) or "none"


def named(slot: str, folder: str, word: object, many: bool = False) -> Part:
    """The part of a slot that a word names, with its settings as they are by default; a part is taken as it is.

    Args:
        slot: the field of `TrialConfig`, for messages.
        folder: of `trainable/`, in which the module lies.
        many: whether the slot takes several, for messages.

    Raises:
        ValueError: if there is no such part; names those there are.
    """
    if isinstance(word, Part) and type(word).__module__ == f"trainable.{folder}.{word.name}":
        return word
    return part_class(slot, folder, word, many)()


def several(slot: str, folder: str, words: object) -> Parts:
    """The parts that a text such as "specaugment+mixup" names, or that are given; "none" is none."""
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
    """A slot as outsiders see it: its name, and every setting that is not the default, `objective.layer`.

    Args:
        slot: the field of `TrialConfig`.
        value: what it holds.
        whole: whether settings that are as by default are wanted too.
    """
    yield slot, str(value)
    for part in value if isinstance(value, Parts) else [value]:
        own = f"{slot}.{part.name}" if isinstance(value, Parts) else slot
        yield from ((f"{own}.{name}", setting) for name, setting in part.settings(whole).items())


def setting_names(slot: str, folder: str, many: bool) -> Iterator[str]:
    """The settings that the parts of a slot can have, as `flat` names them; `several` of them have their part's name.

    Args:
        slot: the field of `TrialConfig`.
        folder: of `trainable/`, in which the modules lie.
        many: whether the slot holds several parts.
    """
    found: dict[str, None] = {}
    for name in names(folder):
        own = f"{slot}.{name}" if many else slot
        found |= dict.fromkeys(f"{own}.{field.name}" for field in dataclasses.fields(part_class(slot, folder, name)))
    yield from found


def names(folder: str) -> list[str]:
    """The parts that there are for a slot, sorted.

    Args:
        folder: of `trainable/`, in which the modules lie.
    """
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__")


def with_settings(slot: str, value: Part | Parts, settings: Mapping[str, object]) -> Part | Parts:
    """The same with some settings changed.

    Args:
        settings: by what follows the slot and a dot: `layer`, or with several parts `mixup.alpha`.

    Raises:
        ValueError: if there is no such part or setting, or it cannot have that value.
    """
    if isinstance(value, Part):
        return _changed(slot, value, settings)
    of_part: dict[str, dict[str, object]] = {}
    for path, setting in settings.items():
        name, _, own = path.partition(".")
        of_part.setdefault(name, {})[own] = setting
    if unknown := sorted(of_part.keys() - {part.name for part in value}):
        near = did_you_mean([part.name for part in value], unknown[0])
        raise ValueError(f"{slot}.{unknown[0]}: {slot}={value} has no such part{near}")
    return Parts(_changed(f"{slot}.{part.name}", part, of_part.get(part.name, {})) for part in value)


def _changed(slot: str, part: Part, settings: Mapping[str, object]) -> Part:
    known = [field.name for field in dataclasses.fields(part)]
    if unknown := sorted(settings.keys() - set(known)):
        there, near = ", ".join(known) or "none", did_you_mean(known, unknown[0])
        raise ValueError(f"{slot}.{unknown[0]}: {part.name} has no such setting; it has {there}{near}")
    try:
        return dataclasses.replace(part, **settings)
    except ValueError as error:
        raise ValueError(f"{slot}.{error}") from None


@cache
def part_class(slot: str, folder: str, word: object, many: bool = False) -> type[Part]:
    """The class of the part that a word names.

    Raises:
        ValueError: if there is no such part; names those there are.
    """
    full = f"trainable.{folder}.{word}"
    if isinstance(word, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", word):
        try:
            module = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:  # the part is there and lacks something itself
                raise
        else:
            found = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == full]
            for each in found:
                if issubclass(each, Part):
                    return each
    there, how = names(folder), ", with + between them, or none" * many
    raise ValueError(f"{slot}={shown(word)}: choose one of {', '.join(there)}{how}{did_you_mean(there, word)}")


def coerced(name: str, kind: str, value: object) -> Value:
    """`value` as the field's type and in one form, so that equal configs have one key; a lossy change is refused.

    Args:
        kind: "str", "int" or "float".

    Raises:
        ValueError: naming the field, the value and what it must be.
    """
    try:
        if kind == "str" and isinstance(value, str) and not UNWRITABLE.search(value):
            return value
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
