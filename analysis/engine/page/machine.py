"""The document of a report for other programs, `report.json`: every number and verdict, with null where unknown.

Its keys are listed in `docs/report.md`. Shares are fractions.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.engine.page.extras import Extras
from analysis.engine.stats import Interval
from analysis.engine.tables.cells import Table

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # raise it when a key changes its meaning
CLAIM = ("text", "where", "verdict", "sentence")
SCORE = ("name", "title", "unit", "is_share", "higher_is_better")
PUBLISHED = ("source", "url", "metric", "n", "ddof")


def document(
    table: Table,
    question: str,
    command: str,
    frames: Mapping[str, pd.DataFrame],
    findings: Sequence[str],
    extras: Extras,
) -> str:
    """The document as JSON.

    Args:
        table: the reported table.
        question: the heading of its page.
        command: the command that writes the report again.
        frames: the tables for programs, by the names of their CSV files; `table` has the cells.
        findings: the sentences that open the page.
        extras: the parts of the page beside the table.
    """
    content = {
        "format": FORMAT,
        "sweep": table.name,
        "question": question,
        "command": command,
        "complete": table.complete,
        "score": _of(table.score, SCORE),
        "margin": table.margin,
        "findings": list(findings),
        "cautions": list(extras.cautions),
        "claims": [_claim(claim) for claim in extras.claims],
        "recipe": {line.name: list(line.words) for line in extras.recipe},
        "cells": _records(frames.get("table")),
        **{name: _records(frames.get(name)) for name in ("pairs", "confusion", "seeds", "seen")},
        "errors": [_without_sound(dataclasses.asdict(clip)) for clip in extras.errors.clips] if extras.errors else [],
        "published": _of(table.published, PUBLISHED) if table.published else None,
        "reasons": list(table.reasons),
        "provenance": {name: dict(values) for name, values in table.provenance.items()},
    }
    return json.dumps(finite(content), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def finite(value: Any) -> Any:
    """A value as JSON can hold it: numbers of numpy and pandas as Python's, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else None if value is None or value != value else str(value)


def _records(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    if frame is None:
        return []
    records: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[assignment]
    return records


def _of(thing: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def _claim(claim: object) -> dict[str, Any]:
    """The words of a claim, all plain numbers beside them, and both ends of its intervals."""
    words = _of(claim, CLAIM)
    if not dataclasses.is_dataclass(claim):
        return words
    plain = {field.name: getattr(claim, field.name) for field in dataclasses.fields(claim)}
    words |= {name: value for name, value in plain.items() if isinstance(value, str | int | float)}
    ends = {name: value for name, value in plain.items() if isinstance(value, Interval)}
    return words | {f"{name}95": [its.low, its.high] for name, its in ends.items()}


def _without_sound(clip: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in clip.items() if name != "sound"}
