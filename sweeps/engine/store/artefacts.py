"""The artefacts of a run besides its numbers: the config, and a picture of the confusion matrix.

Both are only for display: if one cannot be made or kept, a message says so, and the result still counts.
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
MAX_INCHES = 16.0  # per side: 1,920 pixels, however many classes there are
MAX_COUNTS = 30  # classes; with more, the counts in the cells are too small to read
MAX_NAMES = 60  # labels per side; with more classes only every second, third, ... is labelled
MAX_CELLS = 480  # cells per side, of three pixels each; with more classes, neighbours share a cell
MAX_LETTERS = 24  # letters of a name

Say = Callable[[str], None]


def write(folder: Path, trial: TrialConfig, say: Say) -> list[Path]:
    """Makes `config.json` and `confusion.png` beside a trial's `predictions.npz`.

    Args:
        folder: the trial's folder.
        trial: its config.
        say: called with a message about a file that could not be made.

    Returns:
        The files that exist.
    """
    config, picture, predictions = folder / CONFIG, folder / PICTURE, folder / "predictions.npz"
    text = json.dumps({"key": trial.key, **trial.to_dict()}, indent=1) + "\n"
    files = [config] * tried(lambda: config.write_text(text, encoding="utf-8"), f"{config} was not written", say)
    if not predictions.exists():  # a trial of a search, which is not tested
        return files
    if _is_newer(picture, predictions):  # the picture exists, although the store has lost the run
        return [predictions, *files, picture]
    drawn = tried(lambda: draw_confusion(predictions, picture), f"{picture} was not drawn", say)
    return [predictions, *files, *[picture] * drawn]


def tried(make: Callable[[], object], failed: str, say: Say) -> bool:
    """Makes something that is only for display; returns whether it succeeded, and says so if not."""
    try:
        make()
    except Exception as error:  # whatever it is, the trial matters more
        say(f"{failed} ({str(error) or type(error).__name__}); the trial's result is kept without it")
        return False
    return True


def once(say: Say) -> Say:
    """A function that says only the first line, because a failure for one trial repeats for later ones."""
    said_lines: list[str] = []

    def first(line: str) -> None:
        if not said_lines:
            said_lines.append(line)
            say(line)

    return first


def draw_confusion(predictions: Path, picture: Path) -> None:
    """Draws the confusion matrix of the test clips, entirely or not at all."""
    with predictions.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        figure = confusion_figure(stored["classes"].tolist(), stored["labels"], stored["logits"].argmax(axis=1))
    part = picture.with_name(f".{picture.name}.{os.getpid()}")  # another driver may draw it too
    try:
        figure.savefig(part, format="png", dpi=DPI)
        part.replace(picture)
    finally:
        part.unlink(missing_ok=True)


def confusion_figure(classes: list[str], labels: np.ndarray, guesses: np.ndarray) -> Figure:
    """Counts, shaded by the share of the true class; with many classes only the shades. Its size is bounded.

    Args:
        classes: the names of the classes.
        labels: the true class of each clip.
        guesses: the predicted class of each clip.
    """
    from sweeps.engine.store.drawing import Figure  # here, so that a plan does not wait half a second for it

    cells = min(len(classes), MAX_CELLS)
    cell = np.arange(len(classes)) * cells // len(classes)  # the cell of each class
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
    """A long name without its middle, because many names begin alike."""
    half = MAX_LETTERS // 2
    return name if len(name) <= MAX_LETTERS else f"{name[: half - 1]}…{name[-half:]}"


def _is_newer(picture: Path, predictions: Path) -> bool:
    return picture.is_file() and picture.stat().st_mtime_ns >= predictions.stat().st_mtime_ns
