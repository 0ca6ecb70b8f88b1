"""The command behind every table: reads the runs of a sweep, prints its table, writes its report."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from analysis.engine.claims.claim import Claim
from analysis.engine.claims.verdicts import judge, listing, of_printed
from analysis.engine.mixed import MADE_BY
from analysis.engine.page import errors
from analysis.engine.page.each_run import of_cells
from analysis.engine.page.extras import Extras, gathered
from analysis.engine.protocol import Published, read_published
from analysis.engine.rows import finished_runs, held, read_predictions, table_rows
from analysis.engine.runs import folds
from analysis.engine.runs.declared import history_of
from analysis.engine.tables.cells import Material, Table
from analysis.engine.tables.scores import chosen
from datasets.engine.corpus import module
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from sweeps.engine.command.commandline import add_plan_flags, add_store_flags, folder, options_of, points
from sweeps.engine.command.options import Options
from sweeps.engine.plan import Sweep
from sweeps.engine.store import pages
from sweeps.engine.store.runs import Run, StoreError, read_runs
from sweeps.engine.store.store import Store
from trainable.config import TrialConfig

SUBJECT = ("backbone", "corpus")  # of a study, as its heading names it
COMPLETE, REFUSED, INCOMPLETE = 0, 2, 3
AnyTable = TypeVar("AnyTable", bound=Table)
Build = Callable[[Material], AnyTable]


class Kind(Protocol[AnyTable]):
    """The kind of table that a study's numbers are shown in."""

    def table(self, made_of: Material, /) -> AnyTable:
        """The table of a sweep."""
        ...

    def findings(self, table: AnyTable, made_of: Material, /) -> Sequence[str]:
        """The sentences that summarise the table."""
        ...

    def files(
        self, table: AnyTable, question: str, again: str, out: Path, findings: Sequence[str], extras: Extras, /
    ) -> Mapping[str, str | bytes]:
        """The report's files by name, among them `table.md`, for the folder `out`."""
        ...


@dataclass(frozen=True)
class Choices:
    """The choices of a report beside its study and the flags of its sweep."""

    again: str  # the command that writes it
    data: str  # first digits of the data or split hash of its runs; empty for any
    margin: float  # the largest difference that does not matter, as a fraction
    accept: tuple[str, ...]  # those of MADE_BY that may differ
    out: Path | None  # its folder; None for that of the sweep
    audio: bool  # whether the worst errors have their sound


