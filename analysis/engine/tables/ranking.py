"""A ranking: the values of one field of `TrialConfig` from the best score to the worst, and which of them differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.engine.confusion import Confusion, confusion, macro_f1
from analysis.engine.inference import comparisons
from analysis.engine.inference.comparisons import Entry, Pair
from analysis.engine.stats import SeedSummary
from analysis.engine.tables import cells, labels
from analysis.engine.tables.cells import Cell, Material, Table
from analysis.engine.tables.differing import Values, differing
from analysis.engine.tables.grids import Text
from trainable.config import CLIPS, DATA, SPLIT, fields_that_change
from trainable.learning.score import Score

ONE_TEST_SET = fields_that_change(DATA, SPLIT, CLIPS)  # settings must share these to have scores of the same task


@dataclass(frozen=True)
class Column:
    """A fact about each row. It is always in the CSV file, whatever the tables show."""

    name: str  # its name in the CSV file
    head: str  # its heading in the tables
    value: Callable[[Ranked], object]
    words: Callable[[Ranked], str] | None = None  # its text in the tables; None for the plain value
    origin: bool = False  # whether it is in the last table, beside the published facts, instead of in the first
    groups: bool = False  # whether rows with the same value share a colour, and the best of each has a matrix
    axis: str = ""  # its label at the right of the figure; empty if it is not there
    tells: str = ""  # the field of `TrialConfig` that it makes plain
    caption: str = ""  # its caption below the first table

    def text(self, row: Ranked) -> str:
        """The text in the tables."""
        return self.words(row) if self.words else str(self.value(row))


@dataclass(frozen=True)
class Ranked(Cell):
    """One value over its seeds. A field is None until all seeds have finished."""

    name: str  # the value in words
    num_parameters: int | None  # the number trained; None also for older runs, which do not state it
    macro_f1: SeedSummary | None
    confusion: Confusion | None

    @property
    def short(self) -> str:
        """The name without its family, for places that show the type in another way."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class RankingTable(Table):
    """The values of a field from the best mean score to the worst, the incomplete ones last."""

    cells: tuple[Ranked, ...]
    over: str
    columns: tuple[Column, ...]
    pairs: tuple[Pair, ...]  # all pairs of complete values
    differing: Mapping[str, Values]  # further fields in which rows differ

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """The complete rows."""
        return tuple(cell for cell in self.cells if cell.complete)

    def title(self, cell: Cell) -> str:
        """The name of a row, such as `cnn14`, with family and tag, or `lr=0.001`."""
        return labels.told(self.over, cell.value(self.over))

    def group(self, row: Ranked) -> str:
        """The group that a row shares with others; empty if no column groups rows."""
        return next((column.text(row) for column in self.columns if column.groups), "")

    def rank(self, cell: Cell) -> int:
        """The rank of a row: 1 for the best mean; incomplete values come last."""
        return 1 + [c.value(self.over) for c in self.cells].index(cell.value(self.over))

    def pair(self, first: Ranked, second: Ranked) -> Pair | None:
        """The comparison of a value with a worse one; None if one is incomplete."""
        return next((pair for pair in self.pairs if (pair.first, pair.second) == (first.name, second.name)), None)


def ranking_table(over: str, columns: tuple[Column, ...], score: Score, made_of: Material) -> RankingTable:
    """Joins the trials of each value of a field over their seeds, and compares the values.

    Args:
        over: the field.
        columns: facts to show about each value beside its scores.
        score: the score to average.
        made_of: the runs of a sweep.

    Raises:
        ValueError: if the trials of one value differ in more than the seed or have different numbers of parameters; if
            the values do not share a test set; or if the published numbers are of another score.
    """
    rows = made_of.rows
    settings = cells.grouped(made_of, (over,))
    if mixed := [*cells.varying(settings, (over,)), *(field for field in ONE_TEST_SET if rows[field].nunique() > 1)]:
        raise ValueError(
            f"sweep {made_of.name} varies {', '.join(dict.fromkeys(mixed))} too; a table of {labels.plural(over)} has "
            "room for one setting of each, on one test set"
        )
    tells = {column.tells for column in columns}
    reasons = cells.reasons(score, made_of)
    ranked = [_ranked(over, group, made_of, cells.cell(score, group, made_of, reasons)) for _, group in settings]
    sign = -1 if score.higher_is_better else 1
    ranked.sort(key=lambda row: sign * row.scores.clip.mean if row.scores else np.inf)
    return RankingTable(
        name=made_of.name,
        score=score,
        cells=cells.judged(ranked, made_of.margin),
        published=made_of.published,
        reasons=tuple(reasons),
        margin=made_of.margin,
        provenance=cells.provenance(made_of.trials, cells.whose(made_of.trials, (over,))),
        over=over,
        columns=columns,
        pairs=_pairs([row for row in ranked if row.complete], score, over, made_of),
        differing=differing(ranked, [lambda cell: labels.told(over, cell.value(over))], {over, *tells}),
    )


def _ranked(over: str, rows: pd.DataFrame, made_of: Material, cell: Cell) -> Ranked:
    counts = sorted({int(number) for number in rows["num_parameters"].dropna()})
    if len(counts) > 1:
        raise ValueError(
            f"{labels.told(over, cell.value(over))} was trained with "
            f"{' and '.join(f'{count:,}' for count in counts)} parameters; delete the runs that are out of date from "
            "the store"
        )
    seeds = [made_of.predictions[key] for key in rows["key"]] if cell.complete else []
    return Ranked(
        **vars(cell),
        name=labels.words(over, cell.value(over)),
        num_parameters=counts[0] if counts else None,
        macro_f1=macro_f1(seeds) if seeds else None,
        confusion=confusion(seeds) if seeds else None,
    )


def _pairs(ranked: Sequence[Ranked], score: Score, over: str, made_of: Material) -> tuple[Pair, ...]:
    seeds, predictions = {}, made_of.predictions
    for row in ranked:
        trials = made_of.rows[made_of.rows[over] == row.value(over)]
        seeds[row.name] = {int(seed): predictions[key] for seed, key in zip(trials["seed"], trials["key"], strict=True)}
    if not seeds:
        return ()
    (first, *others) = ((name, next(iter(by_seed.values()))) for name, by_seed in seeds.items())
    for name, other in others:
        if not cells.same_clips(first[1], other) or first[1].classes != other.classes:
            raise ValueError(
                f"{first[0]} and {name} were scored on different clips; delete the runs that are out of date"
            )
    entries = []
    for row in ranked:
        assert row.scores
        by_seed = {seed: score.of(its.logits, its.labels, its.recording) for seed, its in seeds[row.name].items()}
        entries.append(Entry(row.name, by_seed, row.scores.influence, row.trial.data_hz))
    return comparisons.all_pairs(entries)


def place(table: RankingTable, row: Ranked, name: str) -> list[Text]:
    """The first two fields of a row: its rank and its name."""
    return [Text(str(table.rank(row))), Text(name, "best" if table.is_best(row) else "plain")]
