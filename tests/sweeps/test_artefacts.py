"""Artefacts for display: pictures have a bounded size, and no failure of one costs a trial its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweeps.engine.store import artefacts
from sweeps.recipes.mohammadi import RATES

ROOT = Path(__file__).parents[2]
TRIAL = RATES.but(corpus="toy", pretrain_hz=8_000, data_hz=8_000, augment="none")
NOTEBOOK = "module://matplotlib_inline.backend_inline"  # what every notebook hands to the commands that it starts


def predictions(folder: Path, classes: list[str]) -> Path:
    """Two test clips of every class, all classified correctly."""
    labels = np.arange(2 * len(classes)) % len(classes)
    path = folder / "predictions.npz"
    np.savez(path, classes=np.array(classes), labels=labels, logits=np.eye(len(classes), dtype="f4")[labels])
    return path


def names(number: int) -> list[str]:
    return [f"species {i}" for i in range(number)]


class TestConfusion:
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [1, 30, 31, 1000])
    def test_the_picture_is_bounded(self, tmp_path: Path, number: int) -> None:
        """It has 2,000 pixels a side at most, however many classes there are."""
        artefacts.draw_confusion(predictions(tmp_path, names(number)), tmp_path / "confusion.png")
        with Image.open(tmp_path / "confusion.png") as picture:
            assert 300 < max(picture.size) <= 2_000
        assert {path.name for path in tmp_path.iterdir()} == {"predictions.npz", "confusion.png"}

    @pytest.mark.parametrize(("number", "counts"), [(2, 4), (30, 900), (31, 0), (200, 0)])
    def test_counts_are_written_where_they_can_be_read(self, number: int, counts: int) -> None:
        """Up to 30 classes, every cell has its count; above, none does, and a bar explains the shades."""
        labels = np.arange(number)
        axes, *bar = artefacts.confusion_figure(names(number), labels, labels).axes
        assert len(axes.texts) == counts
        assert [one.get_ylabel() for one in bar] == ["share of the true class"] * (counts == 0)

    @pytest.mark.parametrize(("number", "named"), [(60, 60), (61, 31), (200, 50), (1000, 59)])
    def test_names_keep_room(self, number: int, named: int) -> None:
        """There are at most 60 along a side, each at its own class."""
        labels = np.arange(number)
        axes = artefacts.confusion_figure(names(number), labels, labels).axes[0]
        shown = [label.get_text() for label in axes.get_yticklabels()]
        assert len(shown) == named
        cells = axes.get_images()[0].get_size()[0]
        classes = [int(name.removeprefix("species ")) for name in shown]
        assert axes.get_yticks().tolist() == [k * cells // number for k in classes]

    def test_shades_are_shares_of_the_true_class(self) -> None:
        """Three of four clips of class b were named a; of a thousand classes, neighbours share a cell."""
        figure = artefacts.confusion_figure(["a", "b"], np.array([0, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1]))
        assert figure.axes[0].get_images()[0].get_array().tolist() == [[1, 0], [0.75, 0.25]]  # type: ignore[union-attr]
        many = artefacts.confusion_figure(names(1000), np.array([998, 999]), np.array([0, 999]))
        shades = np.asarray(many.axes[0].get_images()[0].get_array())
        assert shades[-1, [0, -1]].tolist() == [0.5, 0.5]
        assert shades.sum() == 1

    @pytest.mark.parametrize("name", ["$a_0{ _^", "a\\frac", "Phylloscopus collybita tristis (Siberian chiffchaff)"])
    def test_any_name_is_written_as_it_is(self, tmp_path: Path, name: str) -> None:
        """Dollar signs do not start formulae; a long name loses its middle, because many names begin alike."""
        artefacts.draw_confusion(predictions(tmp_path, [name, "b"]), tmp_path / "confusion.png")
        figure = artefacts.confusion_figure([name, "b"], np.array([0]), np.array([1]))
        (shown, _) = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        assert shown == (name if len(name) <= 24 else "Phylloscopu… chiffchaff)")


class TestWrite:
    def test_names_what_there_is(self, tmp_path: Path) -> None:
        """The predictions come first, because the other files are only for display."""
        predictions(tmp_path, names(3))
        files = artefacts.write(tmp_path, TRIAL, pytest.fail)
        assert [path.name for path in files] == ["predictions.npz", "config.json", "confusion.png"]
        assert json.loads(files[1].read_text())["key"] == TRIAL.key

    def test_a_search_has_no_picture(self, tmp_path: Path) -> None:
        """None of its trials is tested."""
        assert artefacts.write(tmp_path, TRIAL, pytest.fail) == [tmp_path / "config.json"]

    def test_a_picture_is_drawn_once(self, tmp_path: Path) -> None:
        """A later start keeps it; a picture older than the predictions is out of date and drawn again."""
        picture, source = tmp_path / "confusion.png", predictions(tmp_path, names(3))
        artefacts.write(tmp_path, TRIAL, pytest.fail)
        drawn = picture.stat().st_ino
        artefacts.write(tmp_path, TRIAL, pytest.fail)
        assert picture.stat().st_ino == drawn
        os.utime(source, ns=(0, picture.stat().st_mtime_ns + 1))
        artefacts.write(tmp_path, TRIAL, pytest.fail)
        assert picture.stat().st_ino != drawn

    @pytest.mark.parametrize("name", artefacts.FOR_LOOKING)
    def test_one_that_cannot_be_made_is_said(self, tmp_path: Path, name: str) -> None:
        """It is left out, with its path and the reason; the predictions stay."""
        messages: list[str] = []
        predictions(tmp_path, names(3))
        (tmp_path / name).mkdir()
        files = artefacts.write(tmp_path, TRIAL, messages.append)
        assert {path.name for path in files} == {"predictions.npz", *artefacts.FOR_LOOKING} - {name}
        (line,) = messages
        assert line.startswith(f"{tmp_path / name} was not ")
        assert "Is a directory" in line

    def test_predictions_that_cannot_be_read_are_said(self, tmp_path: Path) -> None:
        """A message comes, whatever their bytes do to numpy."""
        messages: list[str] = []
        path = predictions(tmp_path, names(3))
        path.write_bytes(path.read_bytes()[:-40])
        assert tmp_path / "confusion.png" not in artefacts.write(tmp_path, TRIAL, messages.append)
        assert len(messages) == 1

    def test_it_is_said_once(self) -> None:
        """A failure for one trial repeats for later ones."""
        messages: list[str] = []
        first = artefacts.once(messages.append)
        for line in ("one", "two"):
            first(line)
        assert messages == ["one"]


PROGRAM = """
import sys
from pathlib import Path
from sweeps.engine.store import artefacts
artefacts.draw_confusion(Path(sys.argv[1]), Path(sys.argv[2]))
from sweeps.engine.store import drawing
import matplotlib
assert matplotlib.get_backend().lower() == "agg", matplotlib.get_backend()
assert not drawing.pyplot().isinteractive()
"""


class TestDoor:
    @pytest.mark.slow
    @pytest.mark.parametrize("backend", [NOTEBOOK, "nonsense"])
    def test_no_backend_of_a_notebook_breaks_it(self, tmp_path: Path, backend: str) -> None:
        """The picture is drawn, into a file only."""
        self.draw(tmp_path, MPLBACKEND=backend)

    @pytest.mark.slow
    @pytest.mark.parametrize("where", ["here", "named"])
    def test_no_style_of_a_user_changes_it(self, tmp_path: Path, where: str) -> None:
        """The picture has the same bytes with any matplotlibrc."""
        plain, style = self.draw(tmp_path), tmp_path / "matplotlibrc"
        style.write_text("text.usetex: true\nbackend: nonsense\nfigure.dpi: 7\nfont.size: 40\n\0:é\n", encoding="utf-8")
        assert self.draw(tmp_path, tmp_path if where == "here" else ROOT, MATPLOTLIBRC=str(style)) == plain

    def test_one_that_cannot_be_decoded_changes_nothing(self, tmp_path: Path) -> None:
        """Matplotlib itself could not be imported with it."""
        (tmp_path / "latin").write_bytes("font.family: Grün".encode("latin-1"))
        self.draw(tmp_path, MATPLOTLIBRC=str(tmp_path / "latin"))

    @pytest.mark.slow
    @pytest.mark.parametrize("module", ["analysis.engine.search.plots", "analysis.inside.heatmaps"])
    def test_it_stands_before_whatever_else_loads_matplotlib(self, module: str) -> None:
        """Each module can be imported alone, and so can everything that it imports later."""
        later = "import captum.attr, optuna.visualization.matplotlib"
        command = [sys.executable, "-c", f"import {module}; {later}"]
        run = subprocess.run(command, env={**os.environ, "MPLBACKEND": "nonsense"}, cwd=ROOT, capture_output=True)
        assert (run.returncode, run.stderr) == (0, b"")

    def draw(self, tmp_path: Path, folder: Path = ROOT, **environment: str) -> bytes:
        source, picture = predictions(tmp_path, names(3)), tmp_path / "picture.png"
        words = [sys.executable, "-c", PROGRAM, source, picture]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        run = subprocess.run(words, env=variables, cwd=folder, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return picture.read_bytes()
