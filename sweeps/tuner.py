"""Ray Tune, and the only file that loads it: runs planned trials on the cluster, and says what happens.

Tune's own state is disposable. What is to run comes from the plan and the store, and a trial resumes from its own
checkpoints, because a restored experiment was measured to run finished trials again (2 of 12 after one kill).
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweeps import cluster
from sweeps.failures import HOPELESS, MAX_RETRIES, Failures, kind_of
from trainable.config import TrialConfig
from trainable.place import NO_ROOM, Place

LOOK_S = 5.0  # between two looks at whether Ray is still there
STACKS = "stacks.txt"  # where a worker that hangs writes where it stands, in the trial's folder


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
    """Runs every job, in order, as many at once as there is room for; returns when each has ended.

    Raises:
        LostCluster: if Ray itself dies.
    """
    cluster.join()
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the listener says what failed
    resources, room = cluster.shares()
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
        with _named_error():
            tuner.fit()
    finally:
        cluster.leave()
        shutil.rmtree(storage / "tune" / folder, ignore_errors=True)


@contextmanager
def _named_error() -> Iterator[None]:
    """Tune wraps what is raised in its loop."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, cluster.LostCluster):
            raise error.__cause__ from None
        raise


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
            self.looked = time.monotonic()

        def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
            if time.monotonic() - self.looked > LOOK_S:
                cluster.check_alive()
                self.looked = time.monotonic()

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
