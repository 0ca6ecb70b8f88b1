"""What of a plan is done: what a trial committed, or a finished run, on the same data, split and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from datasets.engine.prepare import Prepared, Wanted
from sweeps.engine.forecast.cost import Basis, Prediction, longest_first
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run, sweep_sha256
from trainable.config import CLIPS, DATA, SPLIT, TrialConfig
from trainable.result.record import Record


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
    fields: dict[str, Any] = dict(trial.only(DATA, SPLIT, CLIPS))
    return Wanted(**{**fields, "classes": trial.class_list})


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
    records: Mapping[str, Record] = field(default_factory=dict)  # what trials have committed in this storage, by key
    refused: Mapping[str, str] = field(default_factory=dict)  # why a trial cannot start as things are, by key
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # what it will take, where that is known
    basis: Basis = field(default_factory=Basis)  # which they are made from
    sweeps: Sequence[Run] = ()  # the store's runs of sweeps

    @property
    def data_sha256(self) -> str:
        """Of all corpora of the plan."""
        return " ".join(sorted({prepared.scan.sha256 for prepared in self.data.values()}))

    @property
    def sweep_tags(self) -> dict[str, str]:
        """What the sweep's own run says of the plan and its data."""
        notes = [note for prepared in self.data.values() for note in prepared.notes]
        return {
            "sweep_sha256": sweep_sha256(self.sweep.name, self.variant, self.data_sha256),
            "data_sha256": self.data_sha256,
            "mlflow.note.content": "\n\n".join(notes),
        }

    @property
    def own_run(self) -> Run | None:
        """The sweep's own run, if the store has one."""
        return next((r for r in self.sweeps if r.tags.get("sweep_sha256") == self.sweep_tags["sweep_sha256"]), None)

    @cached_property
    def done(self) -> set[str]:
        """Keys of the trials that are committed here, or finished in the store, wherever that was."""
        return {*self.records, *(r.key for r in self._matching if r.status == "FINISHED")}

    @cached_property
    def to_run(self) -> list[TrialConfig]:
        """Trials without a finished run, the longest first, so that none is left running alone at the end."""
        return longest_first((t for t in self.sweep.trials if t.key not in self.done), self.predictions)

    @cached_property
    def unfinished(self) -> dict[str, Run]:
        """The run that an earlier attempt at each trial left unfinished, by key."""
        # One that is still RUNNING belongs to another storage's driver: those of this storage were ended at the start.
        return {r.key: r for r in self._matching if r.status not in ("FINISHED", "RUNNING")}

    def num_clips(self, trial: TrialConfig) -> int:
        """Clips of all roles that a trial is given."""
        return sum(clips for _, clips in self.data[wanted_by(trial)].counts.values())

    @cached_property
    def _matching(self) -> list[Run]:
        """Runs with the same key, data, split and weights."""
        keys = {t.key for t in self.sweep.trials}
        runs = (r for r in self.runs if r.key in keys and r.key in self.inputs)
        return [r for r in runs if self.inputs[r.key].tags.items() <= r.tags.items()]


def trial_tags(situation: Situation, trial: TrialConfig, common: Mapping[str, str]) -> dict[str, str]:
    """What a trial's run and its record say beside config and scores: of what sweep, on which bytes.

    Args:
        common: the code, and the storage.
    """
    data = situation.data[wanted_by(trial)]
    recordings, clips = zip(*data.counts.values(), strict=True)
    return {
        "sweep": situation.sweep.name,
        "variant": situation.variant,
        "sweep_sha256": situation.sweep_tags["sweep_sha256"],
        "cell": situation.sweep.cell(trial),
        **common,
        **situation.inputs[trial.key].tags,
        "corpus_root": str(data.scan.corpus.root),
        "corpus_recordings": "/".join(map(str, recordings)),
        "corpus_clips": "/".join(map(str, clips)),
        "corpus_notes": "; ".join(data.notes)[:5000],  # as much as a tag holds
    }
