"""Runs one trial from its description to its predictions: the whole work of a worker, whoever started it."""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from datasets.engine import manifest, splits
from datasets.engine.clips import Cut, open_clips
from datasets.engine.corpus import CorpusError
from datasets.engine.splitting import groups
from trainable import examples
from trainable.config import CLIPS, TrialConfig
from trainable.device import faults
from trainable.device.parallel import Team, lead
from trainable.device.place import Place
from trainable.device.watchdog import each_beats
from trainable.finetune import Row, finetune, has_stopped, kept_epoch, predict, scored, take_part
from trainable.network.linear import embedded
from trainable.network.networks import laid_out, start_network
from trainable.result import provenance, record
from trainable.result.metrics import NotFinite
from trainable.result.record import Record
from trainable.weights import checkpoint, weights

if TYPE_CHECKING:
    from jaxtyping import Float

    from datasets.engine.clips import Clips
    from datasets.engine.corpus import Corpus
    from datasets.engine.splits import Split
    from trainable.examples import Examples
    from trainable.network.backbone import Backbone


def run(config: TrialConfig, place: Place, report: Callable[[Row], None]) -> Row:
    """Fine-tunes, keeps the best epoch by validation, and only then loads the test clips; commits the result.

    A trial of a search (`score_on="validation"`) never loads test clips, and commits only its numbers.

    Writes to `place.folder`: `record.json`, which commits the trial; `best.pt`, the kept weights in the published
    layout; and `predictions.npz`, the test logits with their clips, recordings and
    groups. A trial that another attempt has already committed stays unchanged.

    Args:
        report: called once for every epoch.

    Returns:
        The scores of the kept epoch.
    """
    if committed := record.read(place.folder):
        return put_back(place, committed, report)
    faults.reach("trial begins")
    torch.set_num_threads(place.num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clips = clips_of(config, place)
    split = splits.read(place.split)
    try:
        network, history = train(config, place, clips, split, device, report)
    except NotFinite:
        if config.score_on == "test":
            raise
        history = (checkpoint.latest(place.folder) or {"history": []})["history"]  # divergence is a result
        return commit(config, place, new_attempt(place), {"epochs_run": len(history), "diverged": 1.0}, history)
    faults.reach("training has ended")
    if config.score_on == "validation":  # a search keeps only numbers
        return commit(config, place, new_attempt(place), search_scores(history, config), history)

    return score(config, place, network, history, clips, split, device)


def clips_of(config: TrialConfig, place: Place) -> Clips:
    """The clips of a trial, with the labels of its scan; a node that lacks them builds them now.

    Raises:
        CorpusError: if they cannot be built, or the place has no scan, without which clips have no labels.
    """
    corpus = corpus_of(place)
    cut = Cut(**dict(config.only(CLIPS)))  # type: ignore[arg-type]
    folder = manifest.clips_at_hand(place.clips, place.scan, cut, config.data_hz, each_beats)
    return open_clips(folder, corpus)


def corpus_of(place: Place) -> Corpus:
    """The recordings of a trial with their labels and groups, from its scan.

    Raises:
        CorpusError: if the place has none, or it is damaged.
    """
    if place.scan is None:
        raise CorpusError(f"{place.clips}: has no labels of its own; give the trial's place a scan")
    return manifest.read(place.scan).corpus


def score(
    config: TrialConfig,
    place: Place,
    network: Backbone,
    history: list[Row],
    clips: Clips,
    split: Split,
    device: torch.device,
) -> Row:
    """Loads the test clips, predicts them with the network of the kept epoch, and commits the result."""
    test = examples.load(config, clips, split, "test", device)
    logits = predict(network, test, config)
    scores = scored("test", config.scores, logits, test.labels.cpu().numpy(), test.recording)
    scores |= best_epoch(history, config)
    scores["num_parameters"] = sum(p.numel() for p in network.parameters() if p.requires_grad)
    others = ("train", "validation") if config.keep == "embeddings" else ()
    roles = {"test": test} | {r: examples_of(config, place, clips, split, r, device) for r in others}
    its_groups = groups.of_clips(corpus_of(place), split.roles, test.recording, config.split)
    attempt = write_results(config, place, network, roles, logits, clips.classes, its_groups)
    fit = examples_of(config, place, clips, split, "train", device)
    return commit(config, place, attempt, scores, history, {"majority_class": majority_class(fit, clips.classes)})


def majority_class(train: Examples, classes: Sequence[str]) -> str:
    """The class with the most training clips; empty if several have as many."""
    counts = train.labels.bincount(minlength=len(classes))
    most = (counts == counts.max()).nonzero().flatten().tolist()
    return classes[most[0]] if len(most) == 1 else ""


def put_back(place: Place, committed: Record, report: Callable[[Row], None]) -> Row:
    """Puts the files of a committed trial in place, reports its epochs again, and returns its scores."""
    record.put_in_place(place.folder, committed)
    for row in committed.history:
        report(row)
    return committed.scores


def train(
    config: TrialConfig, place: Place, clips: Clips, split: Split, device: torch.device, report: Callable[[Row], None]
) -> tuple[Backbone, list[Row]]:
    """Trains the network; returns it with the weights of the kept epoch, and the numbers of every epoch."""
    with lead(place.num_devices, partial(follow, config, place), place.hang_s) as team:
        fit, validation = (examples_of(config, place, clips, split, role, device) for role in ("train", "validation"))
        network = ready_network(config, place, len(clips.classes), fit)
        part, (fit, validation) = config.trained.ready(config, network, (fit, validation))
        history = finetune(
            config, part, fit, validation, place.folder, report, place.micro_batches, team, place.gives_up
        )
        config.trained.finish(part)
    return network, history


def examples_of(
    config: TrialConfig, place: Place, clips: Clips, split: Split, role: str, device: torch.device
) -> Examples:
    """The examples of a role, which successive trials of this process share if their clips are the same."""
    return examples.shared(config, clips, split, role, device, (place.clips, place.split, place.scan))


def follow(config: TrialConfig, place: Place, team: Team) -> None:
    """Does the work of another device of `team`, which holds all training clips and no others."""
    torch.set_num_threads(place.num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clips = clips_of(config, place)
    train = examples.load(config, clips, splits.read(place.split), "train", device)
    network = ready_network(config, place, len(clips.classes), train)
    part, (train,) = config.trained.ready(config, network, (train,))
    take_part(config, part, train, place.folder, place.micro_batches, team)


def ready_network(config: TrialConfig, place: Place, num_classes: int, train: Examples) -> Backbone:
    """The network from which the trial starts, on the device of its training clips."""
    network = laid_out(start_network(config, num_classes, place.weights), config, train.labels.device)
    if config.input_norm == "standard":
        network.fit_input(*examples.moments(train))
    return network


def new_attempt(place: Place) -> Path:
    """Creates a folder for the results of this attempt at the trial."""
    attempt = place.folder / f"{record.ATTEMPT}{uuid.uuid4().hex[:8]}"
    attempt.mkdir(parents=True)
    return attempt


def write_results(
    config: TrialConfig,
    place: Place,
    network: Backbone,
    roles: Mapping[str, Examples],
    logits: Float[np.ndarray, "clips classes"],
    classes: Sequence[str],
    its_groups: Mapping[str, np.ndarray],
) -> Path:
    """Writes weights, predictions and, if the trial keeps them, embeddings into a new folder for this attempt.

    Args:
        roles: the clips of each role: test for the predictions, and all three if the trial keeps embeddings.
        logits: the predictions of the test clips.
        its_groups: the groups of the test clips, as `datasets.engine.splitting.groups` has them.
    """
    attempt, test = new_attempt(place), roles["test"]
    try:
        weights_file = {"model": network.state_dict(), "front_end": asdict(config.card.front_end), "key": config.key}
        checkpoint.save(attempt / "best.pt", weights_file)
        if config.keep == "embeddings":
            save_arrays(attempt / "embeddings.npz", **embeddings(config, network, roles))
        save_arrays(
            attempt / "predictions.npz",
            logits=logits,
            labels=test.labels.cpu().numpy(),
            recording=test.recording,
            clip=test.number,
            classes=np.array(classes),
            **its_groups,
        )
    except BaseException:
        shutil.rmtree(attempt, ignore_errors=True)  # it may be what filled the disk
        raise
    faults.reach("results are written")
    return attempt


def commit(
    config: TrialConfig,
    place: Place,
    attempt: Path,
    scores: Row,
    history: list[Row],
    about: Mapping[str, str] = MappingProxyType({}),
) -> Row:
    """Commits the results of an attempt; returns the committed scores, which may be those of another attempt.

    Args:
        about: what else the record states beside the scores' origin.
    """
    paths = sorted(attempt.iterdir())
    own_record = Record(
        key=config.key,
        config=config.to_dict(),
        tags=dict(place.tags),
        scores=scores,
        history=history,
        provenance=provenance.describe()
        | {"micro_batches": str(place.micro_batches), "num_devices": str(place.num_devices), **about},
        attempt=attempt.name,
        files={path.name: weights.sha256(path) for path in paths},
        sizes={path.name: path.stat().st_size for path in paths},
    )
    committed = record.commit(place.folder, own_record)
    record.put_in_place(place.folder, committed)
    return committed.scores


def search_scores(history: list[Row], config: TrialConfig) -> Row:
    """The numbers of a trial of a search: those of its best epoch, and whether the search gave it up."""
    gave_up = len(history) < config.epochs and not has_stopped(history, config)
    return best_epoch(history, config) | ({"gave_up": 1.0} if gave_up else {})


def best_epoch(history: list[Row], config: TrialConfig) -> Row:
    """The scores of the kept epoch on validation, its number, and the number of epochs."""
    best = history[kept_epoch(history, config) - 1]
    scores = {f"best_{name}": value for name, value in best.items() if name.startswith("val_")}
    return {**scores, "best_epoch": best["epoch"], "epochs_run": float(len(history))}


def embeddings(config: TrialConfig, network: Backbone, roles: Mapping[str, Examples]) -> dict[str, np.ndarray]:
    """The embedding of every clip of every role by the kept network, with labels, recordings and clip numbers.

    Returns:
        For each role, under its name: (clips, features) in half precision; and with `_labels`, `_recording` and `_clip`
        appended to the name: (clips,) each.
    """
    arrays = {}
    for role, clips in roles.items():
        arrays[role] = embedded(config, network, clips).inputs.half().cpu().numpy()
        arrays |= {f"{role}_labels": clips.labels.cpu().numpy(), f"{role}_recording": clips.recording}
        arrays[f"{role}_clip"] = clips.number
    return arrays


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes a compressed archive, completely or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    checkpoint.write(path, buffer.getvalue())
