"""The axes of the Grad-CAM figure in hertz and seconds, and the texts of its panels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from analysis.engine.figures import style
from analysis.inside.panels import Panels, band_centres_hz, band_ticks, gradcam_figure
from sweeps.engine.store.drawing import Figure
from trainable.backbones import efficientat
from trainable.network.frontend import mel_matrix
from trainable.network.kaldi import kaldi_matrix
from trainable.network.panns.rates import FRONT_ENDS


@pytest.mark.parametrize("rate_hz", FRONT_ENDS)
def test_band_centres_are_the_peaks_of_the_mel_matrix(rate_hz: int) -> None:
    """They agree within an STFT bin, in bands wide enough to have a peak; at twice the rate they are twice as high."""
    front_end = FRONT_ENDS[rate_hz]
    centres = band_centres_hz(front_end, rate_hz)
    matrix, bin_hz = mel_matrix(front_end).numpy(), rate_hz / front_end.window
    wide = np.count_nonzero(matrix, axis=0) >= 3
    assert wide.sum() > 30
    assert np.abs(matrix.argmax(axis=0) * bin_hz - centres)[wide].max() <= bin_hz
    assert np.allclose(band_centres_hz(front_end, 2 * rate_hz), 2 * centres)


def test_band_centres_of_kaldis_are_the_peaks_of_its_matrix() -> None:
    """Within a bin of the STFT."""
    front_end = efficientat.FRONT_END
    matrix, bin_hz = kaldi_matrix(front_end).numpy(), front_end.rate_hz / front_end.window
    wide = np.count_nonzero(matrix, axis=0) >= 3
    assert wide.sum() > 60
    centres = band_centres_hz(front_end, front_end.rate_hz)
    assert np.abs(matrix.argmax(axis=0) * bin_hz - centres)[wide].max() <= bin_hz
    assert np.allclose(band_centres_hz(front_end, 2 * front_end.rate_hz), 2 * centres)


def test_a_band_centre_by_hand() -> None:
    """50 to 14,000 Hz are 0.75 to 53.39 mel; the last of 64 bands is 1/65 of that below the end."""
    top = 15 + 27 * np.log(14) / np.log(6.4)
    mel = top - (top - 0.75) / 65
    centres = band_centres_hz(FRONT_ENDS[32_000], 32_000)
    assert centres[-1] == pytest.approx(1000 * 6.4 ** ((mel - 15) / 27))
    assert centres[0] == pytest.approx((0.75 + (top - 0.75) / 65) * 200 / 3)


def test_ticks_are_round_true_frequencies_at_their_bands() -> None:
    """Audio at 2 kHz before a front end of 32 kHz has its ticks a sixteenth as high, none too near another."""
    centres = band_centres_hz(FRONT_ENDS[32_000], 2_000)
    places, hertz = band_ticks(centres)
    assert hertz == [10, 50, 100, 200, 500]
    assert np.interp(places, np.arange(64), centres) == pytest.approx(hertz)
    assert np.diff(places).min() >= 9


def panels(name: str, num_classes: int = 2) -> Panels:
    """Maps that rise with time; no wrong clip of the second class."""
    rng = np.random.default_rng(0)
    mean = np.broadcast_to(np.linspace(0, 1, 126)[:, None], (2, num_classes, 126, 64)).copy()
    mean[1, 1] = np.nan
    count = np.full((2, num_classes), 1234)
    count[1, 1] = 0
    return Panels(name, FRONT_ENDS[32_000], 8_000, mean, count, rng.normal(size=(num_classes, 126, 64)))


def test_panels_are_in_seconds_and_say_how_many_clips_they_hold() -> None:
    """5 s at 8 kHz are 126 frames of 40 ms, the first at 0 s; an empty panel says "none"."""
    figure = gradcam_figure([panels("A"), panels("B")], ["Cargo", "Tug"])
    grid = [axes for axes in figure.axes if axes.get_images()]
    assert len(grid) == 2 * (1 + 4)
    assert [axes.get_title() for axes in grid[:2]] == ["Cargo", "Tug"]
    for axes in grid:
        (image,) = axes.get_images()
        assert image.get_extent() == pytest.approx((-0.02, 5.02, -0.5, 63.5))
    assert {grid[2].get_images()[0].get_clim(), grid[9].get_images()[0].get_clim()} == {(0, 1)}
    assert [[text.get_text() for text in axes.texts] for axes in grid[2:6]] == [
        ["A: correct, by class", "n = 1,234"],
        ["n = 1,234"],
        ["A: wrong, by prediction", "n = 1,234"],
        ["none"],
    ]
    assert grid[8].texts[0].get_text() == "B: wrong, by prediction"


def test_time_goes_right_and_frequency_up() -> None:
    """The first frame is drawn at the left, the lowest band at the bottom."""
    one = panels("A")
    one.mean[0, 0] = 0
    one.mean[0, 0, 125, 0] = 1
    figure = gradcam_figure([one], ["Cargo", "Tug"])
    image = [axes for axes in figure.axes if axes.get_images()][2].get_images()[0]
    assert np.argwhere(np.asarray(image.get_array()) == 1).tolist() == [[0, 125]]
    assert image.origin == "lower"


@pytest.mark.slow
def test_the_same_figure_is_the_same_file() -> None:
    """A report that did not change therefore shows no difference."""
    first, second = (style.svg(gradcam_figure([panels("A")], ["Cargo", "Tug"])) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_many_classes_keep_the_figure_readable() -> None:
    """Twelve are shown side by side, and the figure says so."""
    figure = gradcam_figure([panels("A", 40)], [f"$species_{i}" for i in range(40)])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title().startswith("$")]
    assert titles == [f"$species_{i}" for i in range(12)]
    assert figure.get_supxlabel() == "Time [s]; the first 12 of 40 classes"


def test_a_picture_has_a_largest_size() -> None:
    """However large the figure is, a side has 6,000 pixels at most, and the shape is kept."""
    with Image.open(io.BytesIO(style.png(Figure(figsize=(4, 900))))) as picture:
        assert picture.size == (26, 6_000)
