"""The files of a report. One is a self-contained page, from a template for each kind of table over one skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from analysis.engine import wording
from analysis.engine.figures import style
from analysis.engine.page import machine
from analysis.engine.page.extras import Extras
from analysis.engine.tables import grids
from analysis.engine.tables.cells import Table
from sweeps.engine.store.drawing import Figure

NO_EXTRAS = Extras()
TEMPLATES = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True)
class Contents:
    """The contents of a report, apart from what all reports share."""

    markdown: str
    frames: Mapping[str, pd.DataFrame]  # by the names of their CSV files
    figures: Mapping[str, Figure]  # by the names of their files, which the template uses too
    page: Mapping[str, object]  # further values for the template
    latex: str = ""


def files(
    template: str,
    table: Table,
    question: str,
    command: str,
    contents: Contents,
    findings: Sequence[str] = (),
    extras: Extras = NO_EXTRAS,
) -> dict[str, str | bytes]:
    """The files of a report by name.

    Args:
        template: a file of `analysis/templates/` that extends `base.html`.
        table: the table to report.
        question: the question of the sweep, used as the heading.
        command: the command that writes the report again.
        contents: the contents of the report.
        findings: the sentences that open the page.
        extras: the parts of the page that follow from the runs.
    """
    drawn, frames = {**contents.figures, **extras.curves}, {**contents.frames, **extras.frames}
    svgs = {name: style.svg(figure) for name, figure in drawn.items()}
    figures = {name: style.in_page(svgs[name]) for name in contents.figures}
    curves = {name: style.in_page(svgs[name]) for name in extras.curves}
    parts = {"figures": figures, "curves": curves, "opening": opening(table, findings), "extras": extras}
    return {
        "report.html": page(template, table, question, command, **parts, **contents.page),
        "report.json": machine.document(table, question, command, frames, findings, extras),
        "table.md": contents.markdown,
        **{f"{name}.csv": frame.to_csv(index=False) for name, frame in frames.items()},
        **({"table.tex": contents.latex} if contents.latex else {}),
        **{f"{name}.png": style.png(figure) for name, figure in drawn.items()},
        **{f"{name}.svg": svg for name, svg in svgs.items()},
    }


def opening(table: Table, findings: Sequence[str]) -> tuple[str, ...]:
    """The sentences that open a page, of which the first answers its title; it says so where there is no answer yet."""
    if findings:
        return tuple(findings)
    done = [cell for cell in table.cells if cell.scores]
    if len(done) < len(table.cells):
        return (f"No answer yet: {len(done)} of {len(table.cells)} cells are complete.",)
    return tuple(f"{wording.hover_words(table, cell)}." for cell in done)


def page(template: str, table: Table, question: str, command: str, **parts: object) -> str:
    """The page of a table: its question, numbers, figures, provenance, and what is missing.

    Args:
        template: a file of `analysis/templates/` that extends `base.html`.
        table: the table to report.
        question: the question of the sweep, used as the heading.
        command: the command that writes this page again.
        parts: further values for the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(
        table=table,
        question=question,
        command=command,
        main_captions=wording.main_captions(table),
        detail_captions=wording.detail_captions(table),
        notes=wording.notes(table),
        gaps=wording.gaps(table),
        apart=grids.apart_grid(table),
        difference_caption=wording.difference_caption(table),
        num_done=sum(cell.complete for cell in table.cells),
        **parts,
    )
