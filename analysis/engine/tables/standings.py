"""A ranking as Markdown, LaTeX and CSV, with the captions of its first table."""

from __future__ import annotations

import math

import pandas as pd

from analysis.engine.inference import constant
from analysis.engine.tables import classes, differing, grids, labels, pairs, seen
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.ranking import Ranked, RankingTable, place
from analysis.engine.wording import detail_captions, main_captions

PRINTED = {"name": "Published as", "type": "Type", "parameters": "Parameters"}  # printed beside a network's numbers


def main_grid(table: RankingTable) -> Grid:
    """The compact table: the best mean first."""
    shown, beside = [column for column in table.columns if not column.origin], grids.has_published(table)
    rows = [
        [
            *place(table, row, row.name),
            *(Text(column.text(row)) for column in shown),
            grids.ours(table, row),
            *[grids.published(row)] * beside,
            Text(pairs.against_best(table, row)),
        ]
        for row in table.cells
    ]
    published = ["Published"] * beside
    heads = (*(column.head for column in shown), table.score.heading, *published, "Against the best")
    return Grid(("#", labels.label(table.over).name, *heads), rows)


def detail_grid(table: RankingTable) -> Grid:
    """Every value with its intervals."""
    rows = [[*place(table, row, row.short), *grids.detail(table, row)] for row in table.cells]
    return Grid(("#", labels.label(table.over).name, *grids.detail_head(table)), rows)


def origin_grid(table: RankingTable) -> Grid:
    """The origin of each value, and the published facts about it; no rows if no column is about origins."""
    shown, as_printed = (
        [column for column in table.columns if column.origin],
        PRINTED if grids.has_published(table) else {},
    )
    rows = []
    for row in table.cells if shown else ():
        printed = row.published.printed if row.published else {}
        beside = [Text(printed.get(name, "–"), "published") for name in as_printed]
        rows.append([*place(table, row, row.name), *(Text(c.text(row) or "–") for c in shown), *beside])
    return Grid(("#", labels.label(table.over).name, *(column.head for column in shown), *as_printed.values()), rows)


def captions(table: RankingTable) -> tuple[str, ...]:
    """Captions of the compact table, including the further fields that differ between rows."""
    best = f"Against the best: from the pairs below, with p corrected for {pairs.pairs(len(table.pairs))}."
    notes = [column.caption for column in table.columns if column.caption]
    return (
        *main_captions(table),
        *constant.captions(table),
        *[best] * bool(table.pairs),
        *notes,
        *differing_captions(table),
    )


def differing_captions(table: RankingTable) -> tuple[str, ...]:
    """One line on the fields that differ between values; empty if there are none."""
    noun = labels.label(table.over).noun
    return tuple(differing.captions(table.differing, f"{noun}s", lambda names: _those(table, names)))


def markdown(table: RankingTable) -> str:
    """All tables except the list of pairs, each with its captions."""
    parts = [
        (main_grid(table), captions(table)),
        (detail_grid(table), [*detail_captions(table), *seen.remarks(table)]),
        *((its.grid, its.captions) for its in seen.shown(table)),
        (classes.class_grid(table), [classes.CLASS_CAPTION]),
        (pairs.matrix_grid(table), pairs.pair_captions(table)),
        (origin_grid(table), ()),
    ]
    shown = ((grid, lines) for grid, lines in parts if grid.rows)
    blocks = [block for grid, lines in shown for block in (grid.markdown(), grids.bullets(lines)) if block]
    return grids.markdown(table, blocks)


def latex(table: RankingTable) -> str:
    """The tables of `markdown` in LaTeX, for a document with the package booktabs."""
    below = [*detail_captions(table), *seen.remarks(table), *grids.remarks(table)]
    title = labels.title(table.over)
    parts = [
        (main_grid(table), f"{table.score.heading} by {title}.", captions(table)),
        (detail_grid(table), f"Every {title}, with its uncertainty.", below),
        *((its.grid, f"{its.title}.", its.captions) for its in seen.shown(table)),
        (classes.class_grid(table), "Results by class.", [classes.CLASS_CAPTION]),
        (pairs.matrix_grid(table), "Pairwise comparisons.", pairs.pair_captions(table)),
        (origin_grid(table), "Checkpoints, and the networks as published.", ()),
    ]
    return "\n".join(grids.latex(grid, caption, lines, small=True) for grid, caption, lines in parts if grid.rows)


def csv_frame(table: RankingTable) -> pd.DataFrame:
    """One row per value, with every number at full precision and shares as fractions."""
    return grids.frame(_numbers(table, row) for row in table.cells)


def _numbers(table: RankingTable, row: Ranked) -> dict[str, object]:
    numbers: dict[str, object] = {"sweep": table.name, "rank": table.rank(row) if row.complete else None}
    numbers |= {table.over: row.value(table.over), **{column.name: column.value(row) for column in table.columns}}
    numbers |= grids.numbers(table, row)
    numbers |= classes.numbers(table, row)
    pair = table.pair(table.ranked[0], row) if row.complete else None
    numbers |= {"best_p_holm": pair.p_holm if pair else math.nan, "against_best": pairs.against_best(table, row)}
    printed = row.published.printed if row.published else {}
    has_origin = any(column.origin for column in table.columns)
    return numbers | {f"published_{name}": printed.get(name, "") for name in PRINTED if has_origin}


def _those(table: RankingTable, names: tuple[str, ...]) -> str:
    """The names, or the type if they are all the values of one type."""
    group = {table.group(row) for row in table.cells if table.title(row) in names}
    members = {table.title(row) for row in table.cells if table.group(row) in group}
    if len(group) == 1 and members == set(names) and len(names) > 1:
        return f"every {group.pop()}"
    return ", ".join(names)
