"""Which networks there are, family by family, and which one a misspelt name was probably meant to be.

Families are found in their folder, and loaded: they are asked for a list, or when a name is refused, and never by a
trial, whose code is that of its own family alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

from datasets.engine.words.suggest import did_you_mean
from trainable.network import card
from trainable.network.card import Card

RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # that anything is pre-trained at


def families() -> list[ModuleType]:
    """The module of each family, by name."""
    return [importlib.import_module(f"trainable.backbones.{name}") for name in card.families()]


def names(family: ModuleType) -> tuple[str, ...]:
    """The networks that a family's file names itself."""
    stem = family.__name__.rpartition(".")[2]
    bare: Iterable[str] = getattr(family, "NAMES", ())
    return (*bare, *(f"{stem}/{name}" for name in getattr(family, "KNOWN", ())))


def more_names(family: ModuleType) -> Sequence[str]:
    """The other networks of a family whose package brings many; none of most families."""
    found: Sequence[str] = getattr(family, "more_names", tuple)()
    return found


def cards(family: ModuleType, name: str) -> list[Card]:
    """The cards of a network, one for each rate that it was pre-trained at."""
    found = []
    for rate_hz in RATES_HZ:
        try:
            found.append(family.card(name, rate_hz))
        except ValueError:  # it was not pre-trained at this rate
            continue
    return found


def near(backbone: str) -> str:
    """The end of a message that refuses a network, such as `; did you mean cnn14?`; empty if it is a network's name."""
    return "" if backbone in set(_written().values()) else did_you_mean(_written(), backbone, written=_written())


@functools.cache
def _written() -> dict[str, str]:
    """What users write for a network -> its name: all of it, without its family, and without its tag."""
    found: dict[str, str] = {}
    every = [name for family in families() for name in names(family)]
    every += [name for family in families() for name in more_names(family)]
    for name in every:
        without_tag = name.partition(".")[0]
        for short in (name, name.partition("/")[2], without_tag, without_tag.partition("/")[2]):
            if short:
                found.setdefault(short, name)
    return found
