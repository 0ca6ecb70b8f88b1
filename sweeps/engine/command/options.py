"""The parsed flags of a study or its table; the same flags name the same trials in both."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from datasets.engine.corpus import shown
from datasets.engine.decoding.audio import Silence
from datasets.engine.prepare import Source
from datasets.engine.remote import Remote
from datasets.engine.scan import OnBad
from datasets.synthetic import writers
from sweeps.engine.adaptive.looks import MAX_SEEDS, Rule, rule_of
from sweeps.engine.command.located import default_storage
from sweeps.engine.forecast.budget import Limit
from sweeps.engine.forecast.placement import Asked
from sweeps.engine.plan import Sweep, varied
from sweeps.engine.search.search import Search
from sweeps.engine.small import small
from trainable.config import FIELDS, as_kept, no_field
from trainable.learning.part import Part, Parts, Value

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Options:
    """The options of a command; an option for which it has no flag keeps its default.

    `sweeps.engine.command.commandline` makes it, and says with each flag what it means.
    """

    # Where things are on this machine; all paths are absolute.
    storage: Path
    weights_dir: Path
    cache_dir: Path
    # The plan: part of every trial's identity.
    classes: str | None = None
    split: str | None = None
    groups: str | None = None
    target: str | None = None
    seeds: str | None = None  # as they were written: an error repeats them
    set: tuple[str, ...] = ()  # field=value
    limit: int | None = None
    small: bool = False  # in miniature, on an invented corpus
    until_decided: str | None = None  # seeds are added for this field, or if empty for the study's pairs
    max_seeds: int | None = None
    # Results.
    store: str | None = None
    optuna: str | None = None
    remote: str = ""  # the URI that the storage is a working copy of
    # The data: no part of a trial's identity, but the files' bytes are.
    data_root: Path | None = None
    data_uri: str = ""  # that the data's folder is a copy of
    split_file: Path | None = None
    bad_files: OnBad = "refuse"
    silence: Silence = "refuse"
    allow_heard: bool = False  # weights of runs that were trained on recordings of the test
    # What a run needs on this machine.
    max_concurrent: int | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    gpu_memory_gb: float = 24.0
    accelerator: str | None = None
    hang_after: int = 1_800  # [s]
    nice: int = 0
    # What to do instead of running the trials.
    dry_run: bool = False
    report: bool = False
    measure: bool = False
    why: str | None = None
    # Time and cost.
    budget: Limit | None = None
    tflops: float | None = None
    gpus: int | None = None
    cpus: int | None = None
    price_per_hour: float | None = None
    watts: float | None = None

    @property
    def fields(self) -> dict[str, str | int | float]:
        """The fields that the flags set in every trial.

        Raises:
            ValueError: if one is set twice, or is none of a trial's.
        """
        words = [("classes", self.classes), ("split", self.split), ("groups", self.groups), ("target", self.target)]
        return parse_fields([*(f"{name}={value}" for name, value in words if value is not None), *self.set])

    @property
    def variant(self) -> str:
        """The changed fields in words, sorted by name; empty if there are none."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.fields.items()))

    @overload
    def planned(self, study: Sweep) -> Sweep: ...
    @overload
    def planned(self, study: Search) -> Search: ...
    def planned(self, study: Sweep | Search) -> Sweep | Search:
        """The sweep or search as the flags change it; for a search, --seeds are those that confirm its best.

        Raises:
            ValueError: if a flag's value makes a trial impossible, or makes no sense without another.
            CorpusError: if a corpus cannot be invented for --small.
        """
        seeds = parse_seeds(self.seeds)
        if self.max_seeds and self.until_decided is None:
            raise ValueError(f"--max-seeds {self.max_seeds}: only ends --until-decided; add that, or write --seeds")
        if self.small:
            study = small(study, self.fields)
        if isinstance(study, Search):
            return study.varied(self.fields, tuple(seeds), self.limit)
        return varied(study, self.fields, seeds, self.limit)

    def rule(self, sweep: Sweep) -> Rule | None:
        """The rule by which seeds are added to a planned sweep; None if none are.

        Raises:
            ValueError: if there is nothing to compare.
        """
        if self.until_decided is None:
            return None
        return rule_of(sweep, self.until_decided, self.max_seeds or MAX_SEEDS)

    @property
    def asked(self) -> Asked:
        """The resources that are asked of the nodes."""
        return Asked(
            self.max_concurrent, self.cpus_per_trial, self.gpus_per_trial, self.gpu_memory_gb, self.accelerator or ""
        )

    @property
    def source(self) -> Source | None:
        """The location of the corpora, if it is known."""
        if self.data_root is None:
            return None
        return Source(self.data_root, self.cache_dir, self.split_file, self.bad_files, self.silence)

    def invented(self, corpus: str, seed: int = 0) -> Options:
        """A copy with the data in an invented corpus, which each machine writes for itself.

        Args:
            seed: of its recordings.
        """
        folder = self.cache_dir / "synthetic" / (f"{corpus}-{seed}" if seed else corpus)
        return replace(self, data_uri=writers.address(corpus, seed), data_root=folder)

    @property
    def object_store(self) -> Remote | None:
        """The object store that the storage is a working copy of, if any."""
        return Remote(self.remote, self.storage) if self.remote else None

    @property
    def corpus_store(self) -> Remote | None:
        """The object store that the data's folder is a copy of, if any."""
        return Remote(self.data_uri, self.data_root) if self.data_uri and self.data_root else None

    @property
    def trials_dir(self) -> Path:
        """The folder that holds a folder of results for each trial."""
        return self.storage / "trials"

    @property
    def store_uri(self) -> str:
        """The MLflow store."""
        return self.store or _sqlite(self.storage / "mlflow.db")

    @property
    def optuna_uri(self) -> str:
        """The database for the studies of searches, as Optuna names it."""
        return self.optuna or _sqlite(self.storage / "optuna.db")

    @property
    def as_flags(self) -> list[str]:
        """The flags with which another command finds the same trials and results."""
        words: list[tuple[str, object]] = [("--store", self.store), ("--optuna", self.optuna)]
        if (self.remote, self.storage) != default_storage():
            words.append(("--storage", self.remote or self.storage))
        return [*self.plan_flags, *_given(words)]

    @property
    def plan_flags(self) -> list[str]:
        """The flags with which another command plans the same trials."""
        words: list[tuple[str, object]] = [
            ("--classes", self.classes),
            ("--split", self.split),
            ("--groups", self.groups),
            ("--target", self.target),
            ("--seeds", self.seeds),
            ("--limit", self.limit),
            ("--max-seeds", self.max_seeds),
            *(("--set", word) for word in self.set),
        ]
        until = [] if self.until_decided is None else [f"--until-decided={self.until_decided}".rstrip("=")]
        return [*["--small"] * self.small, *until, *_given(words)]


