"""A store of 10,000 runs read for a table, and a run's curves written to it, beside MLflow's own client.

    python -m benchmarks.store [--runs 10000] [--epochs 100] [--rounds 3] [--written 5] [--json FILE]

The store is a SQLite file with as many finished trials, each with its settings, tags, scores and curves. Read is what
every table of `analysis/` begins with: each run with its settings, tags and last metrics, by `read_runs` of the store
and by `mlflow.search_runs` into a data frame; they must agree in every value. Making a table of the runs comes after
that, and is not in it. Written are curves: an epoch as it comes, and all at once, as they pile up behind a slow store
and as a run is repaired from its record. MLflow is imported before the clock starts. CPU time, sides in turn, medians
over rounds; --written is runs of a round.
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
# What a copy has of its own: the run's id everywhere, its trial's key, and scores a millionth apart.
COPIED = {
    "runs": {"run_uuid": "printf('%032x', i)"},
    "params": {"run_uuid": "printf('%032x', i)"},
    "tags": {"run_uuid": "printf('%032x', i)", "value": "CASE key WHEN 'key' THEN printf('%012x', i) ELSE value END"},
    "latest_metrics": {"run_uuid": "printf('%032x', i)", "value": "value + i * 1e-6"},
    "metrics": {"run_uuid": "printf('%032x', i)", "value": "value + i * 1e-6"},
}


def curve(num_epochs: int) -> list[dict[str, float]]:
    """The epochs of a trial, as it reports them."""
    return [
        {"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 1 - 1 / (1 + n), "epoch_s": 2.5}
        for n in range(1, num_epochs + 1)
    ]


def begin(store: Store, parent: str, number: int) -> str:
    """A run that starts now, with the settings and tags of a trial."""
    trial = replace(BASE, seed=number)
    tags = {"key": trial.key, "role": "trial", **dict.fromkeys(HASHES, "0" * 64), **dict.fromkeys(TAGS, "a few words")}
    return store.begin(parent, "cnn14-8k@2k s1", trial.to_dict(), tags, None)


def filled(folder: Path, num_runs: int, num_epochs: int) -> Store:
    """A store of so many finished runs: the first by its own writer, the others copied from its rows."""
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
    """Ids of the runs that the two do not agree on, in any setting, tag, metric or the status."""
    theirs = {row["run_id"]: row for row in frame.to_dict("records")}
    ours = {run.run_id: run for run in runs}
    both = ours.keys() & theirs.keys()
    return sorted(ours.keys() ^ theirs.keys()) + sorted(i for i in both if _flat(ours[i]) != _known(theirs[i]))


def _flat(run: Run) -> dict[str, Any]:
    groups: dict[str, Mapping[str, Any]] = {"params": run.params, "metrics": run.metrics, "tags": run.tags}
    flat = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {"status": run.status, "artifact_uri": run.artifact_uri, **flat}


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A data frame's row without its empty cells, and without what our readers leave out."""
    names = (n for n in row if n in ("status", "artifact_uri") or n.startswith(("params.", "metrics.", "tags.")))
    return {n: row[n] for n in names if row[n] is not None and not (isinstance(row[n], float) and math.isnan(row[n]))}


def cpu_s(sides: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, float]:
    """Median CPU seconds of each, in turn."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(num_rounds):
        for name, work in sides.items():
            began = time.process_time()
            work()
            spent[name].append(time.process_time() - began)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def writers(store: Store, num_runs: int, num_epochs: int) -> dict[str, Callable[[], list[str]]]:
    """Ways to write the curves of so many runs; each returns their ids."""
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
            now = int(time.time() * 1000)
            points = [Metric(name, value, now, int(row["epoch"])) for name, value in row.items() if name != "epoch"]
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
        if wrong := differing(read_runs(store.uri), searched(store.uri)):
            raise SystemExit(f"{len(wrong)} of {args.runs} runs are read differently, {wrong[0]} among them")
        sides = {"ours": lambda: read_runs(store.uri), "mlflow": lambda: searched(store.uri)}
        read = cpu_s(sides, args.rounds)
        written = cpu_s(writers(store, args.written, args.epochs), args.rounds)
    peer = {"peer": read["mlflow"], "peer_name": "mlflow.search_runs", "ratio": read["mlflow"] / read["ours"]}
    case = f"{args.runs:,} runs of {args.epochs} epochs, read for a table"
    rows = [measured.at_most(case, "CPU-s", read["ours"], MOST_READ_S, "the same values", **peer)]
    ms = {name: 1000 * (seconds - written["begin"]) / args.written for name, seconds in written.items()}
    for how in ("as they come", "all at once"):
        case = f"{args.epochs} epochs of a run written {how}"
        rows.append(measured.against(case, "CPU-ms", ms[how], ms["mlflow"], "log_batch an epoch"))
    rows.append(Row("a run begun", "CPU-ms", 1000 * written["begin"] / args.written))
    measured.show(rows, args)


if __name__ == "__main__":
    main()
