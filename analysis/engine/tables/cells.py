"""The cells of a table: the scores of one setting over its seeds, their intervals, and the published numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from analysis.engine import stats
from analysis.engine.inference import estimates, influences
from analysis.engine.inference.constant import Constant, constant
from analysis.engine.inference.influences import Influence
from analysis.engine.inference.seen_parts import Parts, parts_of
from analysis.engine.protocol import Published, PublishedCell, incomparable
from analysis.engine.rows import Predictions
from analysis.engine.runs.folds import gap_words, split_words
from analysis.engine.stats import Difference, Interval, SeedSummary
from analysis.engine.wording import UNHEARD, khz, rounded
from sweeps.engine.plan import stated
from trainable.config import TrialConfig
from trainable.learning.score import Score

if TYPE_CHECKING:
    from pandas.core.groupby import DataFrameGroupBy

NOT_COMPARABLE = "not comparable"  # the verdict of a cell with reasons against comparing


@dataclass(frozen=True)
class Scores:
    """The scores of a complete cell on the test recordings, over its seeds."""

    clip: SeedSummary
    recording: SeedSummary
    influence: Influence  # of groups of recordings on `clip.mean`
    to_come: Interval  # of `clip.mean`, on recordings to come
    constant: Constant
    num_clips: int
    num_recordings: int
    sampled_by: str  # the group of recordings that `to_come` is over, such as vessel
    by_group: Mapping[str, Parts] = field(default_factory=dict)  # on seen and unseen clips


@dataclass(frozen=True)
class Cell:
    """One setting over its seeds. `scores` is None until every planned seed has finished; `gap` names those missing."""

    trial: TrialConfig  # the trial of its first seed
    num_seeds: int  # planned seeds
    gap: str
    scores: Scores | None
    published: PublishedCell | None
    reasons: tuple[str, ...]  # why it must not be compared with the published numbers
    difference: Difference | None
    verdict: str  # empty where nothing is published or the cell is incomplete
    num_folds: int  # that are joined for each seed; 0 without folds

    @property
    def complete(self) -> bool:
        """Whether every planned seed has finished."""
        return self.scores is not None

    def value(self, field: str) -> Any:
        """The setting's value of a field."""
        return (
            split_words(self.trial.split, self.num_folds)
            if field == "split" and self.num_folds
            else self.trial.get(field)
        )


AnyCell = TypeVar("AnyCell", bound=Cell)


@dataclass(frozen=True)
class Table:
    """The cells of a sweep, with what they have in common."""

    name: str
    score: Score  # the score that is printed for each cell
    cells: tuple[Cell, ...]
    published: Published | None
    reasons: tuple[str, ...]  # those of all cells
    margin: float  # the largest difference that does not matter, as a fraction
    provenance: Mapping[str, Mapping[str, int]]  # tag -> value -> number of runs
    left_out: str = field(default="", kw_only=True)  # a sentence on finished seeds that are not in it
    history: tuple[str, ...] = field(default=(), kw_only=True)  # what was declared before its trials ran, and after

    @property
    def complete(self) -> bool:
        """Whether every planned trial has finished."""
        return all(cell.complete for cell in self.cells)

    def title(self, cell: Cell) -> str:
        """The name of a cell outside its table."""
        raise NotImplementedError

    def is_best(self, cell: Cell) -> bool:
        """Whether no cell prints a better mean; never true before all means are known, nor where all are alike."""
        if not self.complete or cell.scores is None:
            return False
        share = self.score.is_share
        printed = [rounded(c.scores.clip.mean, share) for c in self.cells if c.scores]
        alike = len(printed) > 1 and len(set(printed)) == 1
        return not alike and rounded(cell.scores.clip.mean, share) == self.score.best(printed)