def _given(words: list[tuple[str, object]]) -> list[str]:
    return [str(part) for pair in words if pair[1] is not None for part in pair]


def _sqlite(path: Path) -> str:
    """An address in which SQLAlchemy decodes %20 and ends a path at a question mark."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def parse_seeds(text: str | None) -> list[int]:
    """The seeds in `1,2,3`, or in `1-3,7`.

    Raises:
        ValueError: if one is not a whole number or stands there twice, or a range is reversed or too long.
    """
    seeds: list[int] = []
    for word in text.split(",") if text is not None else []:
        if not (match := re.fullmatch(r"\s*(\d{1,16})(?:\s*-\s*(\d{1,16}))?\s*", word, re.ASCII)):
            raise ValueError(f"--seeds {shown(text)}: write whole numbers, 1,2,3 or 1-3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"--seeds {shown(text)}: write the smaller number first, {last}-{first}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"--seeds {shown(text)}: names more than {MOST_SEEDS:,} seeds; name fewer")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {shown(text)}: a seed stands there twice")
    return seeds


def parse_fields(assignments: list[str]) -> dict[str, Value]:
    """Parses `field=value` words into typed fields of `TrialConfig`; settings of parts stay text until a trial is made.

    Raises:
        ValueError: if a word has no `=`, the field does not exist, or the value is not of its type.
    """
    fields: dict[str, Value] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{shown(word)}: write field=value")
        field = FIELDS.get(name.partition(".")[0])
        if field is None or ("." in name and "folder" not in field.metadata):
            raise ValueError(f"{shown(word)}: {no_field(name)}")
        if name in fields:
            raise ValueError(f"{shown(word)}: {name} is set twice")
        kept = text if "." in name else as_kept(field, text)
        fields[name] = str(kept) if isinstance(kept, Part | Parts) else kept
    return fields
