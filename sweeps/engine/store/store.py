"""MLflow, and the only file that loads it: a parent run for a sweep, a nested run for a trial, one process that writes.

A trial has one run however often it is cut off: the next attempt takes up the run that the last one left unfinished, so
that a key never has two.
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

# A dead server costs a call 247 s with MLflow's own settings (7 retries of 120 s), and the sweep would wait for it.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
for _name, _value in {**PATIENCE, "MLFLOW_DISABLE_TELEMETRY": "true"}.items():
    os.environ.setdefault(_name, _value)

SWEEP_TAGS = ("data_sha256", "sweep_sha256", *COMMIT_TAGS, "storage")  # of a trial's tags, those of its sweep
NUMBERS_AT_ONCE = 1000  # of a write, after which MLflow begins another, though it were within an epoch
DIGEST = 12  # of the data's hash, digits that MLflow shows beside a corpus
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # a run that somebody has deleted meanwhile

Method = TypeVar("Method", bound=Callable[..., Any])


def _named(method: Method) -> Method:
    """Turns whatever MLflow, SQLAlchemy or the network raise into one error that names the store and the remedy."""

    @functools.wraps(method)
    def call(self: Store, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except StoreError:
            raise
        except Exception as error:
            what = f"--store {self.uri}: cannot be written ({_first_line(error)})"
            kind = Refused if getattr(error, "error_code", "") in REFUSALS else StoreError
            check(self.uri)  # whose error has another remedy
            raise kind(f"{what}; fix it and start again, nothing is lost") from error

    return cast(Method, call)


class Store:
    """A store opened for writing. One process at a time."""

    def __init__(self, uri: str) -> None:
        """Opens the store, and makes a local one that does not exist yet.

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
        except Exception as error:  # whatever MLflow, SQLAlchemy or the network raise, the user fixes the same thing
            check(uri)  # whose error has another remedy
            raise StoreError(f"--store {uri}: cannot be opened ({_first_line(error)})") from error
        self._logged: dict[str, set[int]] = {}  # epochs that a run's curves already have

    @_named
    def open_sweep(self, name: str, variant: str, tags: Mapping[str, str]) -> str:
        """The parent run of a sweep with these settings, running from now on.

        Args:
            variant: the settings that differ from the study's file; empty when none does.
        """
        with _alone(self._local):
            experiment = self._experiment(name)
        title = f"{name} {variant}".strip()[:LONGEST_NAME]
        sha256 = _sweep_sha256(name, variant, tags)
        known = {"sweep": name, "role": "sweep", "variant": fitted(variant), **tags, "sweep_sha256": sha256}
        run_id, _ = self._sweep_run(name, sha256)
        if run_id:
            self._set_tags(run_id, known)
            self._client.update_run(run_id, status="RUNNING")
        else:  # with its tags: should this be the last write, reconciling must know whose it is
            run_id = self._client.create_run(experiment, run_name=title, tags=known).info.run_id
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
        """The run of a trial that starts now: `earlier`, which an attempt left unfinished, or a new one.

        Args:
            resumes: whether the trial goes on from what that attempt trained; then the code that it began with stays.
        """
        from mlflow.entities import Param

        if earlier:
            run_id = earlier.run_id
            self._client.update_run(run_id, status="RUNNING", name=name)
            self._client.set_tag(run_id, "mlflow.parentRunId", parent)
            if "failure" in earlier.tags:
                self._client.delete_tag(run_id, "failure")
            self._logged.pop(run_id, None)
        else:
            experiment = self._client.get_run(parent).info.experiment_id
            run_id = self._client.create_run(
                experiment,
                run_name=name,
                tags={"mlflow.parentRunId": parent, **{k: fitted(v) for k, v in tags.items()}},
            ).info.run_id
            faults.reach("run is opened")
            self._logged[run_id] = set()
        params = [Param(k, fitted(str(v))) for k, v in config.items()]
        self._client.log_batch(run_id, params=params)  # again: a kill lost them
        first = {k: v for k, v in earlier.tags.items() if k in CODE_TAGS} if earlier and resumes else {}
        resumed = {f"{k}_resumed": tags[k] for k in first if k in tags and tags[k] != first[k]}
        self._set_tags(run_id, {**tags, **first, **resumed})
        self._log_data(run_id, config, tags)
        return run_id

    @_named
    def log_epoch(self, run_id: str, *rows: Mapping[str, float]) -> None:
        """Epochs' numbers as points of the run's curves, those that it lacks; 100 at once take 1/12 of the CPU."""
        from mlflow.entities import Metric

        if run_id not in self._logged:  # an earlier attempt's run, or a write failed, which may have arrived
            curve = self._client.get_metric_history(run_id, "val_loss")
            self._logged[run_id] = {point.step for point in curve}
        first = {int(row["epoch"]): row for row in reversed(rows)}  # of two reports of an epoch
        new, size = sorted(first.keys() - self._logged[run_id]), NUMBERS_AT_ONCE // max(map(len, rows), default=1)
        for steps in (new[start : start + size] for start in range(0, len(new), size)):
            known, now_s = self._logged.pop(run_id), time.time()
            points = [
                Metric(name, value, int(1000 * first[step].get("ended_unix_s", now_s)), step)
                for step in steps
                for name, value in first[step].items()
                if name not in ("epoch", "ended_unix_s")  # which are the point's place
            ]
            self._client.log_batch(run_id, metrics=points)
            self._logged[run_id] = known.union(steps)
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
        """Scores and artefacts, and only then FINISHED.

        Args:
            say: told of what is only for looking at and could not be kept.
        """
        from mlflow.entities import Metric

        for path in artefacts:
            if path.name in FOR_LOOKING:
                tried(partial(self._client.log_artifact, run_id, str(path)), f"{path} is not in the store", say)
            else:
                self._client.log_artifact(run_id, str(path))
        faults.reach("artefacts are in the store")
        now = int(time.time() * 1000)  # at step 0, which the UI draws as bars
        self._client.log_batch(run_id, metrics=[Metric(k, v, now, 0) for k, v in scores.items()])
        self._set_tags(run_id, tags)
        faults.reach("scores are in the store")
        self._client.set_terminated(run_id, "FINISHED")
        faults.reach("run is finished")

    def show(self, record: Record, artefacts: list[Path], earlier: Run | None, say: Say = print) -> None:
        """Writes the run of a committed trial whole: `earlier`, which an attempt left unfinished, or a new one."""
        name, variant = record.tags["sweep"], record.tags.get("variant", "")
        sweep = {n: record.tags[n] for n in SWEEP_TAGS if n in record.tags}
        parent, status = self._sweep_run(name, _sweep_sha256(name, variant, sweep))
        trial = TrialConfig.of(record.config)
        if not parent:
            parent = self.open_sweep(name, variant, sweep)
            self.introduce(parent, {}, pages.experiment_tags(pages.sweep_of(name, trial)))
        title = run_name(trial)
        run_id = self.begin(parent, title, record.config, {"key": record.key, "role": "trial", **record.tags}, earlier)
        self.log_epoch(run_id, *record.history)
        self.finish(run_id, record.scores, {**record.provenance, "record": record.sha256}, artefacts, say)
        self.end(parent, "KILLED" if status == "RUNNING" else status)

    @_named
    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """Ends a run that did not finish: FAILED, or KILLED when it was cut off; also ends a sweep's run."""
        if reason:
            self._client.set_tag(run_id, "failure", reason[-5000:])
        self._client.set_terminated(run_id, status)

    @_named
    def attach(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Adds an artefact, in a folder of the run's if one is named."""
        self._client.log_artifact(run_id, str(path), folder)

    @_named
    def introduce(self, run_id: str, settings: Mapping[str, Any], experiment_tags: Mapping[str, str]) -> None:
        """Gives a sweep's run the settings of all its trials as params, and its experiment what MLflow's pages read."""
        from mlflow.entities import Param

        run = self._client.get_run(run_id)
        words, known = {name: str(value) for name, value in settings.items()}, run.data.params
        self._client.log_batch(run_id, params=[Param(n, word) for n, word in words.items() if n not in known])
        if stale := sorted(
            name for name, word in known.items() if words.get(name) != word
        ):  # MLflow never changes a param
            self._client.set_tag(run_id, "params_of_earlier_trials", ", ".join(stale))
        for name, value in experiment_tags.items():
            self._client.set_experiment_tag(run.info.experiment_id, name, value)

    @_named
    def summarise(self, run_id: str, numbers: Mapping[str, float], table: tuple[str, str]) -> None:
        """Gives a sweep's run its numbers, and a table of its trials: a name and what the file holds."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in numbers.items()])
        self._client.log_text(run_id, table[1], table[0])

    def _sweep_run(self, name: str, sha256: str) -> tuple[str, str]:
        """The run of a sweep with these settings on these data, and its status; "" and KILLED if there is none."""
        wanted = f"tags.role = 'sweep' AND tags.sweep_sha256 = '{sha256}'"
        for run in self._client.search_runs([self._experiment(name)], wanted, max_results=1):
            return run.info.run_id, run.info.status
        return "", "KILLED"

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found and found.lifecycle_stage == "deleted":
            remedy = "restore it, or remove it for good with `mlflow gc`"
            raise StoreError(f"--store {self.uri}: experiment {name} was deleted; {remedy}")
        if found:
            return str(found.experiment_id)
        place = (self._local.parent / "artifacts" / name).as_uri() if self._local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # how the list of experiments names it
        return str(self._client.create_experiment(name, artifact_location=place, tags=kind))

    def _log_data(self, run_id: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Says which corpus a trial is given, by its digest, and how it is split."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if "data_sha256" not in tags or "corpus" not in config:  # nothing was read of it
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
    """Where an artefact of a run is on this machine; fetched from a server if it must be.

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
    from mlflow.artifacts import download_artifacts  # which alone knows its servers' artefacts

    try:
        return Path(download_artifacts(f"{run.artifact_uri}/{name}", tracking_uri=run.store or None))
    except Exception as error:
        raise StoreError(f"{run.artifact_uri}/{name}: cannot be fetched ({_first_line(error)})") from error


@contextmanager
def _alone(database: Path | None) -> Iterator[None]:
    """One process at a time makes a local store's tables and experiments: of 32 at once, 31 failed in MLflow."""
    with open(database.with_name(f".{database.name}.lock") if database else os.devnull, "w") as lock:  # noqa: PTH123
        with suppress(OSError):  # a disk without locks
            fcntl.flock(lock, fcntl.LOCK_EX if database else fcntl.LOCK_SH)
        yield


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