@dataclass(frozen=True)
class Material:
    """The material from which the table of a sweep is made."""

    name: str  # the name of the sweep
    rows: pd.DataFrame  # the rows of `analysis.engine.rows.table_rows`, with the folds of a seed joined
    predictions: Mapping[str, Predictions]  # the predictions of every finished row, by key
    published: Published | None = None  # published numbers to compare with
    margin: float = 0.02  # the largest difference from a published number that does not matter, as a fraction
    fold_rows: pd.DataFrame | None = None  # the rows before folds were joined, where they were

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial."""
        return self.rows if self.fold_rows is None else self.fold_rows

    @property
    def trial(self) -> TrialConfig:
        """The first planned trial."""
        trial: TrialConfig = self.rows["config"].iloc[0]
        return trial


def cell(score: Score, rows: pd.DataFrame, made_of: Material, reasons: Mapping[str, frozenset[str]]) -> Cell:
    """Joins the trials of one setting over their seeds.

    Args:
        score: the score to average.
        rows: the trials of the setting, a part of the material's rows.
        made_of: the material of the table.
        reasons: the result of `reasons`.

    Raises:
        ValueError: if its seeds were scored on different clips, or the clips of a recording have different labels.
    """
    trial, published = rows["config"].iloc[0], made_of.published
    joined = Cell(
        trial=trial,
        num_seeds=len(rows),
        gap=_gap(rows),
        scores=None,
        published=published.cell(rows.iloc[0].to_dict()) if published else None,
        reasons=tuple(reason for reason, keys in reasons.items() if keys & set(rows["key"])),
        difference=None,
        verdict="",
        num_folds=int(rows["num_folds"].iloc[0]) if "num_folds" in rows else 0,
    )
    if joined.gap:
        return joined
    scores = _scores(score, [made_of.predictions[key] for key in rows["key"]], rows)
    joined = dataclasses.replace(joined, scores=scores)
    if joined.published is None:
        return joined
    ours, theirs = scores.clip, joined.published
    difference = stats.welch(ours.mean, ours.std, ours.n, theirs.mean, theirs.std, theirs.n)
    return dataclasses.replace(joined, difference=difference, verdict=NOT_COMPARABLE if joined.reasons else "")


def judged(cells: Sequence[AnyCell], margin: float) -> tuple[AnyCell, ...]:
    """The cells of a table with a verdict each, which depends on how many are compared with a published number.

    Args:
        margin: the largest difference that does not matter, as a fraction.
    """
    compared = {i: c.difference for i, c in enumerate(cells) if c.difference and c.verdict != NOT_COMPARABLE}
    verdict_of = dict(zip(compared, stats.verdicts(list(compared.values()), margin), strict=True))
    return tuple(dataclasses.replace(c, verdict=verdict_of[i]) if i in verdict_of else c for i, c in enumerate(cells))


def reasons(score: Score, made_of: Material) -> dict[str, frozenset[str]]:
    """Reasons that keep trials from being compared with the published numbers, as in `protocol.incomparable`.

    Raises:
        ValueError: if the published numbers are of another score.
    """
    published = made_of.published
    if published is None:
        return {}
    if score.title not in published.metric:
        raise ValueError(f"{published.source}: prints {published.metric}, not {score.title}; leave `published` out")
    return incomparable(published, made_of.rows)


def grouped(made_of: Material, axes: Sequence[str]) -> DataFrameGroupBy:
    """The rows of a sweep grouped by the values of some fields, in the order of the plan.

    Raises:
        ValueError: if a field is a setting that no part of any trial has.
    """
    if unknown := [field for field in axes if field not in made_of.rows]:
        slot = unknown[0].partition(".")[0]
        parts = ", ".join(sorted(set(made_of.rows[slot])))
        raise ValueError(
            f"sweep {made_of.name} has {slot}={parts}, without a setting {unknown[0]}; choose another field"
        )
    return made_of.rows.groupby(list(axes), sort=False)


def varying(settings: DataFrameGroupBy, axes: Iterable[str]) -> list[str]:
    """The fields that differ within one setting, other than the seed and the `axes` that define settings."""
    fields = [name for name in stated(settings.obj["config"]) if name not in (*axes, "seed")]
    return [name for name in fields if (settings[name].nunique(dropna=False) > 1).any()]


def same_clips(first: Predictions, other: Predictions) -> bool:
    """Whether two trials were scored on the same clips, in the same order."""
    return all(
        np.array_equal(a, b)
        for a, b in ((first.recording, other.recording), (first.clip, other.clip), (first.labels, other.labels))
    )


def whose(rows: pd.DataFrame, axes: Collection[str]) -> list[str]:
    """A label for the weights of each row: the network if it is among the axes, otherwise the pre-training rate."""
    parts = [rows["backbone"]] * ("backbone" in axes)
    if not parts or "pretrain_hz" in axes:
        parts.append(rows["pretrain_hz"].map(khz))
    return [" ".join(words) for words in zip(*parts, strict=True)]


def provenance(rows: pd.DataFrame, weights: Iterable[str]) -> dict[str, dict[str, int]]:
    """The number of finished trials that share each tag.

    Args:
        rows: the rows of `analysis.engine.rows.table_rows`.
        weights: a label for the weights of each row.
    """
    whose = pd.Series(list(weights), index=rows.index)
    done = rows[rows["status"] == "finished"]
    dirty = zip(done["git_commit"], done["git_dirty"], strict=True)
    commits = (f"{commit} (with uncommitted changes)" if flag.lower() == "true" else commit for commit, flag in dirty)
    return {
        "data": _counts(done["data_sha256"]),
        "split": _counts(done["split_sha256"]),
        "weights": _counts(whose[done.index] + ": " + done["weights_sha256"]),
        "recordings": _counts(done["corpus_recordings"]),
        "clips": _counts(done["corpus_clips"]),
        "corpus notes": _counts(done["corpus_notes"]),
        "heard before": _counts(done["heard"].replace("", UNHEARD)) if done["heard"].ne("").any() else {},
        "git commit": _counts(commits),
        "code": _counts(done["code_sha256"]),
        "versions": _counts(done["versions"]),
        "device": _counts(done["device"]),
        "host": _counts(done["hostname"]),
        "micro-batches": _unless_one(done["micro_batches"]),
        "devices": _unless_one(done["num_devices"]),
    }


def _unless_one(counts: pd.Series) -> dict[str, int]:
    """The counts of a number that is usually 1; empty if it is 1 for all trials."""
    filled = counts.replace("", "1")
    return _counts(filled) if filled.ne("1").any() else {}


def _gap(rows: pd.DataFrame) -> str:
    """The missing seeds of a cell, such as "1 of 3 seeds: failed 2, missing 3"; empty if it is complete."""
    open_rows = rows[rows["status"] != "finished"]
    if open_rows.empty:
        return ""
    if "gaps" in rows and rows["num_folds"].any():
        parts = [gap_words(zip(open_rows["seed"], open_rows["gaps"], strict=True))]
    else:
        parts = [
            f"{status} {', '.join(map(str, group['seed']))}" for status, group in open_rows.groupby("status", sort=True)
        ]
    return f"{len(rows) - len(open_rows)} of {len(rows)} seeds: {', '.join(parts)}"


def _scores(score: Score, seeds: list[Predictions], rows: pd.DataFrame) -> Scores:
    first = seeds[0]
    if not all(same_clips(first, other) for other in seeds[1:]):
        raise ValueError(
            f"trials {', '.join(rows['key'])}: the seeds were scored on different clips; delete the runs that are out "
            "of date"
        )
    _check_labels(first)
    influence = influences.influence(score, seeds)
    by_seed = np.array([score.of(s.logits, s.labels, s.recording) for s in seeds])
    return Scores(
        clip=stats.seed_summary(by_seed.tolist(), score.is_share),
        recording=stats.seed_summary(
            [score.of_recordings(s.logits, s.labels, s.recording) for s in seeds], score.is_share
        ),
        influence=influence,
        to_come=estimates.estimate(by_seed, influence).interval(score.is_share),
        constant=constant(score, seeds, rows["majority_class"].mode().iloc[0]),
        num_clips=len(first.labels),
        num_recordings=len(np.unique(first.recording)),
        sampled_by=first.cluster_unit,
        by_group=parts_of(score, seeds),
    )


def _check_labels(predictions: Predictions) -> None:
    """Refuses a recording whose clips have different labels, because it has no single true class."""
    names, first, where = np.unique(predictions.recording, return_index=True, return_inverse=True)
    inconsistent = names[where[predictions.labels != predictions.labels[first][where]]]
    if len(inconsistent):
        raise ValueError(
            f"recording {inconsistent[0]}: its clips have different labels; score clips only, or fix the manifest"
        )


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(value or "unknown" for value in values).most_common())
