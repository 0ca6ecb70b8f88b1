"""Writes to MLflow: a parent run for a sweep, a nested run for a trial, from one process. The only file that loads it.

A trial has one run however often it is cut off: the next attempt takes over the unfinished run of the last one, so that
a key never has two.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from sweeps.engine.code import CODE_TAGS, COMMIT_TAGS
from sweeps.engine.plan import run_name
from sweeps.engine.store import pages
from sweeps.engine.store.artefacts import FOR_LOOKING, Say, tried
from sweeps.engine.store.runs import LONGEST_NAME, Refused, Run, StoreError, check, fitted, sqlite_path, sweep_sha256
from trainable.config import TrialConfig
from trainable.device import faults
from trainable.result.record import Record

# With MLflow's own settings (7 retries of 120 s), a call to a dead server takes 247 s, and the sweep would wait for it.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
for _name, _value in {**PATIENCE, "MLFLOW_DISABLE_TELEMETRY": "true"}.items():
    os.environ.setdefault(_name, _value)

SWEEP_TAGS = ("data_sha256", "sweep_sha256", *COMMIT_TAGS, "storage")  # the tags that a trial shares with its sweep
NUMBERS_AT_ONCE = 1000  # of a write; beyond that MLflow begins another write, even within an epoch
DIGEST = 12  # digits of the data's hash that MLflow shows beside a corpus
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # the run has been deleted in the meantime

Method = TypeVar("Method", bound=Callable[..., Any])


def _named(method: Method) -> Method:
    """Turns any error of MLflow, SQLAlchemy or the network into one that names the store and the remedy."""

    @functools.wraps(method)
    def call(self: Store, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except StoreError:
            raise
        except Exception as error:
            problem = f"--store {self.uri}: cannot be written ({_first_line(error)})"
            kind = Refused if getattr(error, "error_code", "") in REFUSALS else StoreError
            check(self.uri)  # its error has another remedy
            raise kind(f"{problem}; fix it and start again, nothing is lost") from error

    return cast(Method, call)


class Store:
    """A store opened for writing, by one process at a time."""

    def __init__(self, uri: str) -> None:
        """Opens the store; a local one is made if it does not exist yet.

        Raises:
            StoreError: if it cannot be reached or written.
        """
        import logging

        from mlflow import MlflowClient  # here, so that help and bad flags do not wait for it

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # "Creating initial MLflow database tables..."
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.uri = uri
        self._local = sqlite_path(uri) if uri.startswith("sqlite:///") else None
        try:
            if self._local:
                self._local.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self._local):
                self._client = MlflowClient(tracking_uri=uri)
                self._client.search_experiments(max_results=1)
        except Exception as error:  # whatever MLflow, SQLAlchemy or the network raise, the remedy is the same
            check(uri)  # its error has another remedy
            raise StoreError(f"--store {uri}: cannot be opened ({_first_line(error)})") from error
        self._logged: dict[str, set[int]] = {}  # epochs that a run's curves already have

    @_named
    def open_sweep(self, name: str, variant: str, tags: Mapping[str, str]) -> str:
        """Opens the parent run of a sweep with these settings, and marks it as running.

        Args:
            name: the name of the sweep.
            variant: the settings that differ from the study's file; empty if there are none.
            tags: the tags of the run.
        """
        with _alone(self._local):
            experiment = self._experiment(name)
        title = f"{name} {variant}".strip()[:LONGEST_NAME]
        sha256 = _sweep_sha256(name, variant, tags)
        all_tags = {"sweep": name, "role": "sweep", "variant": fitted(variant), **tags, "sweep_sha256": sha256}
        run_id, _ = self._sweep_run(name, sha256)
        if run_id:
            self._set_tags(run_id, all_tags)
            self._client.update_run(run_id, status="RUNNING")
        else:  # with its tags: if this is the last write, `reconcile` must know whose run it is
            run_id = self._client.create_run(experiment, run_name=title, tags=all_tags).info.run_id
        return run_id

    @_named
    def begin(
        self,
        parent: str,
        name: str,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        earlier: Run | None,
        resumes: bool = True,
    ) -> str:
        """Opens the run of a trial that starts now: `earlier`, the unfinished run of an attempt, or a new one.

        Args:
            parent: the run of the sweep.
            resumes: whether the trial resumes from that attempt; the tags of the code that it began with then stay.
        """
        from mlflow.entities import Param

        if earlier:
            run_id = earlier.run_id
            self._client.update_run(run_id, status="RUNNING", name=name[:LONGEST_NAME])
            self._client.set_tag(run_id, "mlflow.parentRunId", parent)
            if "failure" in earlier.tags:
                self._client.delete_tag(run_id, "failure")
            self._logged.pop(run_id, None)
        else:
            experiment = self._client.get_run(parent).info.experiment_id
            run_id = self._client.create_run(
                experiment,
                run_name=name[:LONGEST_NAME],
                tags={"mlflow.parentRunId": parent, **{k: fitted(v) for k, v in tags.items()}},
            ).info.run_id
            faults.reach("run is opened")
            self._logged[run_id] = set()
        params = [Param(k, fitted(str(v))) for k, v in config.items()]
        self._client.log_batch(run_id, params=params)  # also for an earlier run, because a kill may have lost them
        first = {k: v for k, v in earlier.tags.items() if k in CODE_TAGS} if earlier and resumes else {}
        resumed = {f"{k}_resumed": tags[k] for k in first if k in tags and tags[k] != first[k]}
        self._set_tags(run_id, {**tags, **first, **resumed})
        self._log_data(run_id, config, tags)
        return run_id

    @_named
    def log_epoch(self, run_id: str, *rows: Mapping[str, float]) -> None:
        """Adds the epochs that the run's curves lack; 100 at once take 1/12 of the CPU of single ones."""
        from mlflow.entities import Metric

        if run_id not in self._logged:  # an earlier attempt's run, or a failed write that may have arrived
            curve = self._client.get_metric_history(run_id, "val_loss")
            self._logged[run_id] = {point.step for point in curve}
        first = {int(row["epoch"]): row for row in reversed(rows)}  # the first of several reports of an epoch
        new, size = sorted(first.keys() - self._logged[run_id]), NUMBERS_AT_ONCE // max(map(len, rows), default=1)
        for steps in (new[start : start + size] for start in range(0, len(new), size)):
            logged, now_s = self._logged.pop(run_id), time.time()
            points = [
                Metric(name, value, int(1000 * first[step].get("ended_unix_s", now_s)), step)
                for step in steps
                for name, value in first[step].items()
                if name not in ("epoch", "ended_unix_s")  # these place the point on the curve
            ]
            self._client.log_batch(run_id, metrics=points)
            self._logged[run_id] = logged.union(steps)
            faults.reach("epoch is in the store")

    @_named
    def finish(
        self,
        run_id: str,
        scores: Mapping[str, float],
        tags: Mapping[str, str],
        artefacts: list[Path],
        say: Say = print,
    ) -> None:
        """Writes scores and artefacts, and only then marks the run as FINISHED.

        Args:
            run_id: the run of the trial.
            scores: its scores.
            tags: further tags.
            artefacts: its files.
            say: called with a message about a display file that could not be kept.
        """
        from mlflow.entities import Metric

        for path in artefacts:
            if path.name in FOR_LOOKING:
                tried(partial(self._client.log_artifact, run_id, str(path)), f"{path} is not in the store", say)
            else:
                self._client.log_artifact(run_id, str(path))
        faults.reach("artefacts are in the store")
        now_ms = int(time.time() * 1000)  # at step 0, so that MLflow draws bars
        self._client.log_batch(run_id, metrics=[Metric(k, v, now_ms, 0) for k, v in scores.items()])
        self._set_tags(run_id, tags)
        faults.reach("scores are in the store")
        self._client.set_terminated(run_id, "FINISHED")
        faults.reach("run is finished")

    def show(self, record: Record, artefacts: list[Path], earlier: Run | None, say: Say = print) -> None:
        """Writes the complete run of a committed trial: `earlier`, the unfinished run of an attempt, or a new one."""
        name, variant = record.tags["sweep"], record.tags.get("variant", "")
        sweep = {n: record.tags[n] for n in SWEEP_TAGS if n in record.tags}
        parent, status = self._sweep_run(name, _sweep_sha256(name, variant, sweep))
        trial = TrialConfig.of(record.config)
        if not parent:
            parent = self.open_sweep(name, variant, sweep)
            self.introduce(parent, {}, pages.experiment_tags(pages.sweep_of(name, trial)))
        title = run_name(trial, record.tags.get("cell", ""))
        run_id = self.begin(parent, title, record.config, {"key": record.key, "role": "trial", **record.tags}, earlier)
        self.log_epoch(run_id, *record.history)
        self.finish(run_id, record.scores, {**record.provenance, "record": record.sha256}, artefacts, say)
        self.end(parent, "KILLED" if status == "RUNNING" else status)

    @_named
    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """Ends a run that did not finish, as FAILED, or as KILLED if it was cut off; also ends a sweep's run."""
        if reason:
            self._client.set_tag(run_id, "failure", reason[-5000:])
        self._client.set_terminated(run_id, status)

    @_named
    def attach(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Adds an artefact to a run, in the named folder if there is one."""
        self._client.log_artifact(run_id, str(path), folder)

    @_named
    def introduce(self, run_id: str, settings: Mapping[str, Any], experiment_tags: Mapping[str, str]) -> None:
        """Adds the settings of all its trials to a sweep's run, and the tags for MLflow's pages to its experiment."""
        from mlflow.entities import Param

        run = self._client.get_run(run_id)
        words, params = {name: str(value) for name, value in settings.items()}, run.data.params
        self._client.log_batch(run_id, params=[Param(n, word) for n, word in words.items() if n not in params])
        if stale := sorted(
            name for name, word in params.items() if words.get(name) != word
        ):  # MLflow never changes a param
            self._client.set_tag(run_id, "params_of_earlier_trials", ", ".join(stale))
        for name, value in experiment_tags.items():
            self._client.set_experiment_tag(run.info.experiment_id, name, value)

    @_named
    def summarise(self, run_id: str, numbers: Mapping[str, float], table: tuple[str, str]) -> None:
        """Adds its numbers to a sweep's run, and a table of its trials, given by file name and contents."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        self._client.log_batch(run_id, metrics=[Metric(name, value, now_ms, 0) for name, value in numbers.items()])
        self._client.log_text(run_id, table[1], table[0])

    def _sweep_run(self, name: str, sha256: str) -> tuple[str, str]:
        """The run of a sweep with this hash, and its status; "" and KILLED if there is none."""
        query = f"tags.role = 'sweep' AND tags.sweep_sha256 = '{sha256}'"
        for run in self._client.search_runs([self._experiment(name)], query, max_results=1):
            return run.info.run_id, run.info.status
        return "", "KILLED"

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment and experiment.lifecycle_stage == "deleted":
            remedy = "restore it, or remove it for good with `mlflow gc`"
            raise StoreError(f"--store {self.uri}: experiment {name} was deleted; {remedy}")
        if experiment:
            return str(experiment.experiment_id)
        place = (self._local.parent / "artifacts" / name).as_uri() if self._local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # shown in the list of experiments
        return str(self._client.create_experiment(name, artifact_location=place, tags=kind))

    def _log_data(self, run_id: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Logs the corpus of a trial, with its digest and its split."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if "data_sha256" not in tags or "corpus" not in config:  # no corpus was read
            return
        source = json.dumps({"uri": tags.get("corpus_root", "")})
        clips = tags.get("corpus_clips", "")
        counted = all(word.isdecimal() for word in clips.split("/"))
        profile = {"num_rows": sum(map(int, clips.split("/"))), "clips": clips} if counted else {}
        name, digest = str(config["corpus"]), tags["data_sha256"][:DIGEST]
        data = Dataset(name, digest, "local", source, profile=json.dumps(profile))
        context = f"split by {config['split']}, {tags.get('corpus_recordings', '')} recordings"
        self._client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(k, fitted(str(v))) for k, v in tags.items()])


