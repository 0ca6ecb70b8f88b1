"""Where Tune asks and tells: it is given the planned trials in order, and what it says of them is handed on."""

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
    """What the driver does as trials go on."""

    def started(self, key: str) -> None: ...
    def epoch(self, key: str, row: dict[str, float]) -> None: ...
    def finished(self, key: str, node: str) -> None: ...
    def failed(self, key: str, reason: str) -> None: ...
    def stop(self, reason: str) -> None: ...
    def note(self, line: str) -> None: ...


def name_of(trial: Any) -> str:
    """What a new trial of Tune's is called: its key."""
    config: TrialConfig = trial.config["trial"]
    return config.key


def key_of(trial: Any) -> str:
    """The key of one of Tune's trials, without checking its config again at each event."""
    return str(trial.custom_trial_name)


class _Unstored:
    """Tune stores its parts, and nobody restores them."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class InOrder(_Unstored, Searcher):
    """Proposes the planned configs one after another; a grid needs no search."""

    def __init__(self, proposals: Iterator[dict[str, Any]]) -> None:
        super().__init__()
        self.proposals = proposals

    def suggest(self, trial_id: str) -> Any:
        """The next config; FINISHED when there is none."""
        return next(self.proposals, Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing is learnt from a result."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept: what is to run comes from the plan and the store."""


class AsProposed(FIFOScheduler):
    """Leaves the order to the queue. Tune's own goes through every trial that has ended, twice at each step."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None in particular: those that wait start in their order."""


class Told(_Unstored, Callback):
    """Hands Tune's events on, in the driver's process. A trial has failed when it is not tried again.

    Args:
        ready: called when a worker has loaded what its trial needs; what it raises ends the sweep.
    """

    def __init__(self, listener: Listener, ready: Callable[[], None] = lambda: None) -> None:
        self.listener, self.failures, self.ready = listener, Failures(), ready
        self.ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """An attempt at a trial starts."""
        self.failures.starts(key_of(trial))
        self.listener.started(key_of(trial))

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        """A trial says something: an epoch, its result, or why it fails."""
        key, event = key_of(trial), result.get("event")
        if event == "ready":  # its worker waits in this report until Tune goes on
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
        """A trial has ended by itself."""
        self.end(trial, "the trial ended without a result")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial's last attempt was lost."""
        self.listener.stop(self.failures.lost(key_of(trial), _lost(trial)))
        self.end(trial, _lost(trial))

    def end(self, trial: Any, otherwise: str) -> None:
        """A trial is over; unless it finished, it failed for the last reason that it gave."""
        if (key := key_of(trial)) not in self.ended:
            self.ended.add(key)
            self.listener.failed(key, self.failures.last(key, otherwise))
        # Tune would keep its config once more, and statistics of every number in it, until the last trial ends.
        trial.last_result.pop("config", None)
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()


def _lost(trial: Any) -> str:
    """Why a worker was lost: what Ray knows, or the stacks that it left when it hung."""
    stacks = trial.config["place"].folder / STACKS
    if stacks.exists() and (text := stacks.read_text(encoding="utf-8", errors="replace")):
        return f"{text}\nits worker was lost: it made no step for {trial.config['place'].hang_s:g} s (stacks above)"
    return f"its worker was lost: {trial.get_error() or 'no reason is known'}"
