"""The measurements of a storage, in a file there: how long each cell's steps take, on which device."""

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
    """All measurements of a storage."""

    cluster: Cluster | None = None  # the cluster of the last measurement
    device: str = ""  # the device of the last measurement, with the versions at that time
    measured: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)  # by device, then by cell

    @property
    def here(self) -> Mapping[str, Measured]:
        """The measurements on the device of the last one, by cell; empty once the versions have changed."""
        return self.measured.get(self.device, {}) if self.device.endswith(versions()) else {}


def read(storage: Path) -> Timings:
    """Reads the measurements; empty if there is no file or it is damaged, because they can be repeated."""
    try:
        stored = json.loads((storage / FILE).read_text(encoding="utf-8"))
        measured = {
            device: {cell: Measured(**_tuples(m)) for cell, m in cells.items()}
            for device, cells in stored["measured"].items()
        }
        return Timings(Cluster(**stored["cluster"]), stored["device"], measured)
    except (OSError, ValueError, KeyError, TypeError):
        return Timings()


def write(timings: Timings, storage: Path) -> None:
    """Writes the measurements, entirely or not at all."""
    storage.mkdir(parents=True, exist_ok=True)
    part = storage / f".{FILE}.{os.getpid()}"
    part.write_text(json.dumps(asdict(timings), indent=1) + "\n", encoding="utf-8")
    part.replace(storage / FILE)


def merged(measured: Sequence[Measured]) -> Measured:
    """Joins the measurements of several copies of a cell: all their rounds, and the worst of the other values."""
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
    """The versions of the software that a step's time depends on."""
    return f"python {platform.python_version()}, torch {importlib.metadata.version('torch')}"


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
