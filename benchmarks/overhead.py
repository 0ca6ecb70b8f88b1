"""Measures the overhead of a trial with trials that do nothing: by the launcher, beside stock Ray Tune.

    python -m benchmarks.overhead [--trials 12] [--at-once 2] [--rounds 3] [--data-root ESC10] [--json FILE]

Both sides run the same trials with a local Ray, one core each. The launcher uses workers that it keeps warm; stock Tune
starts a new worker for each trial, which is its default. Tune's loggers of results are off on both sides. A trial only
reports that it has finished; or it imports timm first, like those of half of Table II. The figures are the time for
which a trial occupies its worker [wall, with --at-once trials in parallel] and the time of the driver's process [CPU],
without the first two trials of each worker. The sides take turns with --trials each, and medians over rounds are shown.

The first row is the time from the command to the end of the first epoch, for EfficientNet-Lite0 with random weights on
one core, beside `benchmarks/plain_script.py`, which does nothing else. --data-root may name ESC-10 or ESC-50; otherwise
400 synthetic clips of ten classes are written.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import measured
from benchmarks.measured import Row
from benchmarks.scale import BASE, Counter, Mark
from datasets.synthetic.esc50 import write as write_esc50
from sweeps.engine.forecast import placement
from sweeps.engine.running import cluster, tuner
from trainable.device.place import Place

MOST_WALL_S, MOST_DRIVER_S = 0.5, 0.05
WARM = 2  # trials of a worker that are not counted: while one imports timm, the other may finish two
CORE = {"CPU": 1.0}
FIRST = "first epoch, from the command"
MOST_RATIO = 2.0  # goal: ratio of our time to the first epoch to the script's
NETWORK = "tf_efficientnet_lite0"
ROOT = Path(__file__).resolve().parents[1]
FIELDS = (
    *("corpus=esc50", f"backbone=timm/{NETWORK}.in1k", "weights=none", "head_dropout=0", "augment=none", "epochs=1"),
    *("pretrain_hz=32000", "data_hz=32000", "input_norm=standard"),
)
Trial = Callable[[dict[str, Any]], None]
Side = Callable[[Trial, int, int, Path], list[Mark]]


def nothing(config: dict[str, Any]) -> None:
    """A trial that ends at once."""
    from ray import tune

    tune.report({"event": "finished"})


def loads_timm(config: dict[str, Any]) -> None:
    """A trial that begins like one with a timm network, and ends."""
    from trainable.backbones import timm

    timm.pictures("timm/resnet50.a1_in1k")
    nothing(config)


TRIALS: dict[str, Trial] = {"does nothing": nothing, "loads timm": loads_timm}


def ours(trial: Trial, num_trials: int, at_once: int, storage: Path) -> list[Mark]:
    """Runs the trials by the launcher; returns the driver's clocks at the start and at the end of each trial.

    Raises:
        RuntimeError: if a trial failed.
    """
    counter = Counter(every=1)
    place = Place(storage / "clips", storage / "split.csv", None, storage / "trial")
    needs = placement.needs(BASE, 1000)
    jobs = (tuner.Job(replace(BASE, seed=n), place, needs) for n in range(num_trials))
    cluster.join()
    try:
        tuner.tune_jobs(trial, jobs, num_trials, counter, storage / "ours", lambda _: CORE, at_once)
    finally:
        cluster.leave()
    return checked(counter, num_trials)


def peer(trial: Trial, num_trials: int, at_once: int, storage: Path) -> list[Mark]:
    """Runs the trials by stock Tune and Ray with their defaults; returns the driver's clocks like `ours`.

    Raises:
        RuntimeError: if a trial failed.
    """
    import ray
    from ray import tune

    counter = Counter(every=1)

    class Told(tune.Callback):
        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            counter.started("")

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            counter.finished("", "")

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        tune.Tuner(
            tune.with_resources(trial, CORE),
            param_space={"n": tune.grid_search(list(range(num_trials)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once),
            run_config=tune.RunConfig(name="stock", storage_path=str(storage / "stock"), verbose=0, callbacks=[Told()]),
        ).fit()
    finally:
        ray.shutdown()
    return checked(counter, num_trials)


def checked(counter: Counter, num_trials: int) -> list[Mark]:
    """The marks, if every trial succeeded.

    Raises:
        RuntimeError: if a trial failed.
    """
    if counter.failures or counter.num != num_trials:
        raise RuntimeError(f"{counter.num} of {num_trials} trials ended; {counter.failures[:1]}")
    return counter.marks


def each(marks: Sequence[Mark], at_once: int) -> tuple[float, float]:
    """Wall seconds for which a trial occupies its worker, and CPU seconds of the driver for it; warm trials only."""
    first, last = marks[WARM * at_once], marks[-1]
    num = last.trials - first.trials
    return at_once * (last.wall_s - first.wall_s) / num, (last.cpu_s - first.cpu_s) / num


def measure(
    sides: dict[str, tuple[Side, Trial]], num_trials: int, at_once: int, num_rounds: int
) -> dict[str, tuple[float, float]]:
    """Medians of `each` over the rounds; the sides take turns."""
    results_of: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(num_rounds):
        for name, (side, trial) in sides.items():
            with tempfile.TemporaryDirectory(prefix="overhead-", ignore_cleanup_errors=True) as folder:
                results_of[name].append(each(side(trial, num_trials, at_once, Path(folder)), at_once))
            wall_s, cpu_s = results_of[name][-1]
            print(f"round {number + 1}, {name}: {wall_s:.2f} s wall, {cpu_s:.3f} s of the driver's CPU", flush=True)
    medians = {}
    for name, values in results_of.items():
        walls, cpus = zip(*values, strict=True)
        medians[name] = statistics.median(walls), statistics.median(cpus)
    return medians


def first_epoch(root: Path) -> tuple[float, float]:
    """Wall seconds from the command to the end of its first epoch, for ours and for the plain script."""
    with tempfile.TemporaryDirectory(prefix="first-", ignore_cleanup_errors=True) as folder:
        words = ["--data-root", str(root), "--storage", folder, "--split", "published", "--bad-files", "drop"]
        sets = [word for field in FIELDS for word in ("--set", field)]
        study = [sys.executable, "-m", "sweeps.deepship_rates", "--limit", "1", *words, *sets]
        ours_s = seconds_until(study, lambda: any(Path(folder).glob("trials/*/epoch-0001.pt")))
    script = [sys.executable, "-m", "benchmarks.plain_script", str(root), NETWORK, "1"]
    return ours_s, seconds_until(script, lambda: False)


def seconds_until(command: Sequence[str], done: Callable[[], bool]) -> float:
    """Seconds of a command until `done` is true, or else to its end; waits for the end in any case.

    Raises:
        RuntimeError: if it ends with an exit code other than 0.
    """
    began, took = time.perf_counter(), None
    with tempfile.TemporaryFile("w+") as output:
        running = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)  # noqa: S603
        while running.poll() is None:
            if took is None and done():
                took = time.perf_counter() - began
            time.sleep(0.05)
        if running.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}: {output.read()[-2000:]}")
    return time.perf_counter() - began if took is None else took


def first_row(pairs: Sequence[tuple[float, float]]) -> Row:
    """The row with the medians of both sides; the goal is their ratio."""
    ours_s, peer_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    row = measured.at_most(
        FIRST, "s", ours_s, MOST_RATIO * peer_s, peer=peer_s, peer_name="script", ratio=peer_s / ours_s
    )
    return replace(row, goal=f"<= {MOST_RATIO:g} x the script's")


def rows(medians: dict[str, tuple[float, float]]) -> list[Row]:
    """The rows with wall time and the driver's CPU time, for both kinds of trials."""
    table = []
    for kind in TRIALS:
        for n, (case, unit, limit) in enumerate(
            ((f"a trial that {kind}", "s", MOST_WALL_S), (f"the driver, for one that {kind}", "CPU-s", MOST_DRIVER_S))
        ):
            our_figure, peer_figure = medians[f"{kind}, ours"][n], medians[f"{kind}, peer"][n]
            table.append(
                measured.at_most(
                    case, unit, our_figure, limit, peer=peer_figure, peer_name="stock", ratio=peer_figure / our_figure
                )
            )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    parser = measured.parser(__doc__)
    parser.add_argument("--trials", type=int, default=12, help="for each side in a round")
    parser.add_argument("--at-once", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="ESC-10 or ESC-50, for the first epoch")
    args = parser.parse_args(argv)
    if args.trials <= (least := WARM * args.at_once):
        parser.error(f"--trials {args.trials}: must be above {least}, which are not counted while workers start")
    os.environ |= {"RAY_ADDRESS": "local", **cluster.QUIET}
    sides: dict[str, tuple[Side, Trial]] = {
        f"{kind}, {name}": (side, trial)
        for kind, trial in TRIALS.items()
        for name, side in (("ours", ours), ("peer", peer))
    }
    with tempfile.TemporaryDirectory(prefix="events-") as folder:
        root = args.data_root or Path(folder) / "events"
        if not root.exists():
            write_esc50(root, num_per_class=40, num_classes=10)
        pairs = [first_epoch(root.resolve()) for _ in range(args.rounds)]
    measured.show([first_row(pairs), *rows(measure(sides, args.trials, args.at_once, args.rounds))], args)


if __name__ == "__main__":
    main()
