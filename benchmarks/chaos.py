"""Kills a sweep with real Ray and MLflow at seeded random moments, and stock Ray Tune on the same schedule.

    python -m benchmarks.chaos [--kills N] [--trials N] [--epochs N] [--seed S] [--what driver,worker,term] [--no-peer]
    python -m benchmarks.chaos --demo          # `make demo`, killed five times, against an undisturbed one

Both sides are started again until they exit with 0; then their faults are counted. An undisturbed sweep before them
shows what the results must be. If the victim of a kill survives, the program ends.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import kills
from benchmarks.chaos_counts import Counts, Watch, counts, finished, read_runs, worked_again
from benchmarks.kills import Job, Kill, Start
from datasets.synthetic.deepship import write as write_deepship

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("weights=none", "width=0.0625", "lr=1e-3", "batch=4")
PACKAGES = ("ray", "mlflow", "torch")


@dataclass(frozen=True)
class Side:
    """The outcome of one side."""

    counts: Counts
    starts: list[Start]
    wall_s: float
    more: dict[str, Any]  # figures that only one side has


def job(folder: Path, words: Sequence[object], look: Callable[[], None], num_trials: int) -> Job:
    """A command with its own Ray, whose epochs are counted in `folder`.

    Args:
        words: the module and its arguments.
        look: called at every tick.
        num_trials: number of planned trials.
    """
    epochs, store = folder / "epochs", folder / "storage" / "mlflow.db"
    epochs.mkdir(parents=True)
    environment = {
        "SOUNDINGS_FAULT": "epoch is trained",
        "SOUNDINGS_FAULT_TIMES": "0",  # epochs are counted, and no process is killed by this
        "SOUNDINGS_FAULT_LOG": str(epochs),
        "RAY_ADDRESS": "local",
        "RAY_TMPDIR": str(folder.parent),  # a short path, for its sockets
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", *map(str, words)]
    return Job(command, environment, folder, epochs, look, lambda: len(finished(read_runs(store))) == num_trials)


def ours(folder: Path, ships: Path, args: argparse.Namespace, plan: Sequence[Kill]) -> tuple[Side, Watch]:
    """Runs `sweeps.deepship_rates` with its first pair of rates and as many seeds as trials are wanted."""
    storage, num, began = folder / "storage", args.trials, time.monotonic()
    words = ["sweeps.deepship_rates", "--data-root", ships, "--storage", storage, "--limit", num]
    words += ["--hang-after", args.hang_after]  # so that a frozen worker is ended before the benchmark stops waiting
    words += ["--seeds", ",".join(map(str, range(1, num + 1)))]
    for pair in (*SMALL, f"epochs={args.epochs}", f"patience={args.epochs}"):
        words += ["--set", pair]
    watch = Watch(storage / "trials")
    task = job(folder, words, watch, num)
    starts = kills.disturb(task, plan)
    watch()
    trained = kills.count(task.epochs)
    outcome = counts(read_runs(storage / "mlflow.db"), num, watch.again, trained, args.epochs)
    more = {"records altered": len(watch.altered), "files left behind": len(watch.left_behind())}
    return Side(outcome, starts, time.monotonic() - began, more), watch


def peer(folder: Path, alone: Path, args: argparse.Namespace, plan: Sequence[Kill]) -> Side:
    """Runs `benchmarks.stock_tune` with epochs as long and checkpoints as large as those of our undisturbed sweep."""
    runs = [r for r in read_runs(alone / "storage" / "mlflow.db") if r.key]
    epoch_s = round(statistics.median((r.ended or 0) - r.began for r in runs) / args.epochs, 3)
    size = (
        3 * next((alone / "storage" / "trials").glob("*/best.pt")).stat().st_size
    )  # the weights and Adam's two moments
    storage, num, began = folder / "storage", args.trials, time.monotonic()
    storage.mkdir(parents=True)
    (storage / "work.txt").touch()
    words = ["benchmarks.stock_tune", "--storage", storage, "--trials", num, "--epochs", args.epochs]
    words += ["--epoch-s", epoch_s, "--checkpoint-bytes", size, *(["--keep", args.keep] if args.keep else [])]
    task = job(folder, words, lambda: None, num)
    starts = kills.disturb(task, plan)
    runs_left = read_runs(storage / "mlflow.db")
    repeated = worked_again(runs_left, (storage / "work.txt").read_text(encoding="utf-8"))
    outcome = counts(runs_left, num, repeated, kills.count(task.epochs), args.epochs)
    return Side(outcome, starts, time.monotonic() - began, {"epoch [s]": epoch_s, "checkpoint [bytes]": size})


def rows(side: Side) -> dict[str, str]:
    """The printed figures of a side."""
    hit = Counter(kind for start in side.starts for kind in start.kills)
    recovered = [s.recovered_s for s in side.starts[1:] if s.recovered_s is not None]
    num, count = hit.total(), side.counts
    return {
        "kills that hit": ", ".join([str(num), *(f"{n} {kind}" for kind, n in sorted(hit.items()))]),
        "starts": str(len(side.starts)),
        "trials lost": str(count.lost),
        "trials finished twice": str(count.twice),
        "runs left RUNNING": str(count.stuck),
        "finished trials executed again": str(count.again),
        "whole epochs trained again": f"{count.epochs_redone}, {count.epochs_redone / max(num, 1):.1f} a kill",
        "exit code 0, but not finished": str(sum(s.lied for s in side.starts)),
        "starts that failed unprompted": str(sum(bool(s.tail) and not s.lied for s in side.starts)),
        "start to first new epoch, median": f"{statistics.median(recovered):.0f} s" if recovered else "-",
        "start to first new epoch, longest": f"{max(recovered):.0f} s" if recovered else "-",
        "all of it": f"{side.wall_s:.0f} s",
        **{name: str(value) for name, value in side.more.items()},
    }


def table(sides: dict[str, Side]) -> str:
    """The sides as columns of a table."""
    columns = {name: rows(side) for name, side in sides.items()}
    names = dict.fromkeys(row for column in columns.values() for row in column)
    width = {name: max(len(name), *map(len, column.values())) for name, column in columns.items()}
    lines = [f"{'':<36}{'  '.join(f'{name:<{width[name]}}' for name in columns)}".rstrip()]
    for row in names:
        cells = "  ".join(f"{column.get(row, ''):<{width[name]}}" for name, column in columns.items())
        lines.append(f"{row:<36}{cells}".rstrip())
    return "\n".join(lines)


def document(args: argparse.Namespace, sides: dict[str, Side]) -> dict[str, Any]:
    """All measurements, with machine, versions and flags."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "load": os.getloadavg(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": sys.version.split()[0]},
        "flags": {name: str(value) for name, value in vars(args).items()},
        "sides": {name: asdict(side) for name, side in sides.items()},
    }


