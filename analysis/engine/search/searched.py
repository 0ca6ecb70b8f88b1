"""The command of a search, and the files of its report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.engine import command, report
from analysis.engine.report import Contents
from analysis.engine.search import history, listing, plots, sentences
from analysis.engine.search.outcome import SearchTable, search_table
from datasets.engine.refusal import Refusal
from sweeps.engine.command.commandline import options_of
from sweeps.engine.plan import Sweep
from sweeps.engine.search.search import Search
from sweeps.engine.store.runs import read_runs


def main(search: Search, question: str, argv: Sequence[str] | None = None) -> int:
    """Reports the findings of a search, from its Optuna study and the runs of the store.

    Args:
        search: the search as its file plans it; the flags may vary it.
        question: the question of the search, used as the heading of the page.
        argv: the command line; None for that of the process.

    Returns:
        The exit code: 0 if every evaluation is made and the best is confirmed, 3 if the report says what is missing, 2
        if no report is possible.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = command.parser(Sweep(search.name, ()), question)
    parser.add_argument(
        "--study", default="", metavar="DIGITS", help="the last digits of the study's title, if several fit"
    )
    args = parser.parse_args(words)
    options = options_of(args)
    uri = options.store_uri
    try:
        search, runs = options.planned(search), read_runs(uri)
        study = history.find(search, options.variant, options.optuna_uri, runs, args.data, args.study)
        table = search_table(search, study, runs, args.data, args.margin / 100, args.accept_mixed)
    except (ValueError, Refusal) as error:
        print(f"{error}\n(store: {uri})", file=sys.stderr)
        return command.REFUSED
    out = args.out or options.storage / "reports" / search.name
    again = " ".join(["python -m", f"analysis.{search.study}", *words])
    contents = files(table, command.asked(question, options, [search.base]), again)
    command.write(contents, out)
    print(contents["table.md"])
    print(f"written: {out}/{', '.join(contents)}")
    its_runs = [run for runs_of_trial in study.runs.values() for run in runs_of_trial]
    command.attach([out / name for name in contents], its_runs, uri)
    return command.COMPLETE if table.complete else command.INCOMPLETE


def files(table: SearchTable, question: str, again: str) -> dict[str, str | bytes]:
    """The files of a report by name.

    Args:
        table: the table to report.
        question: the question of the search, used as the heading.
        again: the command that writes the report again.
    """
    drawn = plots.draw(table.search, table.evaluations)
    contents = Contents(
        markdown=listing.markdown(table, drawn.left_out),
        frames={"table": listing.csv_frame(table)},
        figures=drawn.figures,
        page={
            "findings": sentences.findings(table),
            "lacking": sentences.gaps(table),
            "captions": sentences.captions(table),
            "confirmation": listing.confirmation_grid(table),
            "space": listing.space_grid(table),
            "budget": listing.budget_grid(table),
            "evaluations": listing.evaluations_grid(table),
            "figure_captions": sentences.figure_captions(table),
            "left_out": drawn.left_out,
        },
    )
    return report.files("search.html", table, question, again, contents, sentences.findings(table))
