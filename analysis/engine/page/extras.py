"""The parts of a report's page beside its table and figure, which need the runs and not only the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.engine.figures.learning import ABREAST, learning
from analysis.engine.page import classwise, each_run, errors
from analysis.engine.page.cautions import cautions
from analysis.engine.page.classwise import Classwise
from analysis.engine.page.errors import Errors
from analysis.engine.page.recipe import Line, recipe
from analysis.engine.tables.cells import Material, Table
from analysis.engine.tables.grids import Grid
from analysis.engine.tables.pivot import PivotTable
from sweeps.engine.store.drawing import Figure
from sweeps.engine.store.runs import Run, read_curves

if TYPE_CHECKING:
    import pandas as pd

EMPTY = Grid((), [])
MOST_ABREAST = 5  # columns of a table that its learning curves follow


@dataclass(frozen=True)
class Extras:
    """The parts of a page beside its table and figure; without runs, there are none."""

    cautions: tuple[str, ...] = ()
    recipe: tuple[Line, ...] = ()
    claims: Sequence[Any] = ()  # each with text, where, verdict and sentence
    curves: Mapping[str, Figure] = field(default_factory=dict)  # by the names of their files
    classwise: tuple[Classwise, ...] = ()  # of a pivot
    errors: Errors | None = None
    runs: Grid = EMPTY
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # by the names of their CSV files
    ways: tuple[str, ...] = ()  # the steps to see the runs in the store


def gathered(
    table: Table,
    made_of: Material,
    runs: Mapping[str, Run],
    store_uri: str,
    commands: Mapping[str, str],
    ways: Sequence[str] = (),
) -> Extras:
    """The parts that follow from the runs of a table.

    Args:
        table: the table.
        made_of: its material.
        runs: the finished runs, by key.
        store_uri: the store that they were read from.
        commands: the commands of the recipe, by name.
        ways: the steps to see the runs in the store.

    Raises:
        StoreError: if the store cannot be read.
    """
    shown = each_run.quantities(made_of.trial.main_score)
    names = list(dict.fromkeys([*(name for its in shown.values() for name in its.metrics), each_run.EPOCH_S]))
    curves = read_curves(store_uri, {run.run_id for run in runs.values()}, names)
    panels = each_run.panels(table, made_of, runs, curves)
    columns = len(table.across_values) if isinstance(table, PivotTable) else 0
    abreast = columns if 2 <= columns <= MOST_ABREAST else ABREAST
    return Extras(
        cautions=cautions(table),
        recipe=recipe(made_of.trials, runs.values(), each_run.trained_s(curves), commands),
        curves={name: learning(panels, its, abreast) for name, its in shown.items()} if panels else {},
        classwise=classwise.of_pivot(table, made_of) if isinstance(table, PivotTable) else (),
        errors=errors.worst(table, made_of),
        runs=each_run.run_grid(table, made_of, runs, store_uri),
        frames={"seeds": each_run.seed_frame(table, made_of, runs)},
        ways=tuple(ways),
    )