def _sweep_sha256(name: str, variant: str, tags: Mapping[str, str]) -> str:
    return tags.get("sweep_sha256") or sweep_sha256(name, variant, tags.get("data_sha256", ""))


def artifact_path(run: Run, name: str) -> Path:
    """The path of a run's artefact on this machine, after fetching it from a server if needed.

    Raises:
        StoreError: if the run has no such artefact.
    """
    parts = urlsplit(run.artifact_uri)
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path)) / name
        if path.exists():
            return path
        remedy = "put back its copy in --storage/trials, or delete the run"
        raise StoreError(f"run {run.run_id} ({run.key}): {path} is gone; {remedy}")
    from mlflow.artifacts import download_artifacts  # only MLflow can read its servers' artefacts

    try:
        return Path(download_artifacts(f"{run.artifact_uri}/{name}", tracking_uri=run.store or None))
    except Exception as error:
        raise StoreError(f"{run.artifact_uri}/{name}: cannot be fetched ({_first_line(error)})") from error


@contextmanager
def _alone(database: Path | None) -> Iterator[None]:
    """Lets one process at a time make a local store's tables and experiments: of 32 at once, 31 failed in MLflow."""
    with open(database.with_name(f".{database.name}.lock") if database else os.devnull, "w") as lock:  # noqa: PTH123
        with suppress(OSError):  # a disk without locks
            fcntl.flock(lock, fcntl.LOCK_EX if database else fcntl.LOCK_SH)
        yield


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
