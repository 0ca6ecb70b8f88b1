"""Runs planned trials on the cluster by Ray Tune, and reports what happens. The only file that loads Tune.

Tune's own state is disposable. The trials to run come from the plan and the store, and a trial resumes from its own
checkpoints, because a restored experiment ran finished trials again in a test (2 of 12 after one kill).
"""

from __future__ import annotations

import logging
import os
import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.engine.forecast import placement
from sweeps.engine.forecast.placement import Asked, Needs
from sweeps.engine.running import cluster
from sweeps.engine.running.failures import HOPELESS, MAX_RETRIES, kind_of
from sweeps.engine.running.own_ray import RayError
from trainable.config import TrialConfig
from trainable.device.place import STACKS, Place
from trainable.network.card import BackboneError
from trainable.weights import weights
from trainable.weights.weights import WrongWeights

if TYPE_CHECKING:
    from sweeps.engine.running.hooks import Listener


@dataclass(frozen=True)
class Job:
    """A trial to run, with the place of its files and its memory needs."""

    config: TrialConfig
    place: Place
    needs: Needs


def run(
    jobs: Iterable[Job],
    all_needs: Sequence[Needs],
    listener: Listener,
    storage: Path,
    name: str,
    asked: Asked,
    lost: Callable[[str], None],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Runs every job, in order, as many at once as there is room for; returns when each has ended.

    Args:
        all_needs: the needs of every job, in any order.
        listener: receives the events of the trials.
        storage: the folder of the results.
        lost: called in another thread if Ray itself dies, with a description; it must end this process.
        ready: called when a worker has loaded what its trial needs; the trial begins when it returns.

    Raises:
        Exception: whatever `ready` raises.
        WrongEnvironment: if a node has other versions than the driver.
    """
    shutil.rmtree(storage / "tune", ignore_errors=True)  # remains of killed drivers; this driver holds the lock
    try:
        cluster.join()
        cluster.check_nodes()
        nodes = cluster.nodes()

        def resources(needs: Needs) -> dict[str, float]:
            return placement.resources(needs, nodes, asked)

        room = placement.room([resources(needs) for needs in set(all_needs)], cluster.capacity())
        folder = storage / "tune" / f"{name}-{os.getpid()}"
        at_once = min(asked.max_concurrent or room, room)
        with cluster.watched(lost):
            tune_jobs(execute, jobs, len(all_needs), listener, folder, resources, at_once, ready)
    finally:
        cluster.leave()
        shutil.rmtree(storage / "tune", ignore_errors=True)


class Checks:
    """A worker that checks the networks from which trials start, while the workers of the trials load PyTorch.

    Args:
        trials: the trials to run.
        checkpoints: the file from which each trial starts, by key.
    """

    def __init__(self, trials: Sequence[TrialConfig], checkpoints: Mapping[str, Path | None]) -> None:
        import ray

        starts = weights.starts(trials, checkpoints)
        files = {t.key: checkpoints[t.key] for t in starts}
        task = ray.remote(num_cpus=0, scheduling_strategy=cluster.here())(_check)  # the checkpoints are on this machine
        self._answers = [task.remote(starts, files)]

    def raise_known(self, wait_s: float | None = 0.0) -> None:
        """Raises the problem that has been found, if any.

        Args:
            wait_s: how long to wait for an answer; None for ever.

        Raises:
            BackboneError: if a network does not exist, or cannot take the clips.
            WrongWeights: if a checkpoint is damaged, or of another network or front end.
            RayError: if the worker is lost.
        """
        import ray

        ready, self._answers = ray.wait(self._answers, timeout=wait_s) if self._answers else ([], [])
        try:
            problem = ray.get(ready[0]) if ready else None
        except ray.exceptions.RayError as error:
            looks = (cluster.loss() for _ in range(20))  # two seconds, because the loss may be known before its cause
            reason = next(filter(None, looks), "") or (str(error).strip().splitlines() or ["no reason is known"])[-1]
            raise RayError(f"the worker that checks the networks was lost ({reason}); start again") from None
        if problem:
            raise problem


def _check(trials: Sequence[TrialConfig], checkpoints: Mapping[str, Path | None]) -> Exception | None:
    """The task of a check: returns the problem as a value, because Ray would add its stack to a raised one."""
    from trainable.network.networks import check_starts

    try:
        check_starts(trials, checkpoints)
    except (BackboneError, WrongWeights) as error:
        return error
    return None


def tune_jobs(
    trainable: Callable[[dict[str, Any]], None],
    jobs: Iterable[Job],
    num_jobs: int,
    listener: Listener,
    folder: Path,
    resources: Callable[[Needs], dict[str, float]],
    max_concurrent: int,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Runs jobs on a cluster that is already joined, with any function in the workers.

    Args:
        folder: a folder in which Tune may write while it runs.
        resources: maps a job's needs to Ray's resources.
        ready: called when a worker has loaded what its trial needs; the trial begins when it returns.
    """
    from ray import tune

    from sweeps.engine.running import hooks  # loads Ray, which `cluster.join` has quietened

    def bundles(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([resources(config["needs"])])

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the listener reports failures
    tuner = tune.Tuner(
        tune.with_resources(trainable, bundles),
        tune_config=tune.TuneConfig(
            search_alg=hooks.InOrder({"trial": j.config, "place": j.place, "needs": j.needs} for j in jobs),
            scheduler=hooks.AsProposed(),
            num_samples=num_jobs,
            max_concurrent_trials=max_concurrent,
            reuse_actors=True,  # a warm worker has torch loaded: 0.3 s per trial instead of 1.4 s
            trial_name_creator=hooks.name_of,
            trial_dirname_creator=hooks.key_of,
        ),
        run_config=_run_config(folder, hooks.Told(listener, ready)),
    )
    with _named_error():
        tuner.fit()


def _run_config(folder: Path, callback: Any) -> Any:
    from ray import tune

    return tune.RunConfig(
        name=folder.name,
        storage_path=str(folder.parent),
        verbose=0,
        callbacks=[callback],
        failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
    )


@contextmanager
def _named_error() -> Iterator[None]:
    """Unwraps our errors, which Tune wraps when they are raised in its loop."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, RayError | BackboneError | WrongWeights):
            raise error.__cause__ from None
        raise


def execute(config: dict[str, Any]) -> None:
    """The Ray trainable: runs one trial in a worker.

    A trial that fails reports why. Unless trying again is hopeless, it then fails for Ray too, which tries again in a
    new process, because the device of this one may be broken.
    """
    import ray
    from ray import tune

    from sweeps.engine.running import node
    from trainable import trial  # noqa: F401 - loads PyTorch
    from trainable.device import memory
    from trainable.device.watchdog import watch

    place = config["place"]
    tags = {**place.tags, "node_id": cluster.node_id()}
    place = replace(place, tags=tags, num_devices=max(1, len(ray.get_gpu_ids())))  # its GPUs share every batch
    try:
        cluster.check_this_node()
        tune.report({"event": "ready"})
        with watch(place.hang_s, place.folder / STACKS):
            node.run(
                config["trial"],
                place,
                lambda row: tune.report({"event": "epoch", "row": row}),
                lambda line: tune.report({"event": "note", "line": line}),
            )
    except Exception:
        reason = traceback.format_exc()
        if kind_of(reason) == "memory":
            node.no_room(place)
        tune.report({"event": "failed", "reason": reason})
        if kind_of(reason) not in HOPELESS:
            raise
    else:
        tune.report({"event": "finished"})
    finally:
        memory.give_back()  # the next trial of this process may be a smaller one
