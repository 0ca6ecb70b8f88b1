"""The command of a sweep over rates: reads its runs, prints its table, writes table, figure and page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import figures, report, tables
from analysis.protocol import Published, read_published
from analysis.rates import RateTable, rate_table
from analysis.runs import finished_runs, held, read_predictions, table_rows
from sweeps.flags import add_plan_flags, add_store_flags, folder, planned, store_uri
from sweeps.plan import Sweep
from sweeps.runs import Run, StoreError, read_runs

COMPLETE, REFUSED, INCOMPLETE = 0, 2, 3


def main(sweep: Sweep, question: str, published: str = "", argv: Sequence[str] | None = None) -> int:
    """Reports what the store holds of a sweep.

    Args:
        sweep: as its file plans it; the flags may vary it.
        question: what it asks, the heading of the page.
        published: name of a file of `analysis/published/`; empty if there is nothing to compare with.
        argv: the command line; None for that of the process.

    Returns:
        Exit code: 0 if every cell is complete, 3 if the report says that some are not, 2 if there can be no report.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = _parser(sweep, question).parse_args(words)
    uri = store_uri(args)
    try:
        sweep = planned(sweep, args)
        numbers = read_published(published) if published else None
        table = assemble(sweep, read_runs(uri), numbers, args.data, args.margin / 100)
    except (ValueError, StoreError) as error:
        print(f"{error}\n(store: {uri})", file=sys.stderr)
        return REFUSED
    out = args.out or args.storage / "reports" / sweep.name
    write(table, question, " ".join(["python -m", f"analysis.{sweep.name}", *words]), out)
    print(tables.markdown(table))
    print(f"written: {out}/report.html, table.md, table.csv, table.tex, figure.png, figure.svg")
    return COMPLETE if table.complete else INCOMPLETE


def assemble(sweep: Sweep, runs: Sequence[Run], published: Published | None, data: str, margin: float) -> RateTable:
    """The table of a sweep from what a store holds.

    Raises:
        ValueError: if no run is of a planned trial, or the runs make no table (`analysis.runs`, `analysis.rates`).
    """
    rows = table_rows(sweep, runs, data)
    if (rows["status"] == "missing").all():
        chosen = f" whose data or split hash begins with {data}" if data else ""
        raise ValueError(f"no run{chosen} is of a trial that sweep {sweep.name} plans; {held(sweep, runs)}")
    predictions = {key: read_predictions(run) for key, run in finished_runs(sweep, runs, data).items()}
    return rate_table(sweep.name, rows, predictions, published, margin)


def write(table: RateTable, question: str, command: str, out: Path) -> None:
    """Writes the six files of a report into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    figure = figures.rate_figure(table)
    svg = figures.svg(figure)
    (out / "table.md").write_text(tables.markdown(table), encoding="utf-8")
    (out / "table.tex").write_text(tables.latex(table), encoding="utf-8")
    tables.csv_frame(table).to_csv(out / "table.csv", index=False)
    (out / "figure.png").write_bytes(figures.png(figure))
    (out / "figure.svg").write_text(svg, encoding="utf-8")
    (out / "report.html").write_text(report.html(table, question, svg, command), encoding="utf-8")


def _parser(sweep: Sweep, question: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m analysis.{sweep.name}", description=question)
    add_plan_flags(parser)
    add_store_flags(parser)
    parser.add_argument("--data", default="", metavar="SHA", help="only runs whose data or split hash begins so")
    parser.add_argument("--out", type=folder, help=f"folder of the report (default: reports/{sweep.name} in --storage)")
    parser.add_argument(
        "--margin", type=float, default=2.0, help="largest difference that does not matter [points] (default: 2.0)"
    )
    return parser
