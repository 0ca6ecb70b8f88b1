"""A study in miniature, for `--small`: narrow networks and few epochs, on an invented corpus of the same layout.

Networks that the study starts from published weights are pre-trained first, on more recordings invented in the same
way, of other sources. Nothing that a miniature measures says anything about real recordings; that it runs says that
the study, its report and this machine do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, overload

from datasets.synthetic import writers
from sweeps.engine.plan import Sweep, differing
from sweeps.engine.search.search import Search
from sweeps.recipes import miniature
from trainable.config import CLIPS, DATA, INPUT, NETWORK, START, TrialConfig, fields_that_change

OTHER_RECORDINGS = 1  # the seed of the corpus of pre-training; that of the study has seed 0


@overload
def small(study: Sweep, fields: Mapping[str, Any]) -> Sweep: ...
@overload
def small(study: Search, fields: Mapping[str, Any]) -> Search: ...
def small(study: Sweep | Search, fields: Mapping[str, Any]) -> Sweep | Search:
    """The study in miniature; its name says so, and its trials have keys of their own.

    Args:
        study: the study as its file plans it.
        fields: values that the command sets in all trials; they have the last word.

    Raises:
        ValueError: if a field makes a trial impossible.
        CorpusError: if the corpus cannot be invented.
    """
    name = f"{study.name}_small"
    if isinstance(study, Search):
        sought = {axis.partition(".")[0] for axis in study.space}
        one_start = sought.isdisjoint(fields_that_change(NETWORK, START))
        networks = getattr(study.space.get("backbone"), "values", (study.base.backbone,))
        wide = {} if all(study.base.but(backbone=name).card.scalable for name in networks) else {"width": 1.0}
        base = small_trial(study.base if one_start else study.base.but(weights="none"), {**wide, **fields})
        num = study.num_trials if study.sampler == "grid" else min(study.num_trials, miniature.EVALUATIONS)
        return dataclasses.replace(study, name=name, base=base, num_trials=num)
    trials = tuple(small_trial(trial, fields) for trial in study.trials)
    if len(set(trials)) < len(trials):  # the study varies what a miniature sets, such as the learning rate
        axes = [axis for axis in differing(study.trials) if axis in miniature.TRAINING]
        trials = tuple(small_trial(trial, {**{axis: trial[axis] for axis in axes}, **fields}) for trial in study.trials)
    return dataclasses.replace(study, name=name, trials=trials, axes=None, settings=None)


def small_trial(trial: TrialConfig, fields: Mapping[str, Any]) -> TrialConfig:
    """A trial in miniature, which starts from the checkpoint of `pretraining` where the trial has published weights."""
    writers.writer(str(fields.get("corpus", trial.corpus)))
    width = miniature.WIDTH if trial.card.scalable else 1.0
    made = trial.but(**{"weights": "none", "width": width, **miniature.TRAINING, **fields})
    if trial.weights != "published" or "weights" in fields:
        return made
    return made.but(weights=f"run:{pretraining(made).key}")


def pretraining(trial: TrialConfig) -> TrialConfig:
    """The trial that pre-trains the network of a small trial, at its pre-training rate."""
    same = dict(trial.only(NETWORK, INPUT, DATA, CLIPS))
    return TrialConfig.of({**same, "weights": "none", "data_hz": trial.pretrain_hz, **miniature.PRETRAINING})


def pretrainings(trials: Iterable[TrialConfig]) -> Sweep:
    """The trials whose checkpoints some of `trials` start from, each once."""
    starts = {f"run:{start.key}": start for start in map(pretraining, trials)}
    wanted = [starts[trial.weights] for trial in trials if trial.weights in starts]
    return Sweep("pretraining_small", tuple(dict.fromkeys(wanted)))
