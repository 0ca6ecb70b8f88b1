"""Self-contained HTML pages: a template for each kind of table, over the same skeleton."""

from __future__ import annotations

from pathlib import Path

import jinja2

from analysis.engine import wording
from analysis.engine.tables.cells import Table

TEMPLATES = Path(__file__).parents[1] / "templates"


def page(template: str, table: Table, question: str, command: str, **parts: object) -> str:
    """The page of a table: its question, numbers, figures, provenance, and what is missing.

    Args:
        template: a file of `analysis/templates/` that extends `base.html`.
        table: what it reports.
        question: what the sweep asks, as its heading.
        command: what writes this page again.
        parts: what else the template lays out.
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
        num_done=sum(cell.complete for cell in table.cells),
        **parts,
    )


def inline(svg: str) -> str:
    """A figure as it can stand in a page: without the XML prologue, which HTML has no room for."""
    return svg[svg.index("<svg") :]