def main(
    sweep: Sweep,
    question: str,
    kind: Kind[AnyTable],
    published: str = "",
    argv: Sequence[str] | None = None,
    claims: Sequence[Claim] = (),
) -> int:
    """Writes the report of a sweep from the runs in the store.

    Args:
        sweep: as its file plans it; the flags may vary it.
        question: what it asks, the heading of the page.
        kind: what its numbers are shown as, such as one of `analysis.engine.kinds`.
        published: name of a file of `analysis/published/`; empty if there is nothing to compare with.
        argv: the command line; None for that of the process.
        claims: statements to judge, such as those of the publication.

    Returns:
        Exit code: 0 if every cell is complete, 3 if some are not, 2 if there can be no report.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = parser(sweep, question).parse_args(words)
    if args.printed:
        return show_printed(claims, published)
    again = shlex.join(["python", "-m", f"analysis.{sweep.study}", *words])
    choices = Choices(again, args.data, args.margin / 100, tuple(args.accept_mixed), args.out, args.audio)
    return _written(sweep, question, kind, published, claims, options_of(args), choices)


def _written(
    sweep: Sweep,
    question: str,
    kind: Kind[AnyTable],
    published: str,
    claims: Sequence[Claim],
    options: Options,
    choices: Choices,
) -> int:
    """The exit code of a report, once it is written."""
    try:
        runs = read_runs(options.store_uri)
        past = history_of(options.planned(sweep), options, runs, choices.data)
        sweep = past.sweep  # with the seeds that looks have added
        numbers = applicable(published, sweep, options)
        made_of = material(sweep, runs, numbers, choices.data, choices.margin, choices.accept)
        table, finished = past.stamped(kind.table(made_of)), finished_runs(sweep, runs, choices.data)
        extras = beside(table, made_of, sweep, finished, options, choices.again, choices.audio)
        extras = dataclasses.replace(extras, claims=judge(about(claims, sweep.trials), table, made_of))
    except (ValueError, Refusal) as error:
        print(f"{error}\n(store: {options.store_uri})", file=sys.stderr)
        return REFUSED
    out, findings = choices.out or options.storage / "reports" / sweep.name, kind.findings(table, made_of)
    contents = kind.files(table, asked(question, options, sweep.trials), choices.again, out, findings, extras)
    deliver(contents, out, finished.values(), options.store_uri)
    stated = {"published": numbers.source if numbers else "", "claims": [its.text for its in extras.claims]}
    past.note_report(options, {"margin_points": 100 * choices.margin, **stated})
    print("".join(f"\n{sentence}" for sentence in [*findings, *listing(extras.claims)]))
    return COMPLETE if table.complete else INCOMPLETE


def deliver(contents: Mapping[str, str | bytes], out: Path, runs: Iterable[Run], store_uri: str) -> None:
    """Writes a report into the folder `out`, prints its table, and attaches it to the sweep of its runs."""
    write(contents, out)
    print(contents["table.md"])
    print(f"written: {out}/{', '.join(contents)}")
    attach([out / name for name in contents], runs, store_uri)


def applicable(published: str, sweep: Sweep, options: Options) -> Published | None:
    """The published numbers of a study; None if there are none, or they are not those of what was run."""
    numbers = read_published(published) if published and not options.small else None
    return numbers if numbers and numbers.applies(sweep.trials) else None


def show_printed(claims: Sequence[Claim], published: str) -> int:
    """Prints what the numbers in a publication say of its claims; needs no run. Returns the exit code."""
    if not claims or not published:
        print("--printed: this study has no published numbers, or no claims on them", file=sys.stderr)
        return REFUSED
    numbers = read_published(published)
    print(f"{numbers.source}, from its printed means, deviations and numbers of seeds ({numbers.n}):\n")
    print("\n".join(listing(of_printed(claims, chosen(""), numbers))))
    return COMPLETE


def beside(
    table: Table,
    made_of: Material,
    sweep: Sweep,
    runs: Mapping[str, Run],
    options: Options,
    again: str,
    audio: bool = False,
) -> Extras:
    """The parts of a page beside its table.

    Args:
        table: the table.
        made_of: its material.
        sweep: the sweep as it was run.
        runs: its finished runs, by key.
        options: the flags.
        again: the command that writes the page.
        audio: whether the worst errors have their sound.

    Raises:
        CorpusError: if that sound is not found, or is not what was tested.
        StoreError: if the store cannot be read.
    """
    run = shlex.join(["python", "-m", f"sweeps.{sweep.study}", *options.as_flags])
    commands = {"Runs made by": run, "Page made by": again}
    extras = gathered(table, made_of, runs, options.store_uri, commands, pages.ways(options.store_uri, sweep.name))
    return heard(extras, table, made_of, options) if audio else extras


def about(claims: Sequence[Claim], trials: Sequence[TrialConfig]) -> list[Claim]:
    """The claims of which both sides are planned: a changed or shortened study may lack one."""
    sides = [(claim, [claim.sides(trial.get) for trial in trials]) for claim in claims]
    return [claim for claim, its in sides if all(any(side) for side in zip(*its, strict=True))]


def heard(extras: Extras, table: Table, made_of: Material, options: Options) -> Extras:
    """The parts with the sound of the worst errors.

    Raises:
        CorpusError: if the recordings are not found, or are not those that were tested.
    """
    if extras.errors is None:
        return extras
    cell = next(cell for cell in table.cells if table.title(cell) == extras.errors.cell)
    data = next(row["data_sha256"] for its, row in of_cells(table, made_of) if its is cell)
    sound = errors.with_sound(extras.errors, cell.trial, data, options.storage, options.data_root)
    return dataclasses.replace(extras, errors=sound)


def add_listening_flags(flags: Flags) -> Flags:
    """Adds the flags for the sound of a page, and returns the parser."""
    flags.add_argument("--audio", action="store_true", help="put the sound of the worst errors into the page")
    flags.add_argument(
        "--data-root", type=folder, metavar="DIR", help="where that sound lies now (default: where the sweep found it)"
    )
    return flags


def asked(question: str, options: Options, trials: Sequence[TrialConfig]) -> str:
    """The heading of a report, which says what was run: a changed study and a miniature do not share the study's.

    Args:
        question: what the study asks; what stands behind its question mark says what the study runs.
        options: the flags, which may have changed that.
        trials: the trials as they were run.
    """
    if options.fields:
        changed = [f"{name}={value}" for name, value in sorted(options.fields.items()) if name not in SUBJECT]
        before, mark, _ = question.partition("?")
        question = ", ".join(
            [f"{before}{mark or ':'} {subject(trials)}", *[f"with {' '.join(changed)}"] * bool(changed)]
        )
    return f"{question} (in miniature, on invented recordings)" if options.small else question


def subject(trials: Sequence[TrialConfig]) -> str:
    """The networks and corpora of the trials, such as `CNN14 on esc50`."""
    backbones, corpora = (list(dict.fromkeys(trial[field] for trial in trials)) for field in SUBJECT)
    name = backbones[0] if "/" in backbones[0] else backbones[0].upper()
    return f"{name if len(backbones) == 1 else f'{len(backbones)} networks'} on {' and '.join(corpora)}"


def assemble(
    build: Build[AnyTable],
    sweep: Sweep,
    runs: Sequence[Run],
    published: Published | None,
    data: str,
    margin: float,
    accept: Collection[str] = (),
) -> AnyTable:
    """The table of a sweep, from the runs in a store.

    Raises:
        ValueError: as `material` and `build` do.
    """
    return build(material(sweep, runs, published, data, margin, accept))


def material(
    sweep: Sweep,
    runs: Sequence[Run],
    published: Published | None,
    data: str,
    margin: float,
    accept: Collection[str] = (),
) -> Material:
    """The material for the table of a sweep, from the runs in a store.

    Raises:
        ValueError: if no run is of a planned trial, or the runs make no table (`analysis.engine.rows`).
        CorpusError: if no run is of a planned trial, and there is no corpus of that name.
    """
    rows = table_rows(sweep, runs, data, accept)
    if (rows["status"] == "missing").all():
        module(sweep.trials[0].corpus)
        chosen = f" whose data or split hash begins with {data}" if data else ""
        raise ValueError(f"no run{chosen} is of a trial that sweep {sweep.name} plans; {held(sweep, runs)}")
    predictions = {key: read_predictions(run) for key, run in finished_runs(sweep, runs, data).items()}
    joined_rows, joined_predictions = folds.joined(rows, predictions)
    return Material(sweep.name, joined_rows, joined_predictions, published, margin, rows)


def write(files: Mapping[str, str | bytes], out: Path) -> None:
    """Writes the files of a report into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def attach(files: Iterable[Path], runs: Iterable[Run], uri: str) -> None:
    """Attaches the files of a report to the sweep's run that most of `runs` belong to, and prints the outcome.

    That needs no driver's lock: it changes no trial, and the files of a later report take the place of these.
    """
    sweeps = Counter(run.tags["mlflow.parentRunId"] for run in runs if "mlflow.parentRunId" in run.tags)
    if not sweeps:
        print("not attached: the store has no run of the sweep itself", file=sys.stderr)
        return
    ((parent, _),) = sweeps.most_common(1)
    try:
        store = Store(uri)
        for path in files:
            store.attach(parent, path, "report")
    except StoreError as error:
        print(f"not attached to the sweep's run in the store: {error}", file=sys.stderr)
    else:
        print(f"attached: to the sweep's run {parent} in the store, in the folder report")


def parser(sweep: Sweep, question: str) -> Flags:
    """The command line of a report, described by the docstring of its file, or else by its question."""
    name = f"analysis.{sweep.study}"
    started = getattr(sys.modules["__main__"].__spec__, "name", "")
    about = sys.modules["__main__"].__doc__ if started == name else question
    flags = Flags(f"python -m {name}", about, usage="%(prog)s [FLAG ...]")
    add_plan_flags(flags)
    add_store_flags(flags)
    flags.add_argument("--data", default="", metavar="SHA", help="only runs whose data or split hash begins so")
    flags.add_argument(
        "--accept-mixed",
        action="append",
        default=[],
        choices=MADE_BY,
        help="let trials share a table that different code or versions of packages made; the table says so",
    )
    flags.add_argument(
        "--printed", action="store_true", help="only judge the claims by the publication's own numbers; reads no run"
    )
    flags.add_argument("--out", type=folder, help=f"folder of the report (default: reports/{sweep.name} in --storage)")
    flags.add_argument(
        "--margin", type=points, default=2.0, help="largest difference that does not matter [points] (default: 2.0)"
    )
    return add_listening_flags(flags)
