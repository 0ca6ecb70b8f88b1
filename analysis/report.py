"""One self-contained HTML page of a rate table: question, numbers, figure, provenance, and what is missing."""

from __future__ import annotations

from pathlib import Path

import jinja2

from analysis import tables, wording
from analysis.rates import RateTable

TEMPLATES = Path(__file__).parent / "templates"


def html(table: RateTable, question: str, figure_svg: str, command: str) -> str:
    """The page.

    Args:
        table: what it reports.
        question: what the sweep asks, as its heading.
        figure_svg: the figure, laid into the page.
        command: what writes this page again.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("rates.html").render(
        table=table,
        question=question,
        command=command,
        figure=figure_svg[figure_svg.index("<svg") :],  # without the XML prologue, which HTML has no room for
        head=["Data rate", *(wording.model(table, hz) for hz in table.pretrain_rates_hz)],
        main_rows=tables.main_rows(table),
        detail_head=tables.DETAIL_HEAD,
        detail_rows=tables.detail_rows(table),
        main_captions=wording.main_captions(table),
        detail_captions=wording.detail_captions(table),
        notes=wording.notes(table),
        gaps=wording.gaps(table),
        num_done=sum(cell.complete for cell in table.cells),
    )
