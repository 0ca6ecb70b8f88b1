"""Reads runs from the store without loading MLflow (three seconds), so that a plan answers at once.

A local SQLite store is read with the standard library, a server through MLflow's REST interface.
`tests/sweeps/test_runs.py` compares the former with MLflow's own client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import sqlite3
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from datasets.engine.refusal import Refusal

PAGE = 1000  # runs in one answer of a server
TIMEOUT_S = 15


# Errors of SQLite that do not mean that the file is damaged.
NO_DAMAGE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}

# The tables of MLflow 3.17; a NaN is stored as 0 with a flag.
QUERIES = {
    "tags": "SELECT run_uuid, key, value FROM tags",
    "params": "SELECT run_uuid, key, value FROM params",
    "metrics": "SELECT run_uuid, key, CASE is_nan WHEN 1 THEN 'nan' ELSE value END FROM latest_metrics",
}
CURVES = """
    SELECT run_uuid, key, step, CASE is_nan WHEN 1 THEN 'nan' ELSE value END FROM metrics
    WHERE key IN ({}) ORDER BY timestamp DESC
"""
ACTIVE_RUNS = """
    SELECT r.run_uuid, e.name, r.name, r.status, r.artifact_uri, r.start_time, r.end_time
    FROM runs r JOIN experiments e USING (experiment_id)
    WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' ORDER BY r.start_time
"""

DELETED = """
    SELECT t.value FROM tags t JOIN runs r USING (run_uuid) JOIN experiments e USING (experiment_id)
    WHERE t.key = 'record' AND r.lifecycle_stage = 'deleted' AND e.lifecycle_stage = 'active'
"""


Row = dict[str, float]
LONGEST = 5_000  # characters of a tag or a param; MLflow truncates a tag after 8,000 and a param after 6,000
LONGEST_NAME = 250  # characters of a run's name


def fitted(text: str) -> str:
    """A value as the store holds it: a long one ends with its hash, so that values that begin alike stay distinct."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 100]}... sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def sweep_sha256(name: str, variant: str, data_sha256: str) -> str:
    """The hash that tells a sweep's run from those with other settings or data, however long these are."""
    return hashlib.sha256(json.dumps([name, variant, data_sha256]).encode()).hexdigest()


class StoreError(Refusal, RuntimeError):
    """A store that cannot be read or written; the message names it and the remedy."""


class Refused(StoreError):
    """A write that the store has understood and will never accept."""


@dataclass(frozen=True)
class Run:
    """One MLflow run of a trial, or of a sweep, which has no key.

    `params` hold the `TrialConfig`, `metrics` the last value of each metric, `tags` the provenance; `artifact_uri` is
    the folder of `config.json`, `predictions.npz` and `confusion.png`.
    """

    run_id: str
    experiment: str
    name: str
    status: str  # RUNNING, FINISHED, FAILED or KILLED
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifact_uri: str
    store: str = ""  # the store that the run was read from
    took_s: float = 0.0  # from its start to its end, with pauses if it was cut off; 0 if it has not ended
    ended_unix_s: float = 0.0  # when it ended; 0 if it has not

    @property
    def key(self) -> str:
        """The `TrialConfig.key` of the trial."""
        return self.tags["key"]


def read_runs(store_uri: str) -> list[Run]:
    """Every run of a trial in the store, of any status, oldest first; empty if the store does not exist yet.

    Raises:
        StoreError: if the store cannot be read.
    """
    return [run for run in read_all(store_uri) if "key" in run.tags]


def read_all(store_uri: str) -> list[Run]:
    """Every run of a trial or a sweep in the store, of any status, oldest first; empty if there is no store yet.

    Raises:
        StoreError: if the store cannot be read.
    """
    if store_uri.startswith(("http://", "https://")):
        return _read_server(store_uri.rstrip("/"))
    if store_uri.startswith("sqlite:///"):
        return _read_sqlite(sqlite_path(store_uri))
    raise StoreError(
        f"--store {store_uri}: write sqlite:////absolute/path.db, or the http(s) address of an MLflow server"
    )


