"""What of a plan is done: a run counts for a trial when it finished with the same data, split and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from datasets.prepare import Prepared, Wanted
from sweeps.plan import Sweep, work
from sweeps.runs import Run
from trainable.config import TrialConfig


@dataclass(frozen=True)
class Inputs:
    """The bytes that a trial's result depends on, beside its config."""

    data_sha256: str
    split_sha256: str
    weights_sha256: str  # "none" for random weights

    @property
    def tags(self) -> dict[str, str]:
        """As the store keeps them."""
        return asdict(self)


def folder_name(trial: TrialConfig, inputs: Inputs) -> str:
    """The folder of a trial in the storage: its key, and eight digits for its inputs."""
    return f"{trial.key}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]}"


def wanted_by(trial: TrialConfig) -> Wanted:
    """What a trial needs of its corpus, whatever its rate."""
    return Wanted(trial.corpus, trial.class_list, trial.split, trial.clip_s)


def all_wanted(trials: Iterable[TrialConfig]) -> list[Wanted]:
    """What the trials need of their corpora, each once."""
    return list(dict.fromkeys(map(wanted_by, trials)))


@dataclass(frozen=True)
class Situation:
    """A plan, the data it is for, and what the store has of it."""

    sweep: Sweep
    variant: str  # the settings that differ from the study's file, in words
    data: Mapping[Wanted, Prepared]
    inputs: Mapping[str, Inputs]  # by key; a trial whose inputs are not known yet has none
    runs: Sequence[Run]

    @cached_property
    def done(self) -> dict[str, Run]:
        """The finished run of each trial that has one, by key."""
        return {r.key: r for r in self._matching if r.status == "FINISHED"}

    @cached_property
    def to_run(self) -> list[TrialConfig]:
        """Trials without a finished run, the longest first, so that none is left running alone at the end."""
        return sorted((t for t in self.sweep.trials if t.key not in self.done), key=lambda t: (-work(t), t.key))

    @cached_property
    def unfinished(self) -> dict[str, Run]:
        """The run that an earlier attempt at each trial left unfinished, by key."""
        return {r.key: r for r in self._matching if r.status != "FINISHED"}

    @cached_property
    def _matching(self) -> list[Run]:
        """Runs with the same key, data, split and weights."""
        keys = {t.key for t in self.sweep.trials}
        runs = (r for r in self.runs if r.key in keys and r.key in self.inputs)
        return [r for r in runs if self.inputs[r.key].tags.items() <= r.tags.items()]
