"""A sweep as data: a named list of trials, and the grid that spans it. Pure, and loads nothing heavy."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets.engine.splitting.folds import Fold, name_of
from trainable.config import FIELDS, TrialConfig


@dataclass(frozen=True)
class Pair:
    """Two groups of settings that a study compares, for `--until-decided`, which adds seeds until they are told apart.

    Each side has the values of some fields that its settings have: one value, or a tuple of several. Each setting of a
    side counts alike.

        Pair({"weights": "published"}, {"weights": "none"})
    """

    better: Mapping[str, Any]
    than: Mapping[str, Any]
    name: str = ""  # in words; empty for the values


@dataclass(frozen=True)
class Sweep:
    """A named list of trials.

    >>> from sweeps.recipes.mohammadi import RATES
    >>> sweep = Sweep("toy_rates", grid(RATES, lr=(1e-4, 1e-5), seed=(1, 2)))
    >>> [(sweep.cell(trial), trial.seed) for trial in sweep.trials[1:3]]
    [('cnn14-32k on 32 kHz, lr=0.0001', 2), ('cnn14-32k on 32 kHz, lr=1e-05', 1)]

    Raises:
        ValueError: if two trials have the same key, because one of them would never run.
    """

    name: str
    trials: tuple[TrialConfig, ...]
    # Of the whole study, where these trials are a part of it; else found from the trials.
    axes: tuple[str, ...] | None = field(default=None, compare=False)  # that tell cells with one `cell_name` apart
    settings: Mapping[str, Any] | None = field(default=None, compare=False)  # that all its trials share
    by: str = ""  # the metric that the trials are listed by; that of the first, if none is named
    study: str = ""  # the file that plans it, in sweeps/ and in analysis/; the one of its name, if none is named
    pairs: tuple[Pair, ...] = field(default=(), compare=False)  # what it compares; else the values of its first field

    def __post_init__(self) -> None:
        if not self.study:
            object.__setattr__(self, "study", self.name)
        if self.axes is None:
            object.__setattr__(self, "axes", _axes(self.trials))
        if not self.by and self.trials:
            object.__setattr__(self, "by", self.trials[0].listed_by)
        if self.settings is None:
            object.__setattr__(self, "settings", _shared(self.trials))
        seen: dict[str, TrialConfig] = {}
        for trial in self.trials:
            if trial.key in seen:
                raise ValueError(
                    f"sweep {self.name}: the trial {trial_name(trial)} (key {trial.key}) is planned twice; leave one "
                    "out, or the setting that makes them alike"
                )
            seen[trial.key] = trial

    def cell(self, trial: TrialConfig) -> str:
        """The name of a trial's cell, which no other cell of the sweep has."""
        return ", ".join([cell_name(trial), *told(trial, self.axes or ())])

    def title(self, trial: TrialConfig) -> str:
        """The name of a trial, which no other trial of the sweep has: `augment=mixup, cnn14-32k on 32 kHz, seed 1`."""
        return full_name(trial, self.axes or ())


def grid(base: TrialConfig, **axes: Sequence[Any]) -> tuple[TrialConfig, ...]:
    """Every combination of `axes` over `base`, the last axis fastest.

    >>> from sweeps.recipes.mohammadi import RATES
    >>> [trial_name(trial) for trial in grid(RATES, data_hz=(2_000, 4_000), seed=(1, 2))][:3]
    ['cnn14-32k on 2 kHz, seed 1', 'cnn14-32k on 2 kHz, seed 2', 'cnn14-32k on 4 kHz, seed 1']

    A setting of a part is an axis, too:

    >>> trials = grid(RATES, schedule=("steps",), **{"schedule.after": ("30", "30,45")})
    >>> [trial.get("schedule.after") for trial in trials]
    ['30', '30,45']

    Raises:
        TypeError: if an axis is not a field of `TrialConfig`.
        ValueError: if a combination is impossible.
    """
    return tuple(base.but(**dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values()))


