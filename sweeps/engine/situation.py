"""The state of a plan: which trials are committed, or have a finished run, on the same data, split and weights."""

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
    """The hashes of the bytes that a trial's result depends on, besides its config."""

    data_sha256: str
    split_sha256: str
    weights_sha256: str  # "none" for random weights

    @property
    def tags(self) -> dict[str, str]:
        """The tags for the store."""
        return asdict(self)


def folder_name(trial: TrialConfig, inputs: Inputs) -> str:
    """The folder of a trial in the storage: its key, and eight digits for its inputs."""
    return f"{trial.key}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]}"


def wanted_by(trial: TrialConfig) -> Wanted:
    """The part of its corpus that a trial needs, whatever its rate."""
    fields: dict[str, Any] = dict(trial.only(DATA, SPLIT, CLIPS))
    return Wanted(**{**fields, "classes": trial.class_list})


def all_wanted(trials: Iterable[TrialConfig]) -> list[Wanted]:
    """The distinct parts of corpora that the trials need."""
    return list(dict.fromkeys(map(wanted_by, trials)))


@dataclass(frozen=True)
class Situation:
    """A plan with its data, and its trials in the store and the storage."""

    sweep: Sweep
    variant: str  # the settings that differ from the study's file, in words
    data: Mapping[Wanted, Prepared]
    inputs: Mapping[str, Inputs]  # by key; a trial whose inputs are unknown so far has none
    runs: Sequence[Run]
    records: Mapping[str, Record] = field(default_factory=dict)  # the records committed in this storage, by key
    refused: Mapping[str, str] = field(default_factory=dict)  # why a trial cannot start as things are, by key
    heard: Mapping[str, str] = field(default_factory=dict)  # what of its test its starting weights have heard, by key
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # the prediction for a trial, by key
    basis: Basis = field(default_factory=Basis)  # the basis of the predictions
    sweeps: Sequence[Run] = ()  # the store's runs of sweeps

    @property
    def data_sha256(self) -> str:
        """The hashes of all corpora of the plan."""
        return " ".join(sorted({prepared.scan.sha256 for prepared in self.data.values()}))

    @property
    def sweep_tags(self) -> dict[str, str]:
        """The tags of the sweep's own run, about the plan and its data."""
        notes = dict.fromkeys(note for prepared in self.data.values() for note in prepared.notes)
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
        """The keys of the trials that are committed here or have finished anywhere, according to the store."""
        return {*self.records, *(r.key for r in self._matching if r.status == "FINISHED")}

    @cached_property
    def to_run(self) -> list[TrialConfig]:
        """The trials without a finished run, the longest first, so that none is left running alone at the end."""
        return longest_first((t for t in self.sweep.trials if t.key not in self.done), self.predictions)

    @cached_property
    def unfinished(self) -> dict[str, Run]:
        """The unfinished run of an earlier attempt at each trial, by key."""
        # A run that is still RUNNING belongs to the driver of another storage: this storage's were ended at the start.
        return {r.key: r for r in self._matching if r.status not in ("FINISHED", "RUNNING")}

    def num_clips(self, trial: TrialConfig) -> int:
        """The number of clips of all roles that a trial is given."""
        return sum(clips for _, clips in self.data[wanted_by(trial)].counts.values())

    @cached_property
    def _matching(self) -> list[Run]:
        """The runs with the same key, data, split and weights as a planned trial."""
        keys = {t.key for t in self.sweep.trials}
        runs = (r for r in self.runs if r.key in keys and r.key in self.inputs)
        return [r for r in runs if self.inputs[r.key].tags.items() <= r.tags.items()]


def trial_tags(situation: Situation, trial: TrialConfig, common: Mapping[str, str]) -> dict[str, str]:
    """The tags of a trial's run and record, besides config and scores: the sweep, and the hashes of its inputs.

    Args:
        situation: the plan, with its data.
        trial: one of its trials.
        common: the tags for the code and the storage.
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
        "corpus_notes": "; ".join(data.notes)[:5000],  # as much as fits in a tag
        **({"heard": situation.heard[trial.key]} if trial.key in situation.heard else {}),
    }
