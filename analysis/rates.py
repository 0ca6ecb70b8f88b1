"""A table of accuracies, data rate by pre-training rate: each cell with its intervals, beside what was published."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import stats
from analysis.protocol import AXES, Published, PublishedCell, incomparable
from analysis.runs import Predictions
from analysis.stats import Difference, Interval, SeedSummary
from trainable.config import TrialConfig


@dataclass(frozen=True)
class Scores:
    """What the seeds of a complete cell scored on the test recordings."""

    clip: SeedSummary
    recording: SeedSummary
    over_recordings: Interval  # of clip.mean
    num_clips: int
    num_recordings: int


@dataclass(frozen=True)
class Cell:
    """One combination of rates. `scores` is None until every planned seed has finished: `gap` then says what lacks."""

    pretrain_hz: int
    data_hz: int
    num_seeds: int  # planned
    gap: str
    scores: Scores | None
    published: PublishedCell | None
    difference: Difference | None
    verdict: str  # empty where nothing is published or the cell is incomplete

    @property
    def complete(self) -> bool:
        """Whether every planned seed has finished."""
        return self.scores is not None


@dataclass(frozen=True)
class RateTable:
    """All cells of a sweep over rates, with what they have in common."""

    name: str
    backbone: str
    cells: tuple[Cell, ...]
    published: Published | None
    reasons: tuple[str, ...]  # why it may not be compared with what was published
    margin: float  # largest difference that does not matter, as a fraction
    provenance: Mapping[str, Mapping[str, int]]  # tag -> value -> number of runs

    @property
    def complete(self) -> bool:
        """Whether every planned trial has finished."""
        return all(cell.complete for cell in self.cells)

    @property
    def pretrain_rates_hz(self) -> tuple[int, ...]:
        """The columns."""
        return tuple(sorted({cell.pretrain_hz for cell in self.cells}))

    @property
    def data_rates_hz(self) -> tuple[int, ...]:
        """The rows."""
        return tuple(sorted({cell.data_hz for cell in self.cells}))

    def cell(self, pretrain_hz: int, data_hz: int) -> Cell | None:
        """The cell of two rates; None if it was not planned."""
        return next((c for c in self.cells if (c.pretrain_hz, c.data_hz) == (pretrain_hz, data_hz)), None)

    def is_best(self, cell: Cell) -> bool:
        """Whether no cell prints a higher mean; never before all are known."""
        if not self.complete or cell.scores is None:
            return False
        printed = [
            round(100 * c.scores.clip.mean, 1) for c in self.cells if c.scores
        ]  # percent, one decimal: as published
        return round(100 * cell.scores.clip.mean, 1) == max(printed)


def rate_table(
    name: str,
    rows: pd.DataFrame,
    predictions: Mapping[str, Predictions],
    published: Published | None = None,
    margin: float = 0.02,
) -> RateTable:
    """Joins the trials of each pair of rates over their seeds.

    Args:
        name: of the sweep.
        rows: what `analysis.runs.table_rows` gives.
        predictions: of every finished trial, by key.
        published: numbers to stand beside them.
        margin: largest difference that does not matter, as a fraction.

    Raises:
        ValueError: if trials of one cell differ in more than the seed, or were scored on different clips, or the sweep
            has several backbones.
    """
    by_rates = rows.groupby(["data_hz", "pretrain_hz"])
    fields = [field.name for field in dataclasses.fields(TrialConfig) if field.name not in AXES]
    others = [field for field in fields if (by_rates[field].nunique() > 1).any()]
    if others or rows["backbone"].nunique() > 1:
        raise ValueError(
            f"sweep {name} varies {', '.join(others or ['backbone'])} too; a table of rates has room for one backbone, "
            f"{', '.join(AXES)}"
        )
    reasons = incomparable(published, rows) if published else ()
    cells = tuple(_cell(group, predictions, published, reasons, margin) for _, group in by_rates)
    return RateTable(name, str(rows["backbone"].iloc[0]), cells, published, reasons, margin, _provenance(rows))


def _cell(
    rows: pd.DataFrame,
    predictions: Mapping[str, Predictions],
    published: Published | None,
    reasons: tuple[str, ...],
    margin: float,
) -> Cell:
    pretrain_hz, data_hz = int(rows["pretrain_hz"].iloc[0]), int(rows["data_hz"].iloc[0])
    beside = published.cells.get((pretrain_hz, data_hz)) if published else None
    gap = _gap(rows)
    if gap:
        return Cell(pretrain_hz, data_hz, len(rows), gap, None, beside, None, "")
    scores = _scores([predictions[key] for key in rows["key"]], ", ".join(rows["key"]))
    if beside is None:
        return Cell(pretrain_hz, data_hz, len(rows), gap, scores, None, None, "")
    ours = scores.clip
    difference = stats.welch(ours.mean, ours.std, ours.n, beside.mean, beside.std, beside.n)
    verdict = "not comparable" if reasons else stats.verdict(difference, margin)
    return Cell(pretrain_hz, data_hz, len(rows), gap, scores, beside, difference, verdict)


def _gap(rows: pd.DataFrame) -> str:
    """What a cell lacks, such as "1 of 3 seeds: failed 2, missing 3"; empty if it is complete."""
    open_rows = rows[rows["status"] != "finished"]
    if open_rows.empty:
        return ""
    parts = [
        f"{status} {', '.join(map(str, group['seed']))}" for status, group in open_rows.groupby("status", sort=True)
    ]
    return f"{len(rows) - len(open_rows)} of {len(rows)} seeds: {', '.join(parts)}"


def _scores(seeds: list[Predictions], keys: str) -> Scores:
    first = seeds[0]
    if any(_clips(other) != _clips(first) for other in seeds[1:]):
        raise ValueError(
            f"trials {keys}: the seeds were scored on different clips; delete the runs that are out of date"
        )
    clip_hits = np.stack([stats.clip_hits(seed.logits, seed.labels) for seed in seeds])
    recording_hits = [stats.recording_hits(seed.logits, seed.labels, seed.recording) for seed in seeds]
    return Scores(
        clip=stats.seed_summary([float(hits.mean()) for hits in clip_hits]),
        recording=stats.seed_summary([float(hits.mean()) for hits in recording_hits]),
        # The same draws for every cell: two cells then differ by their networks, not by the luck of the draw.
        over_recordings=stats.recording_interval(
            clip_hits, first.recording, np.random.default_rng(stats.BOOTSTRAP_SEED)
        ),
        num_clips=len(first.labels),
        num_recordings=len(recording_hits[0]),
    )


def _clips(found: Predictions) -> tuple[list[str], list[int], list[int]]:
    return found.recording.tolist(), found.clip.tolist(), found.labels.tolist()


def _provenance(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    done = rows[rows["status"] == "finished"]
    weights = (f"{hz / 1000:g} kHz: {sha}" for hz, sha in zip(done["pretrain_hz"], done["weights_sha256"], strict=True))
    dirty = zip(done["git_commit"], done["git_dirty"], strict=True)
    commits = (f"{commit} (with uncommitted changes)" if flag.lower() == "true" else commit for commit, flag in dirty)
    return {
        "data": _counts(done["data_sha256"]),
        "split": _counts(done["split_sha256"]),
        "weights": _counts(weights),
        "recordings": _counts(done["corpus_recordings"]),
        "clips": _counts(done["corpus_clips"]),
        "of the corpus": _counts(done["corpus_notes"]),
        "git commit": _counts(commits),
        "versions": _counts(done["versions"]),
        "device": _counts(done["device"]),
        "host": _counts(done["hostname"]),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(value or "unknown" for value in values).most_common())
