"""The command of a sweep over rates, and the files of its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.engine import command, figures, report
from analysis.engine.rates import rate_tables
from analysis.engine.rates.rate_figure import rate_figure
from analysis.engine.rates.rates import RateTable, rate_table
from sweeps.engine.plan import Sweep


def main(sweep: Sweep, question: str, published: str = "", argv: Sequence[str] | None = None) -> int:
    """Reports what the store holds of a sweep over rates; arguments and exit code as `command.main`."""
    return command.main(rate_table, files, sweep, question, published, argv)


def files(table: RateTable, question: str, again: str, _: Path) -> dict[str, str | bytes]:
    """The files of a report by name.

    Args:
        table: what it reports.
        question: what the sweep asks, as its heading.
        again: the command that writes it again.
    """
    figure = rate_figure(table)
    svg = figures.svg(figure)
    page = report.page(
        "rates.html",
        table,
        question,
        again,
        figure=report.inline(svg),
        main=rate_tables.main_grid(table),
        detail=rate_tables.detail_grid(table),
    )
    return {
        "report.html": page,
        "table.md": rate_tables.markdown(table),
        "table.csv": rate_tables.csv_frame(table).to_csv(index=False),
        "table.tex": rate_tables.latex(table),
        "figure.png": figures.png(figure),
        "figure.svg": svg,
    }
