"""One trial from its description to its predictions: all that a worker does, whoever started it."""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from datasets import manifest, splits
from datasets.clips import open_clips
from trainable import checkpoint, examples, faults, metrics, provenance, record, weights
from trainable.config import TrialConfig
from trainable.finetune import Row, finetune, kept_epoch, predict
from trainable.networks import start_network
from trainable.place import Place
from trainable.record import Record
from trainable.watchdog import each_beats

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from trainable.backbone import Backbone
    from trainable.examples import Examples


def run(config: TrialConfig, place: Place, report: Callable[[Row], None]) -> Row:
    """Fine-tunes, keeps the best epoch by validation, and only then takes up the test clips; commits the result.

    Leaves in `place.folder`: `record.json`, which commits the trial; `best.pt`, the kept weights in the published
    layout; and `predictions.npz`, the test logits with their clips and recordings. A trial that is committed already,
    by an earlier attempt or by one beside this, is left as it is.

    Args:
        report: called once for every epoch.

    Returns:
        The scores of the kept epoch.
    """
    if committed := record.read(place.folder):
        record.put_in_place(place.folder, committed)
        for row in committed.history:
            report(row)
        return committed.scores
    faults.reach("trial begins")
    torch.set_num_threads(place.num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clips = open_clips(manifest.clips_at_hand(place.clips, place.scan, config.clip_s, config.data_hz, each_beats))
    split = splits.read(place.split)
    train, validation = (examples.load(config, clips, split, role, device) for role in ("train", "validation"))
    network = start_network(config, len(clips.classes), place.weights)
    # Channels last: 1.4 to 2 times the speed of narrow networks on a CPU, where the full CNN14 loses a sixth
    # (benchmarks/network.py).
    network = network.to(device).to(memory_format=torch.channels_last)
    if config.input_norm == "standard":
        network.fit_input(*examples.moments(train))
    history = finetune(config, network, train, validation, place.folder, report, place.micro_batches)
    faults.reach("training has ended")

    del train, validation  # the room that the test clips take
    test = examples.load(config, clips, split, "test", device)
    logits = predict(network, test, config.num_frames)
    found = scores(history, config, logits, test.labels.cpu().numpy(), test.recording)
    found["num_parameters"] = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return commit(config, place, network, test, logits, clips.classes, found, history)


def commit(
    config: TrialConfig,
    place: Place,
    network: Backbone,
    test: Examples,
    logits: Float[np.ndarray, "clips classes"],
    classes: Sequence[str],
    found: Row,
    history: list[Row],
) -> Row:
    """Writes weights, predictions and the record of a trial; the scores that count, which may be another attempt's."""
    attempt = place.folder / f"{record.ATTEMPT}{uuid.uuid4().hex[:8]}"
    try:
        kept = {"model": network.state_dict(), "front_end": asdict(config.card.front_end), "key": config.key}
        checkpoint.save(attempt / "best.pt", kept)
        save_predictions(
            attempt / "predictions.npz",
            logits=logits,
            labels=test.labels.cpu().numpy(),
            recording=test.recording,
            clip=test.number,
            classes=np.array(classes),
        )
    except BaseException:
        shutil.rmtree(attempt, ignore_errors=True)  # it may be why the disk is full
        raise
    faults.reach("results are written")
    mine = Record(
        key=config.key,
        config=config.to_dict(),
        tags=dict(place.tags),
        scores=found,
        history=history,
        provenance=provenance.describe() | {"micro_batches": str(place.micro_batches)},
        attempt=attempt.name,
        files={path.name: weights.sha256(path) for path in sorted(attempt.iterdir())},
    )
    committed = record.commit(place.folder, mine)
    record.put_in_place(place.folder, committed)
    return committed.scores


def scores(
    history: list[Row],
    config: TrialConfig,
    logits: Float[np.ndarray, "clips classes"],
    labels: Int[np.ndarray, " clips"],
    recording: np.ndarray,
) -> Row:
    """The numbers of a finished trial: those of its kept epoch on validation, and those of the test clips."""
    best = history[kept_epoch(history, config) - 1]
    return {
        "test_accuracy": metrics.accuracy(logits, labels),
        "test_recording_accuracy": metrics.recording_accuracy(logits, labels, recording),
        "test_loss": metrics.cross_entropy(logits, labels),
        "best_val_accuracy": best["val_accuracy"],
        "best_val_loss": best["val_loss"],
        "best_epoch": best["epoch"],
        "epochs_run": len(history),
    }


def save_predictions(path: Path, **arrays: np.ndarray) -> None:
    """Writes a compressed archive, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    checkpoint.write(path, buffer.getvalue())
