"""The networks of a sweep for Grad-CAM, and checks that the files on this disk are those of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd

from analysis.engine.rows import read_predictions
from analysis.inside.heatmaps import Trained
from datasets.engine import prepare
from datasets.engine.prepare import Prepared, Source
from sweeps.engine.display.progress import each
from sweeps.engine.plan import trial_name
from sweeps.engine.situation import Inputs, folder_name, wanted_by
from sweeps.engine.store.runs import Run
from trainable.config import TrialConfig
from trainable.network.card import family
from trainable.weights.weights import MissingWeights

REMEDY = {
    "data_sha256": "name with --data-root the recordings that the runs used, with the same --bad-files and --silence",
    "split_sha256": "give the --split that the runs used, and --split-file if it is the authors' own",
}


def best(rows: pd.DataFrame) -> list[str]:
    """The complete network with the highest mean test score, for each family that the sweep plans.

    Args:
        rows: the rows of `analysis.engine.rows.table_rows`.

    Raises:
        ValueError: if a family has no complete network.
    """
    complete = rows.groupby("backbone", sort=False).filter(lambda trials: bool((trials["status"] == "finished").all()))
    mean = complete.groupby("backbone", sort=False)[complete["config"].iloc[0].listed_by].mean()
    names = []
    for family_name in dict.fromkeys(map(family, rows["backbone"])):
        means = mean[[family(name) == family_name for name in mean.index]]
        if means.empty:
            raise ValueError(
                f"no network of {family_name} has finished with all its seeds; run the sweep again, choose --seeds "
                "that have finished, or name networks with --backbones"
            )
        names.append(str(means.idxmax()))
    return names


def check_complete(rows: pd.DataFrame, backbones: Sequence[str]) -> None:
    """Refuses networks that are not planned, lack a seed, or are planned in several ways.

    Raises:
        ValueError: naming the first such network.
    """
    for name in backbones:
        trials = rows[rows["backbone"] == name]
        if trials.empty:
            raise ValueError(
                f"--backbones {name}: the sweep does not plan it; it plans {', '.join(rows['backbone'].unique())}"
            )
        if not trials["seed"].is_unique:
            raise ValueError(
                f"--backbones {name}: its trials differ in more than the seed; choose a sweep of backbones"
            )
        lacking = trials[trials["status"] != "finished"]
        if len(lacking):
            seeds = ", ".join(
                f"seed {seed} is {status}" for seed, status in zip(lacking["seed"], lacking["status"], strict=True)
            )
            raise ValueError(f"--backbones {name}: {seeds}; run the sweep again, or choose --seeds that have finished")


def trained(trial: TrialConfig, run: Run, storage: Path) -> Trained:
    """A finished trial with its checkpoint in the storage.

    Raises:
        MissingWeights: if the checkpoint is gone.
        StoreError: if the predictions are gone.
        ValueError: if the predictions are damaged.
    """
    inputs = Inputs(**{field.name: run.tags[field.name] for field in fields(Inputs)})
    path = storage / "trials" / folder_name(trial, inputs) / "best.pt"
    if not path.is_file():
        raise MissingWeights(
            f"{trial_name(trial)}: its checkpoint {path} is missing; name the folder that the sweep wrote to with "
            f"--storage, put a copy there, or delete run {run.run_id} from the store and run the sweep again"
        )
    return Trained(trial, run.run_id, path, read_predictions(run))


def prepared(trial: TrialConfig, run: Run, source: Source) -> Prepared:
    """The corpus that the run used.

    Raises:
        ValueError: if the recordings or the split differ from those of the run.
    """
    corpus = prepare.prepare(wanted_by(trial), source, each)
    for name, ours in (("data_sha256", corpus.scan.sha256), ("split_sha256", corpus.split.sha256)):
        if ours != run.tags[name]:
            raise ValueError(
                f"--data-root {source.data_root}: {name} is {ours[:12]} here, and {run.tags[name][:12]} in run "
                f"{run.run_id}; {REMEDY[name]}"
            )
    return corpus