def run(folder: Path, args: argparse.Namespace) -> dict[str, Side]:
    """Runs our sweep undisturbed, then our sweep with kills, then the peer with kills."""
    ships = folder / "ships"
    write_deepship(ships, num_per_class=args.recordings, seconds=(5, 6), rate_hz=8_000)
    plan = kills.schedule(args.what.split(","), args.kills, args.seed, args.trials * args.epochs)
    sides = {}
    sides["left alone"], reference = ours(folder / "a", ships, args, [])
    sides["killed"], watch = ours(folder / "o", ships, args, plan)
    differ = sum(watch.results().get(key) != result for key, result in reference.results().items())
    sides["killed"].more["results unlike those left alone"] = differ
    if args.peer:
        sides["stock Tune killed"] = peer(folder / "s", folder / "a", args, plan)
    return sides


def make_demo(folder: Path, moments: Sequence[float]) -> tuple[list[bytes], int]:
    """The tables of a `make demo` whose process group is killed some time after each start, and the number of kills.

    Args:
        moments: the times from each start to its kill [s].

    Raises:
        Missed: if it failed without being killed.
    """
    command, environment = ["make", "demo", f"DEMO={folder}"], {**os.environ, "RAY_ADDRESS": "local"}
    starts = list[subprocess.Popen[bytes]]()
    try:
        for moment in [*moments, None]:
            starts.append(subprocess.Popen(command, cwd=ROOT, start_new_session=True, env=environment))  # noqa: S603
            try:
                starts[-1].wait(moment)
                break
            except subprocess.TimeoutExpired:
                os.killpg(starts[-1].pid, signal.SIGKILL)
                starts[-1].wait()
    finally:
        for process in starts:
            kills.end_session(process.pid)
    if starts[-1].wait():
        raise kills.Missed(f"{' '.join(command)} ended with {starts[-1].wait()}, though nobody killed it")
    report = folder / "reports" / "deepship_rates_small"
    return [(report / name).read_bytes() for name in ("table.md", "table.csv")], len(starts) - 1


def main() -> None:
    """Prints the table, and writes everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=60, help="in a trial")
    parser.add_argument("--recordings", type=int, default=12, help="in each of four classes, with one clip each")
    parser.add_argument("--seed", type=int, default=1, help="for the schedule")
    parser.add_argument("--hang-after", type=int, default=40, help="for our sweep [s]; Ray has no such option")
    parser.add_argument("--what", default="driver,worker,term", help=f"whom to kill: some of {','.join(kills.SIGNALS)}")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--keep", type=int, help="number of checkpoints that a stock trial keeps; Tune then writes its state as often"
    )
    parser.add_argument("--demo", action="store_true", help="kill `make demo` instead")
    parser.add_argument("--json", type=Path, help="file for the results")
    args = parser.parse_args()
    if unknown := set(args.what.split(",")) - set(kills.SIGNALS):
        parser.error(f"--what {args.what}: {', '.join(unknown)} is none of {', '.join(kills.SIGNALS)}")
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        if args.demo:
            draw = random.Random(args.seed)
            alone, _ = make_demo(Path(folder) / "alone", [])
            killed, num = make_demo(Path(folder) / "killed", [draw.uniform(5, 90) for _ in range(5)])
            print(f"make demo, killed {num} times: its tables {'are the same' if alone == killed else 'differ'}")
            sys.exit(alone != killed)
        sides = run(Path(folder), args)
    print(table(sides))
    if args.json:
        args.json.write_text(json.dumps(document(args, sides), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
