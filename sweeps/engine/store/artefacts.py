"""What is kept with a run beside its numbers: the config, and a picture of the confusion matrix.

Both are only for looking at: where one cannot be made or kept, that is said, and the result counts all the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainable.config import TrialConfig

if TYPE_CHECKING:
    from sweeps.engine.store.drawing import Axes, Figure

CONFIG, PICTURE = "config.json", "confusion.png"
FOR_LOOKING = (CONFIG, PICTURE)
DPI = 120
MAX_INCHES = 16.0  # a side: 1,920 pixels, however many classes there are
MAX_COUNTS = 30  # classes: with more, the counts in the cells cannot be read
MAX_NAMES = 60  # along a side; of more classes every second, third, ... is named
MAX_CELLS = 480  # along a side, of three pixels each; of more classes, neighbours share a cell
MAX_LETTERS = 24  # of a name

Say = Callable[[str], None]


def write(folder: Path, trial: TrialConfig, say: Say) -> list[Path]:
    """Makes `config.json` and `confusion.png` beside a trial's `predictions.npz`, and names what there is then.

    Args:
        say: told of what could not be made.
    """
    config, picture, predictions = folder / CONFIG, folder / PICTURE, folder / "predictions.npz"
    text = json.dumps({"key": trial.key, **trial.to_dict()}, indent=1) + "\n"
    made = [config] * tried(lambda: config.write_text(text, encoding="utf-8"), f"{config} was not written", say)
    if not predictions.exists():  # a trial of a search, of which nothing is tested
        return made
    if _is_newer(picture, predictions):  # the store has lost the run, not the folder its picture
        return [predictions, *made, picture]
    drawn = tried(lambda: draw_confusion(predictions, picture), f"{picture} was not drawn", say)
    return [predictions, *made, *[picture] * drawn]


def tried(make: Callable[[], object], failed: str, say: Say) -> bool:
    """Whether something that is only for looking at was made; if not, it is said."""
    try:
        make()
    except Exception as error:  # whatever it is, the trial is worth more
        say(f"{failed} ({str(error) or type(error).__name__}); the trial's result is kept without it")
        return False
    return True


def once(say: Say) -> Say:
    """Says the first line only: what fails for one trial fails for those behind it."""
    told: list[str] = []

    def first(line: str) -> None:
        if not told:
            told.append(line)
            say(line)

    return first


def draw_confusion(predictions: Path, picture: Path) -> None:
    """Draws the test clips' confusion matrix, whole or not at all."""
    with predictions.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        figure = confusion_figure(stored["classes"].tolist(), stored["labels"], stored["logits"].argmax(axis=1))
    part = picture.with_name(f".{picture.name}.{os.getpid()}")  # another driver may draw it too
    try:
        figure.savefig(part, format="png", dpi=DPI)
        part.replace(picture)
    finally:
        part.unlink(missing_ok=True)


def confusion_figure(classes: list[str], labels: np.ndarray, guesses: np.ndarray) -> Figure:
    """Counts, shaded by the share of the true class; with many classes the shades alone. Its size is bounded.

    Args:
        classes: their names.
        labels: the true class of each clip.
        guesses: the predicted one.
    """
    from sweeps.engine.store.drawing import Figure  # here: half a second that a plan need not wait

    cells = min(len(classes), MAX_CELLS)
    cell = np.arange(len(classes)) * cells // len(classes)  # of each class
    counts = np.bincount(cell[labels] * cells + cell[guesses], minlength=cells**2).reshape(cells, cells)
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    size = min(2.2 + 0.75 * len(classes), MAX_INCHES)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(part, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= MAX_COUNTS:
        _write_counts(axes, counts, part)
    else:
        figure.colorbar(image, label="share of the true class", shrink=0.8)
    step = -(-len(classes) // MAX_NAMES)
    names = [_shortened(name) for name in classes[::step]]
    turned = {"rotation": 30, "ha": "right"} if len(classes) <= MAX_COUNTS else {"rotation": 90}
    axes.set_xticks(cell[::step], names, parse_math=False, **turned)
    axes.set_yticks(cell[::step], names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{np.mean(labels == guesses):.1%} of {len(labels)} test clips", fontsize="medium")
    return figure


def _write_counts(axes: Axes, counts: np.ndarray, part: np.ndarray) -> None:
    fontsize = min(10, 250 / len(counts))  # four digits fit into a cell
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if part[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=fontsize)


def _shortened(name: str) -> str:
    """Without its middle: many begin alike."""
    half = MAX_LETTERS // 2
    return name if len(name) <= MAX_LETTERS else f"{name[: half - 1]}…{name[-half:]}"


def _is_newer(picture: Path, predictions: Path) -> bool:
    return picture.is_file() and picture.stat().st_mtime_ns >= predictions.stat().st_mtime_ns
