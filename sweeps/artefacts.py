"""What is kept with a run beside its numbers: the config, and a picture of the confusion matrix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trainable.config import TrialConfig


def write(folder: Path, trial: TrialConfig) -> list[Path]:
    """Makes `config.json` and `confusion.png` beside a trial's `predictions.npz`, and names what there is then."""
    config, picture, predictions = folder / "config.json", folder / "confusion.png", folder / "predictions.npz"
    config.write_text(json.dumps({"key": trial.key, **trial.to_dict()}, indent=1) + "\n", encoding="utf-8")
    if not predictions.exists():  # a trial of a search, of which nothing is tested
        return [config]
    draw_confusion(predictions, picture)
    return [config, picture, predictions]


def draw_confusion(predictions: Path, picture: Path) -> None:
    """Draws the test clips' confusion matrix: counts, shaded by the share of the true class."""
    from matplotlib.figure import Figure  # here: half a second that a plan need not wait

    with np.load(predictions, allow_pickle=False) as stored:
        classes, labels, guesses = stored["classes"], stored["labels"], stored["logits"].argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (labels, guesses), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    size = 2.2 + 0.75 * len(classes)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column, row, f"{count}", ha="center", va="center", color="white" if share[row, column] > 0.5 else "black"
        )
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{np.mean(labels == guesses):.1%} of {len(labels)} test clips", fontsize="medium")
    figure.savefig(picture, dpi=120)
