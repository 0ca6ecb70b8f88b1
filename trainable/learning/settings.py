"""The settings that parts can have, in any trial."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from trainable.config import FIELDS, SLOTS
from trainable.learning.part import Value, flat, named, setting_names, several


def by_default(named_parts: Mapping[str, Any]) -> dict[str, Value]:
    """All settings with their defaults, for parts given by slot and name, such as `{"schedule": "steps"}`."""
    settings: dict[str, Value] = {}
    for slot, folder, many in SLOTS:
        if isinstance(word := named_parts.get(slot), str):
            part = (several if many else named)(slot, folder, word)
            settings |= {name: value for name, value in flat(slot, part, whole=True) if name != slot}
    return settings


@functools.cache
def all_settings() -> tuple[str, ...]:
    """The names of all settings of parts, such as `schedule.after` and `augment.specaugment.mels`."""
    return tuple(name for slot in SLOTS for name in setting_names(*slot))


def is_known(name: str) -> bool:
    """Whether a trial can have a field or setting with this name."""
    return name in FIELDS or name in all_settings()
