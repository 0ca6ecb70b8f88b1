"""Mean Grad-CAM maps as a figure in hertz and seconds: rows are networks and kinds of clips, columns are classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.inside.attention import KINDS
from sweeps.engine.store.drawing import Axes, AxesImage, ConstrainedLayoutEngine, Figure
from trainable.network.card import KaldiFrontEnd

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from trainable.network.card import FrontEnd

TITLES = ("correct, by class", "wrong, by prediction")
MAX_CLASSES = 12  # most classes side by side
TICK_BANDS = 9  # fewest mel bands between two ticks, so that their numbers do not overlap
LABEL_HZ = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]


@dataclass(frozen=True)
class Panels:
    """The mean maps of one network, and the log-mels of the same clips."""

    name: str
    front_end: FrontEnd
    data_hz: int
    mean: Float[np.ndarray, "2 classes frames mels"]  # right and wrong; NaN where there is no map
    count: Int[np.ndarray, "2 classes"]
    logmel: Float[np.ndarray, "classes frames mels"]  # mean of each true class [dB]


def band_centres_hz(front_end: FrontEnd, data_hz: int) -> Float[np.ndarray, " mels"]:
    """The true centre [Hz] of each mel band, for audio at `data_hz` that is fed as if it had the front end's rate.

    Source:
        Slaney's mel scale (Auditory Toolbox, 1998), as in `trainable.network.frontend.mel_matrix`: linear up to 1 kHz.
        Kaldi's is 1127 ln(1 + f / 700 Hz).
    """
    if isinstance(front_end, KaldiFrontEnd):
        low, high = math.log1p(front_end.f_min_hz / 700), math.log1p(front_end.f_max_hz / 700)
        nominal = 700 * np.expm1(np.linspace(low, high, front_end.num_mels + 2)[1:-1])
        return nominal * data_hz / front_end.rate_hz
    low, high = _to_mel(front_end.f_min_hz), _to_mel(front_end.f_max_hz)
    mels = np.linspace(low, high, front_end.num_mels + 2)[1:-1]
    nominal = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    return nominal * data_hz / front_end.rate_hz


def gradcam_figure(networks: Sequence[Panels], classes: Sequence[str]) -> Figure:
    """The mean log-mel of each class from the first network's front end, and below it the mean maps of every network.

    With many classes it shows the first ones, and says so.
    """
    number, classes = len(classes), classes[:MAX_CLASSES]
    num_rows = 1 + len(KINDS) * len(networks)
    layout = ConstrainedLayoutEngine(hspace=0.02, wspace=0.02)
    figure = Figure(figsize=(1.4 + 1.8 * len(classes), 0.8 + 1.45 * num_rows), layout=layout)
    axes = figure.subplots(num_rows, len(classes), squeeze=False)
    spectra = _spectra(axes[0], networks[0])
    figure.colorbar(spectra, ax=list(axes[0]), label="Mean log-mel [dB]", aspect=9)
    for panel, name in zip(axes[0], classes, strict=True):
        panel.set_title(name, fontweight="bold", parse_math=False)
    below = axes[1:].reshape(len(networks), len(KINDS), len(classes))
    for panels, rows in zip(networks, below, strict=True):
        for kind, row in enumerate(rows):
            maps = _maps(row, panels, kind)
    figure.colorbar(maps, ax=list(axes[1:].ravel()), label="Mean of maps with maximum 1", aspect=18 * len(networks))
    for panel in axes[:-1].ravel():
        panel.tick_params(labelbottom=False)
    for panel in axes[:, 1:].ravel():
        panel.tick_params(labelleft=False)
    cut = f"; the first {len(classes)} of {number} classes" if len(classes) < number else ""
    figure.supxlabel(f"Time [s]{cut}", fontsize="medium")
    figure.supylabel("Frequency [Hz]", fontsize="medium")
    return figure


def _spectra(row: Sequence[Axes], panels: Panels) -> AxesImage:
    low, high = np.nanpercentile(panels.logmel, (1, 99))
    for axes, spectrum in zip(row, panels.logmel, strict=False):
        image = _image(axes, panels, spectrum, cmap="Greys", vmin=low, vmax=high)
    return image


def _maps(row: Sequence[Axes], panels: Panels, kind: int) -> AxesImage:
    row[0].set_title(" ")  # makes room for the words, which may run over the other panels and must not widen this one
    words = f"{panels.name}: {TITLES[kind]}"
    above = row[0].annotate(words, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points")
    above.set_in_layout(False)
    for axes, mean, count in zip(row, panels.mean[kind], panels.count[kind], strict=False):
        image = _image(axes, panels, mean, cmap="magma", vmin=0, vmax=1)
        if count:
            axes.text(
                0.97,
                0.94,
                f"n = {count:,}",
                color="white",
                fontsize="x-small",
                ha="right",
                va="top",
                transform=axes.transAxes,
                bbox={"color": "black", "alpha": 0.45, "pad": 1.5},
            )
        else:
            axes.set_facecolor("0.93")
            axes.text(0.5, 0.5, "none", color="0.4", ha="center", va="center", transform=axes.transAxes)
    return image


def _image(axes: Axes, panels: Panels, plane: Float[np.ndarray, "frames mels"], **look: object) -> AxesImage:
    """One plane over seconds and mel bands, the bands labelled with their true frequencies in hertz."""
    frame_s = panels.front_end.hop / panels.data_hz
    extent = (-0.5 * frame_s, (len(plane) - 0.5) * frame_s, -0.5, plane.shape[1] - 0.5)
    image = axes.imshow(plane.T, origin="lower", aspect="auto", extent=extent, **look)  # type: ignore[arg-type]
    places, hertz = band_ticks(band_centres_hz(panels.front_end, panels.data_hz))
    axes.set_yticks(places, [f"{hz:,}" for hz in hertz])
    axes.locator_params(axis="x", nbins=4)
    return image


def band_ticks(centres_hz: Float[np.ndarray, " mels"]) -> tuple[list[float], list[int]]:
    """The positions of round frequencies among the mel bands, and the frequencies [Hz], spaced to be legible."""
    places: list[float] = []
    hertz: list[int] = []
    for hz in LABEL_HZ:
        place = float(np.interp(hz, centres_hz, np.arange(len(centres_hz)), left=np.nan, right=np.nan))
        if not np.isnan(place) and (not places or place - places[-1] >= TICK_BANDS):
            places.append(place)
            hertz.append(hz)
    return places, hertz


def _to_mel(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * float(np.log(hz / 1000) / np.log(6.4))
