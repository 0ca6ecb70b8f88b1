"""Comparisons that seeds are added for: two groups of trials, and the score of each group by seed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from sweeps.engine.plan import Pair, Sweep, differing
from trainable.config import TrialConfig

NO_QUESTION = ("seed", "split")  # fields whose values no study asks to tell apart


@dataclass(frozen=True)
class Contrast:
    """Two groups of settings, whose mean scores are compared seed by seed.

    Args:
        name: the comparison in words, such as `mixup against none`.
        better: the settings of one side, each a trial of any seed; said to be better where a claim says so.
        than: the settings of the other side.

    Raises:
        ValueError: if a side has no setting.
    """

    name: str
    better: tuple[TrialConfig, ...]
    than: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        for side in ("better", "than"):
            object.__setattr__(self, side, tuple(dict.fromkeys(map(setting, getattr(self, side)))))
            if not getattr(self, side):
                raise ValueError(f"{self.name}: no trial of the plan is on the side {side!r}")

    def by_seed(self, scores: Mapping[str, float], seeds: Iterable[int]) -> dict[int, float]:
        """The mean score of `better` less that of `than`, for every seed for which all their trials have a score.

        Args:
            scores: by the keys of trials.
            seeds: the seeds to look for; their order is kept.
        """
        differences = {}
        for seed in seeds:
            sides = [[key_of(one, seed) for one in side] for side in (self.better, self.than)]
            if all(key in scores for side in sides for key in side):
                better, than = (fmean(scores[key] for key in side) for side in sides)
                differences[seed] = better - than
        return differences


def between(
    name: str,
    trials: Iterable[TrialConfig],
    better: Callable[[TrialConfig], bool],
    than: Callable[[TrialConfig], bool],
) -> Contrast:
    """The contrast of the trials that two conditions select.

    Raises:
        ValueError: if one selects no trial.
    """
    trials = list(trials)
    return Contrast(name, tuple(filter(better, trials)), tuple(filter(than, trials)))


def contrasts(sweep: Sweep, field: str = "") -> tuple[Contrast, ...]:
    """The comparisons of a sweep: those that its study states, or each pair of values of one field.

    Args:
        sweep: the sweep as it is planned.
        field: the field; empty for the study's own `pairs`, or without any for the first field that it varies.

    Raises:
        ValueError: if the field has one value only, or a stated pair selects no trial.
    """
    if sweep.pairs and not field:
        return tuple(_stated(pair, sweep.trials) for pair in sweep.pairs)
    varied = [name for name in differing(sweep.trials) if name not in NO_QUESTION]
    if field not in (*varied, ""):
        raise ValueError(f"--until-decided {field}: the plan does not vary it; it varies {', '.join(varied) or 'none'}")
    if not varied:
        raise ValueError("--until-decided: the plan has one setting only, and nothing to compare it with")
    axis = field or varied[0]
    by_value: dict[Any, list[TrialConfig]] = defaultdict(list)
    for trial in sweep.trials:
        by_value[trial.get(axis)].append(trial)
    return tuple(
        Contrast(f"{axis}={first} against {other}", tuple(by_value[first]), tuple(by_value[other]))
        for first, other in itertools.combinations(by_value, 2)
    )


def setting(trial: TrialConfig) -> TrialConfig:
    """The setting of a trial: the trial itself with seed 0."""
    return with_seed(trial, 0)


def with_seed(trial: TrialConfig, seed: int) -> TrialConfig:
    """The trial of the same setting with another seed."""
    return trial if trial.seed == seed else dataclasses.replace(trial, seed=seed)


@functools.cache
def key_of(setting: TrialConfig, seed: int) -> str:
    """The key of the trial of a setting with this seed."""
    return with_seed(setting, seed).key


def settings(sweep: Sweep) -> list[TrialConfig]:
    """The settings of a sweep, in its order."""
    return list(dict.fromkeys(map(setting, sweep.trials)))


def seeds_of(trials: Iterable[TrialConfig]) -> list[int]:
    """The seeds of trials, in rising order."""
    return sorted({trial.seed for trial in trials})


def extended(sweep: Sweep, trials: Sequence[TrialConfig]) -> Sweep:
    """The sweep with further trials behind its own."""
    return dataclasses.replace(sweep, trials=tuple(dict.fromkeys([*sweep.trials, *trials])))


def _stated(pair: Pair, trials: Sequence[TrialConfig]) -> Contrast:
    """The contrast that a study states."""
    name = pair.name or f"{_words(pair.better)} against {_words(pair.than)}"
    return between(name, trials, *(partial(_has, side) for side in (pair.better, pair.than)))


def _has(fields: Mapping[str, Any], trial: TrialConfig) -> bool:
    """Whether a trial has these values: of its fields, or `key` for the key of its setting, with seed 0."""
    own = ((setting(trial).key if name == "key" else trial.get(name), value) for name, value in fields.items())
    return all(its in value if isinstance(value, tuple) else its == value for its, value in own)


def _words(fields: Mapping[str, Any]) -> str:
    """The values of a side, such as `weights=none`, and `lr=0.1 or 0.01` of several."""
    values = {n: value if isinstance(value, tuple) else (value,) for n, value in fields.items()}
    return " ".join(f"{name}={' or '.join(map(str, several))}" for name, several in values.items())
