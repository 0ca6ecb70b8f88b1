"""The results of a benchmark: ours beside the peer and the goal, as a table on the terminal and as a document."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainable.device import memory

VERSIONS = ("torch", "torchaudio", "torchlibrosa", "librosa", "lightning", "timm", "ray", "mlflow", "optuna", "numpy")


@dataclass(frozen=True)
class Row:
    """One row of a benchmark's table.

    Args:
        case: description of the measurement.
        ours: our figure in `unit`; None if it was not measured.
        peer: the peer's figure in `unit`; None if there is no peer.
        ratio: how many times better ours is than the peer; None without a peer.
        goal: the goal as the table shows it.
        met: whether the goal is met; None without a goal or a measurement.
    """

    case: str
    unit: str
    ours: float | None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


def against(
    case: str,
    unit: str,
    ours: float,
    peer: float,
    peer_name: str,
    at_least: float | None = None,
    note: str = "",
    more_is_better: bool = False,
) -> Row:
    """A row whose goal is a ratio to the peer; less is better, unless `more_is_better`."""
    ratio = ours / peer if more_is_better else peer / ours
    goal = f">= {at_least:g}x" if at_least else ""
    return Row(case, unit, ours, peer, peer_name, ratio, goal, ratio >= at_least if at_least else None, note)


def at_most(case: str, unit: str, ours: float, limit: float, note: str = "", **peer: Any) -> Row:
    """A row whose goal is an upper limit of our figure."""
    return Row(case, unit, ours, goal=f"<= {limit:g} {unit}".strip(), met=ours <= limit, note=note, **peer)


def at_least(case: str, unit: str, ours: float, limit: float, note: str = "", **peer: Any) -> Row:
    """A row whose goal is a lower limit of our figure."""
    return Row(case, unit, ours, goal=f">= {limit:g} {unit}".strip(), met=ours >= limit, note=note, **peer)


def not_measured(case: str, unit: str, goal: str, why: str) -> Row:
    """A row that this machine cannot fill."""
    return Row(case, unit, None, goal=goal, note=f"not measured: {why}")


def parser(about: str | None) -> argparse.ArgumentParser:
    """The parser with the options that every benchmark has."""
    command = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
    return command


def show(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Prints the table, and writes everything as JSON if `--json` asks for it."""
    print(table(rows))
    write(rows, args)


def write(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Writes everything as JSON if `--json` asks for it."""
    if args.json:
        args_kept = {name: value for name, value in vars(args).items() if name != "json"}
        flags = {name: v.name if isinstance(v, Path) else str(v) for name, v in args_kept.items()}
        document = {**machine(), "flags": flags, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [("", "", "ours", "peer", "better", "goal", "")]
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        peer = f"{number(row.peer)} {row.peer_name}".strip() if row.peer is not None else ""
        ratio = f"{row.ratio:.3g}x" if row.ratio is not None else ""
        lines.append((row.case, row.unit, number(row.ours), peer, ratio, row.goal, f"{verdict} {row.note}".strip()))
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def number(value: float | None) -> str:
    """A number with three significant digits, and with all digits before the decimal point."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or (value and not math.isfinite(value)) else f"{value:.3g}"


def ms_per_step(work: Mapping[str, Callable[[], object]], num_steps: int, num_rounds: int) -> dict[str, float]:
    """Median CPU time per step of each kind of work [ms]; they take turns, after a round that is not counted."""
    times_of: dict[str, list[float]] = {name: [] for name in work}
    for number in range(num_rounds + 1):
        for name, step in work.items():
            began = time.process_time()
            for _ in range(num_steps):
                step()
            if number:
                times_of[name].append(1000 * (time.process_time() - began) / num_steps)
    return {name: statistics.median(times) for name, times in times_of.items()}


def machine() -> dict[str, Any]:
    """The machine, versions and date of the measurements."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "gpu": _gpu(),
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), **{n: v for n in VERSIONS if (v := _version(n))}},
    }


@contextmanager
def as_it_comes() -> Iterator[Executor]:
    """Starts a process with one thread for a peer, without the environment of a worker's process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        before = dict(os.environ)
        os.environ.pop(memory.VARIABLE, None)
        pool.submit(os.getpid).result()  # so that it starts now
        os.environ.update(before)
        yield pool


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    # Else the workers of its loaders would be spawned, like this process, and import everything anew.
    multiprocessing.set_start_method("fork", force=True)


def as_a_worker() -> None:
    """Restarts this program with the environment of a worker's process, if it does not have it."""
    if not os.environ.items() >= memory.environment().items():
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **memory.environment()})  # noqa: S606


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
