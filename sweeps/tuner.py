"""Ray Tune, and the only file that loads it: runs planned trials on whatever cluster is there, and says what happens.

Tune's own state is disposable. What is to run comes from the plan and the store, and a trial resumes from its own
checkpoints, because a restored experiment was measured to run finished trials again (2 of 12 after one kill).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweeps.failures import HOPELESS, MAX_RETRIES, Failures, kind_of
from trainable.config import TrialConfig
from trainable.place import NO_ROOM, Place

ROOT = Path(__file__).resolve().parents[1]
# For Ray, before it is loaded: no usage report, no log files nor table of Tune's own, and our own way to stop.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
STACKS = "stacks.txt"  # where a worker that hangs writes where it stands, in the trial's folder
NOT_SHIPPED = [
    ".git",
    ".venv",
    "results",
    "docs",
    "tests",
    ".hypothesis",
    *(f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")),
]


@dataclass(frozen=True)
class Job:
    """A trial to run, and where it finds what it needs."""

    config: TrialConfig
    place: Place


class Listener(Protocol):
    """What the driver does as trials go on."""

    def started(self, key: str) -> None: ...
    def epoch(self, key: str, row: dict[str, float]) -> None: ...
    def finished(self, key: str) -> None: ...
    def failed(self, key: str, reason: str) -> None: ...
    def stop(self, reason: str) -> None: ...


def run(
    jobs: Iterable[Job], num_jobs: int, listener: Listener, storage: Path, name: str, max_concurrent: int | None
) -> None:
    """Runs every job, in order, as many at once as there is room for; returns when each has ended."""
    os.environ |= QUIET
    import ray
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the listener says what failed
    _connect(ray)
    resources, room = _shares(ray.cluster_resources())
    shutil.rmtree(storage / "tune", ignore_errors=True)  # what killed drivers left; this one holds the lock
    folder = f"{name}-{os.getpid()}"
    try:
        tuner = tune.Tuner(
            tune.with_resources(execute, resources),
            tune_config=tune.TuneConfig(
                search_alg=_in_order(jobs),
                num_samples=num_jobs,
                max_concurrent_trials=min(max_concurrent or room, room),
                reuse_actors=True,  # a warm worker has torch loaded: 0.3 s a trial against 1.4 s
                trial_name_creator=_key_of,
                trial_dirname_creator=_key_of,
            ),
            run_config=tune.RunConfig(
                name=folder,
                storage_path=str(storage / "tune"),
                verbose=0,
                callbacks=[_callback(listener)],
                failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
            ),
        )
        tuner.fit()
    finally:
        ray.shutdown()
        shutil.rmtree(storage / "tune" / folder, ignore_errors=True)


def execute(config: dict[str, Any]) -> None:
    """The Ray trainable: one trial in a worker.

    A trial that fails says why. Then it fails for Ray too, which tries again in a new process, because this one's
    device may be broken; unless trying again is hopeless.
    """
    from ray import tune

    from trainable import trial
    from trainable.watchdog import watch

    fields = dict(config)
    place = fields.pop("place")
    try:
        with watch(place.hang_s, place.folder / STACKS):
            trial.run(TrialConfig(**fields), place, lambda row: tune.report({"event": "epoch", "row": row}))
    except Exception:
        reason = traceback.format_exc()
        if kind_of(reason) == "memory":
            (place.folder / NO_ROOM).touch()  # the next attempt takes its batches in halves
        tune.report({"event": "failed", "reason": reason})
        if kind_of(reason) not in HOPELESS:
            raise
    else:
        tune.report({"event": "finished"})


def _connect(ray: Any) -> None:
    """Joins the cluster of this machine, or starts one. Workers import a snapshot of the code as it is now.

    A worker's memory comes from one arena, not from one a thread: each trial is a thread, and what the last one freed
    stayed taken (5.1 GB at the demo's peak).
    """
    environment = {"working_dir": str(ROOT), "excludes": NOT_SHIPPED, "env_vars": {"MALLOC_ARENA_MAX": "1"}}
    stop = signal.getsignal(signal.SIGTERM)
    try:
        _join(ray, environment)
    finally:
        signal.signal(signal.SIGTERM, stop)  # Ray puts its own in place, which exits with 15 and says nothing


def _join(ray: Any, environment: dict[str, Any]) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": environment}
    # On the head of a cluster its launcher has left this file. Elsewhere a Ray that runs is another sweep's, and would
    # take this one with it when it ends.
    on_head = (Path.home() / "ray_bootstrap_config.yaml").exists()
    address = os.environ.get("RAY_ADDRESS", "auto" if on_head else "local")
    here = {"include_dashboard": False} if address == "local" else {}
    ray.init(address=address, **here, **quiet)


def _shares(cluster: dict[str, float]) -> tuple[dict[str, float], int]:
    """What a trial takes of a cluster, and how many there is room for."""
    share = {"cpu": 1.0, "gpu": 1.0} if cluster.get("GPU", 0) >= 1 else {"cpu": 1.0}
    return share, max(1, int(min(cluster.get(kind.upper(), 0) / amount for kind, amount in share.items())))


def _key_of(trial: Any) -> str:
    return TrialConfig(**{n: value for n, value in trial.config.items() if n != "place"}).key


class _Unstored:
    """Tune stores its parts, and nobody restores them."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _in_order(jobs: Iterable[Job]) -> Any:
    from ray.tune.search import Searcher

    class InOrder(_Unstored, Searcher):
        """Proposes the planned trials one after another; a grid needs no search."""

        def __init__(self, proposals: Iterator[dict[str, Any]]) -> None:
            super().__init__()
            self.proposals = proposals

        def suggest(self, trial_id: str) -> Any:
            return next(self.proposals, Searcher.FINISHED)

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            """Nothing is learnt from a result."""

        def save(self, checkpoint_path: str) -> None:
            """Nothing is kept: what is to run comes from the plan and the store."""

    return InOrder({**job.config.to_dict(), "place": job.place} for job in jobs)


def _callback(listener: Listener) -> Any:
    from ray.tune import Callback

    class Told(_Unstored, Callback):
        """Hands Tune's events on, in the driver's process. A trial has failed when it is not tried again."""

        def __init__(self, listener: Listener) -> None:
            self.listener, self.failures = listener, Failures()
            self.ended: set[str] = set()

        def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            self.failures.starts(_key_of(trial))
            self.listener.started(_key_of(trial))

        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
            key, event = _key_of(trial), result.get("event")
            if event == "epoch":
                self.listener.epoch(key, result["row"])
            elif event == "finished":
                self.ended.add(key)
                self.failures.finished()
                self.listener.finished(key)
            elif event == "failed":
                self.listener.stop(self.failures.add(key, result["reason"]))

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            self.end(trial, "the trial ended without a result")

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            self.listener.stop(self.failures.lost(_key_of(trial), _lost(trial)))
            self.end(trial, _lost(trial))

        def end(self, trial: Any, otherwise: str) -> None:
            """A trial is over; unless it finished, it failed for the last reason that it gave."""
            if (key := _key_of(trial)) not in self.ended:
                self.ended.add(key)
                self.listener.failed(key, self.failures.last(key, otherwise))

    return Told(listener)


def _lost(trial: Any) -> str:
    """Why a worker was lost: what Ray knows, or the stacks that it left when it hung."""
    stacks = trial.config["place"].folder / STACKS
    if stacks.exists() and (text := stacks.read_text(encoding="utf-8", errors="replace")):
        return f"{text}\nits worker was lost: it made no step for {trial.config['place'].hang_s:g} s (stacks above)"
    return f"its worker was lost: {trial.get_error() or 'no reason is known'}"
