"""The dimensions of a search, as plain data: the values that a field of `TrialConfig` may take."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from datasets.engine.words.suggest import did_you_mean, listed
from trainable.config import FIELDS

Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class _Conditional:
    when: Mapping[str, Value] | None = None  # searched only if other dimensions have these values


@dataclass(frozen=True)
class Uniform(_Conditional):
    """Any number from `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform(_Conditional):
    """Any number from `low` to `high`, as likely between 1 and 10 as between 10 and 100."""

    low: float
    high: float


@dataclass(frozen=True)
class Whole(_Conditional):
    """A whole number from `low` to `high`, inclusive."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice(_Conditional):
    """One of some values."""

    values: tuple[Value, ...]


Dimension = Uniform | LogUniform | Whole | Choice


def check(space: Mapping[str, Dimension]) -> None:
    """Refuses a space that cannot be searched.

    Raises:
        ValueError: if a field does not exist, a range is empty or has no logarithm, or a condition is on a field that
            is not searched before.
    """
    names = FIELDS.keys() - {"seed", "score_on"}
    earlier: set[str] = set()
    for name, dimension in space.items():
        if name.partition(".")[0] not in names:
            fields, near = listed(sorted(names), "see trainable/config.py"), did_you_mean(names, name)
            raise ValueError(f"space: TrialConfig has no field {name!r} to search; it has {fields}{near}")
        if isinstance(dimension, Choice):
            if len(set(dimension.values)) != len(dimension.values) or not dimension.values:
                raise ValueError(f"space: {name}: name one or more different values, not {dimension.values}")
        elif not dimension.low < dimension.high:
            raise ValueError(f"space: {name}: low={dimension.low} must be below high={dimension.high}")
        elif (isinstance(dimension, LogUniform) or getattr(dimension, "log", False)) and dimension.low <= 0:
            raise ValueError(f"space: {name}: low={dimension.low} has no logarithm; it must be above 0")
        if unknown := sorted(set(dimension.when or {}) - earlier):
            raise ValueError(f"space: {name}: its condition is on {', '.join(unknown)}, which must come before it")
        earlier.add(name)


def points(space: Mapping[str, Dimension]) -> list[dict[str, Value]]:
    """All points of a space of choices, the last field changing fastest; empty with any range or condition."""
    if not all(isinstance(d, Choice) and not d.when for d in space.values()):
        return []
    values = [d.values for d in space.values() if isinstance(d, Choice)]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]