def read_curves(store_uri: str, run_ids: Collection[str], names: Sequence[str]) -> dict[str, list[Row]]:
    """The epochs of some runs, in order: each has the number `epoch`, and those of the named metrics that it has.

    Args:
        store_uri: the store.
        run_ids: the runs; one that has no epoch is left out.
        names: the metrics, such as train_loss.

    Raises:
        StoreError: if the store cannot be read.
    """
    curves: dict[str, dict[int, Row]] = defaultdict(dict)
    points = _points(store_uri, run_ids, names)
    for run_id, name, epoch, value in points:
        if run_id in run_ids and epoch > 0:  # a trial's final scores are at step 0
            curves[run_id].setdefault(epoch, {"epoch": epoch})[name] = value
    return {run_id: [rows[epoch] for epoch in sorted(rows)] for run_id, rows in curves.items()}


def _points(store_uri: str, run_ids: Collection[str], names: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Run, metric, epoch and value of every point of the curves, the latest report first: the first report counts."""
    if not store_uri.startswith(("http://", "https://")):
        path = sqlite_path(store_uri)
        if _is_new(path) or not names:
            return []
        listed = ", ".join(f"'{name}'" for name in names if re.fullmatch(r"\w+", name))
        (points,) = _query(path, CURVES.format(listed))
        return [(run_id, name, epoch, float(value)) for run_id, name, epoch, value in points]
    uri = store_uri.rstrip("/")
    answers = [
        (run_id, name, _asked(uri, f"metrics/get-history?{urlencode({'run_id': run_id, 'metric_key': name})}"))
        for run_id in run_ids
        for name in names
    ]
    return [
        (run_id, name, int(point.get("step", 0)), float(point.get("value", math.nan)))
        for run_id, name, answer in answers
        for point in sorted(answer.get("metrics", []), key=lambda point: -int(point["timestamp"]))
    ]


def deleted_records(store_uri: str) -> set[str]:
    """The SHA-256 of every record whose run has been deleted from the store.

    Raises:
        StoreError: if the store cannot be read.
    """
    if store_uri.startswith(("http://", "https://")):
        return {r.tags["record"] for r in _read_server(store_uri.rstrip("/"), "DELETED_ONLY") if "record" in r.tags}
    path = sqlite_path(store_uri)
    if _is_new(path):
        return set()
    return {sha for (sha,) in _query(path, DELETED)[0]}


def experiment_id(store_uri: str, name: str) -> str:
    """The number of a sweep on the store's pages; empty if the store has no sweep of that name.

    Raises:
        StoreError: if the store cannot be read.
    """
    if store_uri.startswith(("http://", "https://")):
        numbers = [(e["name"], e["experiment_id"]) for e in _pages(store_uri.rstrip("/"), "experiments", {})]
    elif (path := sqlite_path(store_uri)).exists():
        numbers = _query(path, "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'")[0]
    else:
        numbers = []
    return str(dict(numbers).get(name, ""))


def sqlite_path(store_uri: str) -> Path:
    """The file of a local store."""
    path = store_uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(unquote(path)).resolve()  # without its query and decoded, as in SQLAlchemy


def check(store_uri: str) -> None:
    """Refuses a local store whose file is damaged, even in parts that no query has read.

    Raises:
        StoreError: with the remedy, which is to move the file away.
    """
    if not store_uri.startswith("sqlite:///") or _is_new(path := sqlite_path(store_uri)):
        return
    _read_sqlite(path)
    ((answer,), *_) = _query(path, "PRAGMA quick_check(1)")[0]
    if answer != "ok":
        raise StoreError(f"--store {path}: is damaged ({answer}); {_rebuilt(path)}")


def _rebuilt(path: Path) -> str:
    return (
        f"it only shows what trials have committed: move {path} away, with all files beside it whose names begin with "
        f"{path.name}, and the next start writes the runs again from the records in --storage"
    )


def _is_new(path: Path) -> bool:
    """Whether there is no store yet; a kill may have left an empty file."""
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def _read_sqlite(path: Path) -> list[Run]:
    if _is_new(path):
        return []
    try:
        return _runs_of(*_query(path, *QUERIES.values(), ACTIVE_RUNS))
    except (ValueError, TypeError) as error:  # damaged bytes have turned a number into text, or the reverse
        raise StoreError(f"--store {path}: is damaged ({error}); {_rebuilt(path)}") from None


def _runs_of(*answers: list[Any]) -> list[Run]:
    tables: dict[str, dict[str, dict[str, str]]] = {name: defaultdict(dict) for name in QUERIES}
    for name, rows in zip(QUERIES, answers[:-1], strict=True):
        for run_id, key, value in rows:
            if name != "metrics" and not isinstance(value, str):
                raise TypeError(f"{name} {key!r} of run {run_id!r} is not text")
            tables[name][run_id][key] = value
    return [
        Run(
            run_id=run_id,
            experiment=experiment,
            name=name,
            status=status,
            params=tables["params"][run_id],
            metrics={k: float(v) for k, v in tables["metrics"][run_id].items()},
            tags=tables["tags"][run_id],
            artifact_uri=uri,
            took_s=_seconds(began, ended),
            ended_unix_s=(ended or 0) / 1000,
        )
        for run_id, experiment, name, status, uri, began, ended in answers[-1]
    ]


def _seconds(began_ms: int | None, ended_ms: int | None) -> float:
    return max(0.0, (ended_ms - began_ms) / 1000) if began_ms and ended_ms else 0.0


def _query(path: Path, *queries: str) -> list[list[Any]]:
    """The rows of each query, all from the same moment, because a sweep may be writing."""
    try:
        # Not mode=ro: a driver that was killed while it wrote leaves a journal, which the next reader must roll back.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=TIMEOUT_S)) as database:
            database.execute("BEGIN")
            return [database.execute(query).fetchall() for query in queries]
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in NO_DAMAGE:
            raise StoreError(f"--store {path}: cannot be read ({error})") from None
        raise StoreError(f"--store {path}: is damaged, or not an MLflow store ({error}); {_rebuilt(path)}") from None


def _read_server(uri: str, view: str = "ACTIVE_ONLY") -> list[Run]:
    experiments = {e["experiment_id"]: e["name"] for e in _pages(uri, "experiments", {})}
    query = {"experiment_ids": list(experiments), "run_view_type": view, "order_by": ["attributes.start_time ASC"]}
    items = _pages(uri, "runs", query) if experiments else []
    runs = []
    for item in items:
        info, data = item["info"], item["data"]
        tags = {t["key"]: t["value"] for t in data.get("tags", [])}
        runs.append(
            Run(
                run_id=info["run_id"],
                experiment=experiments[info["experiment_id"]],
                name=info.get("run_name", ""),
                status=info["status"],
                params={p["key"]: p["value"] for p in data.get("params", [])},
                metrics={m["key"]: float(m.get("value", math.nan)) for m in data.get("metrics", [])},
                tags=tags,
                artifact_uri=info["artifact_uri"],
                store=uri,
                took_s=_seconds(info.get("start_time"), info.get("end_time")),
                ended_unix_s=(info.get("end_time") or 0) / 1000,
            )
        )
    return runs


def _login() -> dict[str, str]:
    """The credentials of the environment, read as in MLflow's own client; no address and no message contains them."""
    name, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if name and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _asked(uri: str, question: str, body: bytes | None = None) -> dict[str, Any]:
    """A server's answer to one question of MLflow's REST interface."""
    request = urllib.request.Request(  # noqa: S310 - http and https only, by those who call
        f"{uri}/api/2.0/mlflow/{question}", data=body, headers={"Content-Type": "application/json", **_login()}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            page: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise StoreError(f"--store {uri}: no MLflow server answers there ({error})") from None
    return page


def _pages(uri: str, kind: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    items, token = [], ""
    while True:
        body = json.dumps({**query, "max_results": PAGE, **({"page_token": token} if token else {})}).encode()
        page = _asked(uri, f"{kind}/search", body)
        items += page.get(kind, [])
        token = page.get("next_page_token", "")
        if not token:
            return items
