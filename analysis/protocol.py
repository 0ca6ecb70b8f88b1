"""Published numbers with the protocol they were taken by, and what keeps a sweep from being compared with them."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import stats
from trainable.config import TrialConfig

FOLDER = Path(__file__).parent / "published"
AXES = ("pretrain_hz", "data_hz", "seed")
COUNTS = {"corpus_recordings": "recordings", "corpus_clips": "clips"}


@dataclass(frozen=True)
class PublishedCell:
    """One published accuracy, as a fraction."""

    mean: float
    printed_std: float  # with the publication's ddof
    std: float  # sample standard deviation
    n: int


@dataclass(frozen=True)
class Published:
    """A published table by (pretrain_hz, data_hz), and the protocol behind it."""

    source: str
    url: str
    metric: str
    n: int
    ddof: int
    config: Mapping[str, str | int | float]
    corpus: Mapping[str, str]
    cells: Mapping[tuple[int, int], PublishedCell]


def read_published(name: str, folder: Path = FOLDER) -> Published:
    """Reads the numbers of one published table from `name`.toml.

    Raises:
        ValueError: if the file names a field that `TrialConfig` has not, or a unit other than percent.
    """
    path = folder / f"{name}.toml"
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown = set(found["config"]) - {field.name for field in dataclasses.fields(TrialConfig)}
    if unknown:
        raise ValueError(f"{path}: TrialConfig has no field {', '.join(sorted(unknown))}; mend the table [config]")
    if found["unit"] != "percent":
        raise ValueError(f"{path}: unit={found['unit']!r}; write the numbers in percent, as they are printed")
    n, ddof = found["n"], found["ddof"]
    cells = {}
    for row in found["cells"]:
        for pretrain_hz, mean in row["mean"].items():
            std = row["std"][pretrain_hz] / 100
            cell = PublishedCell(mean / 100, std, stats.sample_std(std, n, ddof), n)
            cells[int(pretrain_hz), row["data_hz"]] = cell
    return Published(found["source"], found["url"], found["metric"], n, ddof, found["config"], found["corpus"], cells)


def incomparable(published: Published, rows: pd.DataFrame) -> tuple[str, ...]:
    """Plain reasons why finished trials may not be compared with the published numbers; none if they may.

    A field that the publication's file does not name is expected at its default. The rates are the table's axes, and
    seeds are anyone's choice.

    Args:
        published: the numbers and their protocol.
        rows: what `analysis.runs.table_rows` gives.
    """
    done = rows[rows["status"] == "finished"]
    reasons = []
    for field in dataclasses.fields(TrialConfig):
        if field.name in AXES:
            continue
        theirs = published.config.get(field.name, field.default)
        ours = [value for value in done[field.name].unique() if value != theirs]
        if ours:
            reasons.append(f"{field.name} is {_words(ours)} here, {_words([theirs])} there")
    for tag, unit in COUNTS.items():
        counts = [value for value in done[tag].unique() if value != published.corpus[tag]]
        if counts:
            reasons.append(
                f"training/validation/test {unit} are {' or '.join(c or 'unknown' for c in counts)} here, "
                f"{published.corpus[tag]} there"
            )
    return tuple(reasons)


def _words(values: list[object]) -> str:
    return " or ".join(f"{value:g}" if isinstance(value, float) else str(value) or "all" for value in values)
