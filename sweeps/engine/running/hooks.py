"""The hooks into Tune: it is given the planned trials in order, and its events are passed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from sweeps.engine.running.failures import Failures
from trainable.config import TrialConfig
from trainable.device.place import STACKS


class Listener(Protocol):
    """The driver's reactions to the events of trials."""

    def started(self, key: str) -> None: ...
    def epoch(self, key: str, row: dict[str, float]) -> None: ...
    def finished(self, key: str, node: str) -> None: ...
    def failed(self, key: str, reason: str) -> None: ...
    def stop(self, reason: str) -> None: ...
    def note(self, line: str) -> None: ...


def name_of(trial: Any) -> str:
    """The name of a new trial of Tune's: its key."""
    config: TrialConfig = trial.config["trial"]
    return config.key


def key_of(trial: Any) -> str:
    """The key of one of Tune's trials, without checking its config again at each event."""
    return str(trial.custom_trial_name)


class _Unstored:
    """A part of Tune that is stored without its state, because nobody restores it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class InOrder(_Unstored, Searcher):
    """Proposes the planned configs one after another; a grid needs no search."""

    def __init__(self, proposals: Iterator[dict[str, Any]]) -> None:
        super().__init__()
        self.proposals = proposals

    def suggest(self, trial_id: str) -> Any:
        """The next config; FINISHED if there is none."""
        return next(self.proposals, Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Does nothing: nothing is learnt from a result."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the trials to run come from the plan and the store."""


class AsProposed(FIFOScheduler):
    """Leaves the order to the queue. Tune's own scheduler visits every ended trial twice at each step."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Chooses none, so that waiting trials start in order."""


class Told(_Unstored, Callback):
    """Passes Tune's events on, in the driver's process. A trial has failed once it is not tried again.

    Args:
        listener: receives the events.
        ready: called when a worker has loaded what its trial needs; any exception of it ends the sweep.
    """

    def __init__(self, listener: Listener, ready: Callable[[], None] = lambda: None) -> None:
        self.listener, self.failures, self.ready = listener, Failures(), ready
        self.ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Passes on the start of an attempt at a trial."""
        self.failures.starts(key_of(trial))
        self.listener.started(key_of(trial))

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        """Passes on a report of a trial: an epoch, its result, or the reason of its failure."""
        key, event = key_of(trial), result.get("event")
        if event == "ready":  # its worker waits in this report until Tune continues
            self.ready()
        elif event == "epoch":
            self.listener.epoch(key, result["row"])
        elif event == "finished":
            self.ended.add(key)
            self.failures.finished()
            self.listener.finished(key, result["node_ip"])
        elif event == "note":
            self.listener.note(result["line"])
        elif event == "failed":
            self.listener.stop(self.failures.add(key, result["reason"]))

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Handles the end of a trial."""
        self.end(trial, "the trial ended without a result")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Handles the loss of a trial's last attempt."""
        self.listener.stop(self.failures.lost(key_of(trial), _lost(trial)))
        self.end(trial, _lost(trial))

    def end(self, trial: Any, otherwise: str) -> None:
        """Closes a trial; unless it finished, it failed for the last reason that it gave."""
        if (key := key_of(trial)) not in self.ended:
            self.ended.add(key)
            self.listener.failed(key, self.failures.last(key, otherwise))
        # Tune would keep another copy of its config, with statistics of every number in it, until the last trial ends.
        trial.last_result.pop("config", None)
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()


def _lost(trial: Any) -> str:
    """The reason for the loss of a worker: the stacks that it left when it hung, or Ray's explanation."""
    stacks = trial.config["place"].folder / STACKS
    if stacks.exists() and (text := stacks.read_text(encoding="utf-8", errors="replace")):
        return f"{text}\nits worker was lost: it made no step for {trial.config['place'].hang_s:g} s (stacks above)"
    return f"its worker was lost: {trial.get_error() or 'no reason is known'}"
