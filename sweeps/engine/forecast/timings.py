"""What was measured for a storage, in a file there: how long each cell's steps take, on which device."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweeps.engine.forecast.cost import Cluster
from trainable.cost.cost import Measured

FILE = "measured.json"  # in the storage


@dataclass(frozen=True)
class Timings:
    """All that was measured for a storage."""

    cluster: Cluster | None = None  # as the last measurement found it
    device: str = ""  # that it ran on, in the versions of then
    measured: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)  # by device, by cell

    @property
    def here(self) -> Mapping[str, Measured]:
        """What is measured on the device of the last measurement, by cell; nothing once the versions have changed."""
        return self.measured.get(self.device, {}) if self.device.endswith(versions()) else {}


def read(storage: Path) -> Timings:
    """What was measured; nothing if there is no such file, or it is damaged: it can be measured again."""
    try:
        found = json.loads((storage / FILE).read_text(encoding="utf-8"))
        measured = {
            device: {cell: Measured(**_tuples(m)) for cell, m in cells.items()}
            for device, cells in found["measured"].items()
        }
        return Timings(Cluster(**found["cluster"]), found["device"], measured)
    except (OSError, ValueError, KeyError, TypeError):
        return Timings()


def write(timings: Timings, storage: Path) -> None:
    """Stores them, whole or not at all."""
    storage.mkdir(parents=True, exist_ok=True)
    part = storage / f".{FILE}.{os.getpid()}"
    part.write_text(json.dumps(asdict(timings), indent=1) + "\n", encoding="utf-8")
    part.replace(storage / FILE)


def merged(measured: Sequence[Measured]) -> Measured:
    """Of several copies of one cell: all their rounds, and the worst of what has none."""
    worst = {name: max(getattr(m, name) for m in measured) for name in ("load_s", "save_s", "build_s", "start_s")}
    load = statistics.fmean(m.load for m in measured)
    return Measured(
        step_s=tuple(s for m in measured for s in m.step_s),
        eval_s=tuple(s for m in measured for s in m.eval_s),
        peak_gb=max(m.peak_gb for m in measured),
        load=load,
        **worst,
    )


@functools.cache
def versions() -> str:
    """Of what a step's time depends on."""
    return f"python {platform.python_version()}, torch {importlib.metadata.version('torch')}"


def _tuples(found: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
