"""A sweep as data: a named list of trials, and the grid that spans it. Pure, and loads nothing heavy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainable.config import TrialConfig


@dataclass(frozen=True)
class Sweep:
    """A named list of trials.

    Raises:
        ValueError: if two trials have the same key, because one of them would never run.
    """

    name: str
    trials: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        seen: dict[str, TrialConfig] = {}
        for trial in self.trials:
            if trial.key in seen:
                raise ValueError(f"sweep {self.name}: the trial {trial} is planned twice")
            seen[trial.key] = trial


def grid(base: TrialConfig, **axes: Sequence[Any]) -> tuple[TrialConfig, ...]:
    """Every combination of `axes` over `base`, the last axis fastest.

    Raises:
        TypeError: if an axis is not a field of `TrialConfig`.
        ValueError: if a combination is impossible.
    """
    return tuple(
        dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    )


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
    trials = tuple(dataclasses.replace(trial, **fields) for trial in sweep.trials)  # type: ignore[arg-type]
    if seeds:
        first = list(dict.fromkeys(dataclasses.replace(trial, seed=0) for trial in trials))
        trials = tuple(dataclasses.replace(trial, seed=seed) for trial in first for seed in seeds)
    return Sweep(sweep.name, trials[:limit])


def cell_name(trial: TrialConfig) -> str:
    """What a trial is, its seed apart: `cnn14-8k on 2 kHz`."""
    return f"{trial.backbone}-{trial.pretrain_hz / 1000:g}k on {trial.data_hz / 1000:g} kHz"


def trial_name(trial: TrialConfig) -> str:
    """`cnn14-8k on 2 kHz, seed 1`."""
    return f"{cell_name(trial)}, seed {trial.seed}"


def run_name(trial: TrialConfig) -> str:
    """`cnn14-8k@2k s1`: short enough for the store's first column."""
    return f"{trial.backbone}-{trial.pretrain_hz / 1000:g}k@{trial.data_hz / 1000:g}k s{trial.seed}"


def work(trial: TrialConfig) -> float:
    """How much a trial has to do against another of its sweep: frames an epoch, times epochs."""
    return float(trial.num_frames * trial.epochs)
