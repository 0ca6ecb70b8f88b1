"""The names of all networks, by family, and suggestions for misspelt names.

The families are found in their folder, and their modules are loaded. This happens only for a list or when a name is
refused, never in a trial, whose code is that of its own family alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

from datasets.engine.words.suggest import did_you_mean
from trainable.network import card
from trainable.network.card import Card

RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # the rates at which networks are pre-trained


def families() -> list[ModuleType]:
    """The modules of all families, sorted by name."""
    return [importlib.import_module(f"trainable.backbones.{name}") for name in card.families()]


def names(family: ModuleType) -> tuple[str, ...]:
    """The networks that are named in a family's file."""
    stem = family.__name__.rpartition(".")[2]
    bare: Iterable[str] = getattr(family, "NAMES", ())
    return (*bare, *(f"{stem}/{name}" for name in getattr(family, "KNOWN", ())))


def more_names(family: ModuleType) -> Sequence[str]:
    """The other networks of a family, if it is a package with many; most families have none."""
    other_names: Sequence[str] = getattr(family, "more_names", tuple)()
    return other_names


def cards(family: ModuleType, name: str) -> list[Card]:
    """The cards of a network, one for each rate at which it was pre-trained."""
    by_rate = []
    for rate_hz in RATES_HZ:
        try:
            by_rate.append(family.card(name, rate_hz))
        except ValueError:  # it was not pre-trained at this rate
            continue
    return by_rate


def near(backbone: str) -> str:
    """The end of a message that refuses a network, such as `; did you mean cnn14?`; empty if the network exists."""
    return "" if backbone in set(_written().values()) else did_you_mean(_written(), backbone, written=_written())


@functools.cache
def _written() -> dict[str, str]:
    """The name of a network by each form that users write: in full, without its family, without its tag."""
    name_of: dict[str, str] = {}
    all_names = [name for family in families() for name in names(family)]
    all_names += [name for family in families() for name in more_names(family)]
    for name in all_names:
        without_tag = name.partition(".")[0]
        for short in (name, name.partition("/")[2], without_tag, without_tag.partition("/")[2]):
            if short:
                name_of.setdefault(short, name)
    return name_of
