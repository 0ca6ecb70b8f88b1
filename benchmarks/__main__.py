"""Runs every benchmark that has a goal, and writes docs/performance.md.

    python -m benchmarks [--only NAME,NAME] [--page]

Each runs in a separate process. Its results are stored in benchmarks/results/, with separate folders for GPU and CPU,
and the page is written from all stored results. --page writes it without running anything.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measured import Row, number

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"
NAMES = (
    "prepare",
    "leaks",
    "frontend",
    "feed",
    "memory",
    "augment",
    "train",
    "layers",
    "gpu",
    "tables",
    "pack",
    "overhead",
    "scale",
    "store",
    "linear_probe",
    "search",
    "plan",
)
TOP = """# Speed

    python -m benchmarks                 # runs every benchmark below, and writes this page
    python -m benchmarks.NAME            # one of them

Every figure was measured beside its peer in one run of one program. Machines differ, and are busy: trust the ratios.
A row without a figure was not measured, and says why; a goal that was missed says so.
"""


def run(name: str) -> bool:
    """Runs one benchmark, and stores its results; returns whether it succeeded."""
    folder = RESULTS / ("gpu" if _has_gpu() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"\n{name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(folder / f"{name}.json")]
    times = folder / "times.json"  # the times of a GPU's steps, from which `tables` computes hours
    if _has_gpu() and (name == "gpu" or (name == "tables" and times.exists())):
        command += ["--times", str(times)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0  # noqa: S603


def page(results: Path = RESULTS) -> str:
    """The page, made from all stored results."""
    results_of = [(name, document) for name in NAMES for document in documents(results, name)]
    rows = [row for _, document in results_of for row in document["rows"]]
    met, missed = (sum(row["met"] is verdict for row in rows) for verdict in (True, False))
    num_unmeasured = sum(row["ours"] is None for row in rows)
    summary = f"{met} goals are met, {missed} are missed, and {num_unmeasured} rows were not measured.\n"
    return "\n".join([TOP, summary, *(section(name, document) for name, document in results_of)])


def documents(results: Path, name: str) -> list[dict[str, Any]]:
    """The stored results of a benchmark on a CPU and a GPU; of all but the last, only the measured rows."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob(f"*/{name}.json"))]
    for document in stored[:-1]:
        document["rows"] = [row for row in document["rows"] if row["ours"] is not None]
    return [document for document in stored if document["rows"]]


def section(name: str, document: dict[str, Any]) -> str:
    """The section of the page for one benchmark."""
    about = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
    versions = ", ".join(f"{package} {version}" for package, version in document["versions"].items())
    machine = document["machine"] if document["gpu"] == "none" else f"{document['gpu']}, {document['machine']}"
    where = f"{document['date'][:10]}, {machine}, load {document['load']:.1f}; {versions}"
    lines = ["| | unit | ours | peer | better by | goal | |", "|---|---|---|---|---|---|---|"]
    lines += [line(Row(**row)) for row in document["rows"]]
    return "\n".join([f"## {name}", "", about, "", *lines, "", f"<sub>{where}</sub>", ""])


def line(row: Row) -> str:
    """One row of a table in Markdown."""
    verdict = {True: "met", False: "**missed**", None: ""}[row.met]
    peer = f"{number(row.peer)} ({row.peer_name})" if row.peer is not None else ""
    ratio = f"{row.ratio:.3g}x" if row.ratio is not None else ""
    last = "; ".join(filter(None, [verdict, row.note]))
    return f"| {' | '.join([row.case, row.unit, number(row.ours), peer, ratio, row.goal, last])} |"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the chosen benchmarks, and writes the page; exits with 1 if any of them failed, after running the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--page", action="store_true", help="run nothing")
    args = parser.parse_args(argv)
    chosen = args.only.split(",") if args.only else list(NAMES)
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"--only {args.only}: there is no {', '.join(unknown)}; there are {', '.join(NAMES)}")
    broken = [] if args.page else [name for name in chosen if not run(name)]
    PAGE.write_text(page(), encoding="utf-8")
    print(f"\nwritten: {PAGE.relative_to(ROOT)}")
    if broken:
        sys.exit(f"broken: {', '.join(broken)}")


if __name__ == "__main__":
    main()
