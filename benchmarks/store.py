"""Measures reading a store of 10,000 runs for a table and writing a run's curves to it, beside MLflow's own client.

    python -m benchmarks.store [--runs 10000] [--epochs 100] [--rounds 3] [--written 5] [--json FILE]

The store is a SQLite file with finished trials, each with its settings, tags, scores and curves. Reading is the first
step of every table of `analysis/`: it returns each run with its settings, tags and last metrics, by `read_runs` of the
store and by `mlflow.search_runs` as a data frame, which must agree in every value. The later steps of a table are not
included. Curves are written epoch by epoch, and all at once, as after a delay of the store or in a repair from a
record. MLflow is imported before the clock starts. The figures are CPU times; the sides take turns, and medians over
rounds are shown. --written is the number of runs in a round.
"""

from __future__ import annotations

import itertools
import math
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import measured
from benchmarks.measured import Row
from benchmarks.scale import BASE
from sweeps.engine.store.runs import Run, read_runs
from sweeps.engine.store.store import Store

MOST_READ_S = 10.0
SCORES = ("test_accuracy", "test_recording_accuracy", "test_loss", "best_epoch", "best_val_accuracy", "best_val_loss")
HASHES = ("data_sha256", "split_sha256", "weights_sha256", "record", "code_sha256")
TAGS = ("sweep", "variant", "storage", "corpus_recordings", "corpus_clips", "git_commit", "versions", "device")
# The values in which copies differ: the id of the run everywhere, the key of its trial, and scores a millionth apart.
COPIED = {
    "runs": {"run_uuid": "printf('%032x', i)"},
    "params": {"run_uuid": "printf('%032x', i)"},
    "tags": {"run_uuid": "printf('%032x', i)", "value": "CASE key WHEN 'key' THEN printf('%012x', i) ELSE value END"},
    "latest_metrics": {"run_uuid": "printf('%032x', i)", "value": "value + i * 1e-6"},
    "metrics": {"run_uuid": "printf('%032x', i)", "value": "value + i * 1e-6"},
}


def curve(num_epochs: int) -> list[dict[str, float]]:
    """The rows that a trial reports, one for each epoch."""
    return [
        {"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 1 - 1 / (1 + n), "epoch_s": 2.5}
        for n in range(1, num_epochs + 1)
    ]


def begin(store: Store, parent: str, number: int) -> str:
    """Begins a run with the settings and tags of a trial; returns its id."""
    trial = replace(BASE, seed=number)
    tags = {"key": trial.key, "role": "trial", **dict.fromkeys(HASHES, "0" * 64), **dict.fromkeys(TAGS, "a few words")}
    return store.begin(parent, "cnn14-8k@2k s1", trial.to_dict(), tags, None)


def filled(folder: Path, num_runs: int, num_epochs: int) -> Store:
    """Makes a store of finished runs: the first by the store's own writer, the others as copies of its rows."""
    path = folder / "mlflow.db"
    store = Store(f"sqlite:///{path}")
    first = begin(store, store.open_sweep("store", "", {}), 1)
    store.log_epoch(first, *curve(num_epochs))
    store.finish(first, dict.fromkeys(SCORES, 0.5), {}, [])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        for table, changed in COPIED.items():
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
            database.execute(
                "WITH RECURSIVE copy(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copy WHERE i < ?) "  # noqa: S608
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(changed.get(c, c) for c in columns)} "
                f"FROM {table}, copy WHERE run_uuid = ? AND i < ?",
                (num_runs, first, num_runs),
            )
    return store


def searched(uri: str) -> Any:
    """The runs of the trials as MLflow's data frame."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    return mlflow.search_runs(experiment_names=["store"], filter_string="tags.role = 'trial'")


def differing(runs: Iterable[Run], frame: Any) -> list[str]:
    """The ids of the runs for which the two differ in any setting, tag or metric, or in the status."""
    mlflow_rows = {row["run_id"]: row for row in frame.to_dict("records")}
    our_runs = {run.run_id: run for run in runs}
    shared_ids = our_runs.keys() & mlflow_rows.keys()
    return sorted(our_runs.keys() ^ mlflow_rows.keys()) + sorted(
        i for i in shared_ids if _flat(our_runs[i]) != _known(mlflow_rows[i])
    )


def _flat(run: Run) -> dict[str, Any]:
    groups: dict[str, Mapping[str, Any]] = {"params": run.params, "metrics": run.metrics, "tags": run.tags}
    flat = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {"status": run.status, "artifact_uri": run.artifact_uri, **flat}


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a data frame without empty cells and without columns that our readers leave out."""
    names = (n for n in row if n in ("status", "artifact_uri") or n.startswith(("params.", "metrics.", "tags.")))
    return {n: row[n] for n in names if row[n] is not None and not (isinstance(row[n], float) and math.isnan(row[n]))}


def cpu_s(sides: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, float]:
    """Median CPU seconds of each side; they take turns."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(num_rounds):
        for name, work in sides.items():
            began = time.process_time()
            work()
            spent[name].append(time.process_time() - began)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def writers(store: Store, num_runs: int, num_epochs: int) -> dict[str, Callable[[], list[str]]]:
    """Functions that write the curves of `num_runs` runs in different ways, and return the ids of the runs."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client, epochs = MlflowClient(store.uri), curve(num_epochs)
    parent, seeds = store.open_sweep("store", "", {}), itertools.count(2)

    def written(write: Callable[[str], object]) -> list[str]:
        ids = [begin(store, parent, next(seeds)) for _ in range(num_runs)]
        for run_id in ids:
            write(run_id)
        return ids

    def by_epoch(run_id: str) -> None:
        for row in epochs:
            store.log_epoch(run_id, row)

    def by_mlflow(run_id: str) -> None:
        for row in epochs:
            time_ms = int(time.time() * 1000)
            points = [Metric(name, value, time_ms, int(row["epoch"])) for name, value in row.items() if name != "epoch"]
            client.log_batch(run_id, metrics=points)

    return {
        "as they come": lambda: written(by_epoch),
        "all at once": lambda: written(lambda run_id: store.log_epoch(run_id, *epochs)),
        "mlflow": lambda: written(by_mlflow),
        "begin": lambda: written(lambda _: None),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    parser = measured.parser(__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--written", type=int, default=5)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        store = filled(Path(folder), args.runs, args.epochs)
        if differing_ids := differing(read_runs(store.uri), searched(store.uri)):
            raise SystemExit(
                f"{len(differing_ids)} of {args.runs} runs are read differently, {differing_ids[0]} among them"
            )
        sides = {"ours": lambda: read_runs(store.uri), "mlflow": lambda: searched(store.uri)}
        read = cpu_s(sides, args.rounds)
        written = cpu_s(writers(store, args.written, args.epochs), args.rounds)
    peer = {"peer": read["mlflow"], "peer_name": "mlflow.search_runs", "ratio": read["mlflow"] / read["ours"]}
    case = f"{args.runs:,} runs of {args.epochs} epochs, read for a table"
    rows = [measured.at_most(case, "CPU-s", read["ours"], MOST_READ_S, "the same values", **peer)]
    ms = {name: 1000 * (seconds - written["begin"]) / args.written for name, seconds in written.items()}
    for way in ("as they come", "all at once"):
        case = f"{args.epochs} epochs of a run written {way}"
        rows.append(measured.against(case, "CPU-ms", ms[way], ms["mlflow"], "log_batch an epoch"))
    rows.append(Row("a run begun", "CPU-ms", 1000 * written["begin"] / args.written))
    measured.show(rows, args)


if __name__ == "__main__":
    main()
