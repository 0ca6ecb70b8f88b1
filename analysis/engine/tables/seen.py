"""The score on test clips of groups that are in training, beside that on clips of others: seen and unseen vessels.

A test of recordings whose vessel, day or speaker is trained on says little about others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from analysis.engine.tables import grids
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.wording import mean_std, signed
from datasets.engine.splitting.groups import an, percent

if TYPE_CHECKING:
    from analysis.engine.inference.seen_parts import Parts
    from analysis.engine.tables.cells import Cell, Table

MOST = 6  # groups with a table of their own; the CSV file has all
NOT_SAID = (
    "Seen and unseen: nothing tells which test clips are of a vessel, speaker or source that is also in training, as "
    "the corpus names no groups, or the runs are of an earlier version."
)


class Shown(NamedTuple):
    """The table of one group, as a report shows it."""

    title: str
    grid: Grid
    captions: Sequence[str]


def shown(table: Table) -> list[Shown]:
    """A table for each group of which some test clips are of a value that is in training, the coarsest first."""
    names = [name for name in _names(table) if any(parts[name].seen.num_clips for _, parts in _cells(table, name))]
    return [Shown(f"Seen and unseen: {name}", _grid(table, name), _captions(table, name)) for name in names[:MOST]]


def remarks(table: Table) -> tuple[str, ...]:
    """Sentences on groups without a table: nothing is known, nothing is seen, or there are too many."""
    if not any(cell.complete for cell in table.cells):
        return ()
    if not (names := _names(table)):
        return (NOT_SAID,)
    with_any = [name for name in names if any(parts[name].seen.num_clips for _, parts in _cells(table, name))]
    lines = []
    if none := [name for name in names if name not in with_any]:
        lines.append(f"No test clip is of {an(' or '.join(none))} that is also in training{_unknown(table, none)}.")
    if more := with_any[MOST:]:
        lines.append(f"Seen and unseen by {', '.join(more)} are in seen.csv.")
    return tuple(lines)


def _unknown(table: Table, names: Sequence[str]) -> str:
    """How much of the test is of unknown values of groups of which nothing is seen, as a further clause."""
    shares = []
    for name in names:
        parts = [its[name] for _, its in _cells(table, name)]
        if most := max(parts, key=lambda its: its.unknown.num_clips / its.num_clips).unknown.num_clips:
            shares.append(f"the {name} of {percent(most, parts[0].num_clips)} of them is unknown")
    return f", as far as is known: {', '.join(shares)}" if shares else ""


def _names(table: Table) -> list[str]:
    """The groups of all complete cells, in the order of the first."""
    return list(dict.fromkeys(name for cell in table.cells if cell.scores for name in cell.scores.by_group))


def _cells(table: Table, name: str) -> list[tuple[Cell, Mapping[str, Parts]]]:
    """The complete cells that have a group."""
    return [(cell, cell.scores.by_group) for cell in table.cells if cell.scores and name in cell.scores.by_group]


def _grid(table: Table, name: str) -> Grid:
    title, share = table.score.heading, table.score.is_share
    its = [(cell, parts[name]) for cell, parts in _cells(table, name)]
    with_unknown = any(parts.unknown.num_clips for _, parts in its)
    rows = []
    for cell, parts in its:
        row = [Text(table.title(cell))]
        for part in parts if with_unknown else parts[:2]:
            words = mean_std(part.score.mean, part.score.std, share) if part.score else "–"
            row += [Text(f"{part.num_clips:,}"), Text(words)]
        rows.append([*row, Text(signed(_apart(parts), share))])
    kinds = ("Seen", "Unseen", "Unknown") if with_unknown else ("Seen", "Unseen")
    heads = [head for kind in kinds for head in (f"{kind} clips", f"{title}, {kind.lower()}")]
    return Grid(("Setting", *heads, "Seen minus unseen"), rows)


def _apart(parts: Parts) -> float:
    """The score on seen clips minus that on unseen ones; not a number if either has no clips."""
    seen, unseen = parts.seen.score, parts.unseen.score
    return seen.mean - unseen.mean if seen and unseen else math.nan


def _captions(table: Table, name: str) -> list[str]:
    """Captions on how much of the test is seen, and on what the difference does not say."""
    every = [parts[name] for _, parts in _cells(table, name)]
    least, most = (pick(every, key=lambda its: its.seen.num_clips / its.num_clips) for pick in (min, max))
    shares = list(dict.fromkeys(percent(its.seen.num_clips, its.num_clips) for its in (least, most)))
    counts = ""
    if len(set(map(_sizes, every))) == 1:
        seen, unseen, unknown = every[0]
        counts = f" ({seen.num_values} of {seen.num_values + unseen.num_values} known values of {name}"
        counts += f"; unknown for {percent(unknown.num_clips, every[0].num_clips)})" if unknown.num_clips else ")"
    n = sorted({its.seen.score.n for its in every if its.seen.score})
    over = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    return [
        f"Seen: test clips of {an(name)} that is also in training, {' to '.join(shares)} of them{counts}.",
        f"Mean ± sample standard deviation over n = {over} seeds; the score on unseen clips is what others will have.",
        f"The parts may differ in their classes too; split={name} measures all clips unseen.",
    ]


def _sizes(parts: Parts) -> tuple[int, ...]:
    return tuple(number for part in parts for number in (part.num_clips, part.num_values))


def csv_frame(table: Table) -> pd.DataFrame:
    """One row for each cell, group and part of the test clips, with every number at full precision."""
    return grids.frame(_rows(table))


def _rows(table: Table) -> Iterator[dict[str, object]]:
    for name in _names(table):
        for cell, by_group in _cells(table, name):
            for kind, part in by_group[name]._asdict().items():
                row: dict[str, object] = {"sweep": table.name, "cell": table.title(cell), "group": name, "part": kind}
                row |= {"num_clips": part.num_clips, "num_values": part.num_values}
                yield row | grids.summary(table.score.title.lower().replace(" ", "_"), part.score)


def frames(table: Table) -> dict[str, pd.DataFrame]:
    """The CSV file, if there is anything to say."""
    return {"seen": csv_frame(table)} if _names(table) else {}
