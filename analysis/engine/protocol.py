"""Published numbers with the protocol behind them, and what keeps a sweep from being compared with them."""

from __future__ import annotations

import dataclasses
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.engine import stats
from datasets.engine.words.suggest import did_you_mean
from sweeps.engine import plan
from trainable.config import TrialConfig
from trainable.learning.part import NONE
from trainable.learning.settings import all_settings, by_default, is_known

FOLDER = Path(__file__).parents[1] / "published"
FIELDS = {field.name: field.default for field in dataclasses.fields(TrialConfig)}
COUNTS = {"corpus_recordings": "recordings", "corpus_clips": "clips"}


@dataclass(frozen=True)
class PublishedCell:
    """One published mean, as a fraction."""

    mean: float
    printed_std: float  # with the publication's ddof
    std: float  # sample standard deviation
    n: int
    config: Mapping[str, str | int | float]  # the fields in which its protocol differs from the table's
    printed: Mapping[str, str]  # the other columns of its row, as printed


@dataclass(frozen=True)
class Published:
    """A published table by the values of its `axes`, and the protocol behind it."""

    source: str
    url: str
    metric: str
    n: int
    ddof: int
    axes: tuple[str, ...]  # fields of `TrialConfig`
    config: Mapping[str, str | int | float]
    corpus: Mapping[str, str]
    cells: Mapping[tuple[str | int | float, ...], PublishedCell]

    def cell(self, trial: Mapping[Any, Any]) -> PublishedCell | None:
        """The published cell for the setting of a trial, given by its fields; None if there is none."""
        return self.cells.get(tuple(trial[axis] for axis in self.axes))

    def applies(self, trials: Sequence[TrialConfig]) -> bool:
        """Whether these are numbers of the same study: of its corpus and score, and one for each setting of the trials.

        A study of other recordings, or one that varies something else, such as the augmentation, has other numbers. A
        setting that differs in all trials alike is told as a reason against comparing (`incomparable`).
        """
        by_cell = defaultdict(list)
        for trial in trials:
            by_cell[tuple(trial.get(axis) for axis in self.axes)].append(trial)
        corpora = {trial.corpus for trial in trials if "corpus" not in self.axes}
        own = all({*plan.differing(group)} <= {"seed"} for group in by_cell.values())
        scores = {trial.main_score.title in self.metric for trial in trials}
        return (
            corpora <= {self.config.get("corpus")}
            and own
            and scores == {True}
            and not by_cell.keys().isdisjoint(self.cells)
        )

    def protocol(self, trial: Mapping[Any, Any], settings: Iterable[str] = ()) -> dict[str, Any]:
        """The fields that a trial at the same values of the axes must have; those that no table names have defaults.

        Args:
            trial: a trial, by its fields.
            settings: settings of parts to include as well; "none" where the publication had no such part.
        """
        cell = self.cell(trial)
        stated = {**FIELDS, **self.config, **(cell.config if cell else {}), **self.corpus}
        default = by_default({**stated, **{axis: trial[axis] for axis in self.axes}})
        stated = {**{name: default.get(name, NONE) for name in settings}, **stated}
        return {name: value for name, value in stated.items() if name not in (*self.axes, "seed")}


def read_published(name: str, folder: Path = FOLDER) -> Published:
    """Reads the numbers of one published table from `name`.toml.

    Raises:
        ValueError: if the file names a field that `TrialConfig` lacks, leaves out one without a default, or has a unit
            other than percent.
    """
    path = folder / f"{name}.toml"
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    axes, config = tuple(tables["axes"]), tables["config"]
    fields_named = {*axes, *config, *(field for row in tables["cells"] for field in row.get("config", {}))}
    if unknown := {name for name in fields_named if not is_known(name)}:
        near = did_you_mean([*FIELDS, *all_settings()], *sorted(unknown))
        fields = ", ".join(sorted(unknown))
        raise ValueError(f"{path}: TrialConfig has no field {fields}; correct the table [config]{near}")
    needed = {f.name for f in dataclasses.fields(TrialConfig) if f.default is dataclasses.MISSING} - {"seed"}
    if missing := needed - fields_named:
        raise ValueError(f"{path}: nothing is said of {', '.join(sorted(missing))}; complete the table [config]")
    if tables["unit"] != "percent":
        raise ValueError(f"{path}: unit={tables['unit']!r}; write the numbers in percent, as printed")
    n, ddof = tables["n"], tables["ddof"]
    cells = {}
    for row in tables["cells"]:
        std = row["std"] / 100
        cells[tuple(row[axis] for axis in axes)] = PublishedCell(
            mean=row["mean"] / 100,
            printed_std=std,
            std=stats.sample_std(std, n, ddof),
            n=n,
            config=row.get("config", {}),
            printed=row.get("printed", {}),
        )
    return Published(tables["source"], tables["url"], tables["metric"], n, ddof, axes, config, tables["corpus"], cells)


def incomparable(published: Published, rows: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Reasons in plain words why finished trials must not be compared with the published numbers; empty if they may.

    The axes of the published table and the seeds are free to differ.

    Args:
        published: the numbers and their protocol.
        rows: the rows of `analysis.engine.rows.table_rows`.

    Returns:
        Each reason, with the keys of the trials that it concerns.
    """
    done = rows[rows["status"] == "finished"].to_dict("records")
    theirs = [*published.config, *(name for cell in published.cells.values() for name in cell.config)]
    settings = [name for name in (*plan.stated(row["config"] for row in done), *theirs) if "." in name]
    protocols = [published.protocol(row, settings) for row in done]
    reasons = {}
    for name in {name: None for protocol in protocols for name in protocol}:
        ours: dict[Any, dict[Any, list[str]]] = defaultdict(lambda: defaultdict(list))  # theirs -> ours -> keys
        for row, protocol in zip(done, protocols, strict=True):
            if (value := row.get(name, NONE)) != protocol[name]:
                ours[protocol[name]][value].append(row["key"])
        for theirs, values in ours.items():
            keys = frozenset(key for group in values.values() for key in group)
            reasons[_reason(name, list(values), theirs)] = keys
    return reasons


def _reason(name: str, ours: list[object], theirs: object) -> str:
    if name in COUNTS:
        counts = " or ".join(str(count) or "unknown" for count in ours)
        return f"training/validation/test {COUNTS[name]} are {counts} here, {theirs} there"
    return f"{name} is {words(ours)} here, {words([theirs])} there"


def words(values: Sequence[object]) -> str:
    """The values of a field, worded for a sentence."""
    return " or ".join(f"{value:g}" if isinstance(value, float) else str(value) or "all" for value in values)