def folds(unit: str, number: int) -> tuple[str, ...]:
    """The splits of a cross-validation, as an axis of `grid`: each fold is scored by a trial of its own.

    >>> folds("published", 5)
    ('published:1', 'published:2', 'published:3', 'published:4', 'published:5')
    >>> folds("speaker", 6)[1]
    'speaker:2/6'

    Args:
        unit: "published", "recording", or a group of the corpus.
        number: the number of folds.
    """
    total = 0 if unit == "published" else number
    return tuple(name_of(Fold(unit, fold, total)) for fold in range(1, number + 1))


def varied(
    sweep: Sweep,
    fields: dict[str, str | int | float] | None = None,
    seeds: Sequence[int] = (),
    limit: int | None = None,
) -> Sweep:
    """The sweep with `fields` set in every trial, with `seeds` for its own, and cut to its first `limit` trials.

    Raises:
        ValueError: if a field makes a trial impossible, or makes two trials one.
    """
    fields = fields or {}
    trials = whole = tuple(trial.but(**fields) for trial in sweep.trials)
    if seeds:
        first = list(dict.fromkeys(dataclasses.replace(trial, seed=0) for trial in trials))
        trials = tuple(dataclasses.replace(trial, seed=seed) for trial in first for seed in seeds)
    return Sweep(sweep.name, trials[:limit], _axes(whole), _shared(whole), sweep.by, sweep.study, sweep.pairs)


def cell_name(trial: TrialConfig) -> str:
    """The trial's cell, without its seed: `cnn14-8k on 2 kHz`."""
    return f"{trial.backbone}-{trial.pretrain_hz / 1000:g}k on {trial.data_hz / 1000:g} kHz"


def trial_name(trial: TrialConfig) -> str:
    """The trial's name: `cnn14-8k on 2 kHz, seed 1`."""
    return f"{cell_name(trial)}, seed {trial.seed}"


def full_name(trial: TrialConfig, axes: Iterable[str]) -> str:
    """The trial's name behind the fields that its sweep varies and that the name does not show."""
    return ", ".join([*told(trial, axes), trial_name(trial)])


def run_name(trial: TrialConfig, cell: str = "") -> str:
    """The trial's short name, `cnn14-8k@2k s1`, which fits the store's first column.

    Args:
        trial: the trial.
        cell: the name of its cell, `Sweep.cell`: what the sweep varies besides is put behind, `, augment=mixup`.
    """
    usual = f"{trial.backbone}-{trial.pretrain_hz / 1000:g}k@{trial.data_hz / 1000:g}k s{trial.seed}"
    return usual + cell.removeprefix(cell_name(trial)) * cell.startswith(cell_name(trial))


def work(trial: TrialConfig) -> float:
    """The relative amount of work of a trial: frames per epoch times epochs."""
    return float(trial.num_frames * trial.epochs)


def _axes(trials: Sequence[TrialConfig]) -> tuple[str, ...]:
    """The fields, apart from the seed, in which trials with the same `cell_name` differ."""
    groups = defaultdict(list)
    for trial in trials:
        groups[cell_name(trial)].append(trial)
    varying = {name for group in groups.values() for name in differing(group)}
    return tuple(name for name in differing(trials) if name in varying - {"seed"})


def _shared(trials: Sequence[TrialConfig]) -> dict[str, Any]:
    """The fields, apart from the seed, that have the same value in all trials."""
    own = {*differing(trials), "seed"}
    return {name: value for name, value in trials[0].to_dict().items() if name not in own} if trials else {}


def differing(trials: Sequence[TrialConfig]) -> list[str]:
    """The fields and settings of parts in which trials differ, in their order."""
    return [name for name in stated(trials) if len({trial.get(name) for trial in trials}) > 1]


def stated(trials: Iterable[TrialConfig]) -> list[str]:
    """All fields, and the settings of parts that at least one trial changes from the default."""
    names = dict.fromkeys(name for trial in trials for name in trial.to_dict())
    return sorted(names, key=lambda name: list(FIELDS).index(name.partition(".")[0]))  # settings behind their slots


def told(trial: TrialConfig, names: Iterable[str]) -> list[str]:
    """Some fields of a trial in words, without settings that it lacks or leaves at their default."""
    fields = trial.to_dict()
    return [f"{name}={_short(fields[name])}" for name in names if name in fields]


def _short(value: str | int | float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
