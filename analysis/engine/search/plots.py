"""Optuna's own plots of a search, in this project's style."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.engine import wording
from analysis.engine.figures import style
from sweeps.engine.search.search import Evaluation, Search, best
from sweeps.engine.search.space import Choice, Dimension
from sweeps.engine.store.drawing import (
    Axes,
    Figure,
    LinearSegmentedColormap,
    MaxNLocator,
    Rectangle,
    pyplot,
    rc_context,
)
from sweeps.engine.store.optuna_study import frozen

if TYPE_CHECKING:
    import optuna

SHADES = LinearSegmentedColormap.from_list("shades", ["0.85", style.COLOURS[0]])  # the palest is visible on white
FEWEST = 2  # completed evaluations that a plot needs


@dataclass(frozen=True)
class Drawn:
    """The plots that could be drawn, by name, and why the others could not."""

    figures: Mapping[str, Figure]
    left_out: Mapping[str, str]


def draw(search: Search, evaluations: Sequence[Evaluation]) -> Drawn:
    """Draws the plots that Optuna can make of these evaluations."""
    study, drawn, left_out = _study(search, evaluations), dict[str, Figure](), dict[str, str]()
    axis = f"Validation {search.score.title}{' [%]' * search.score.is_share}"
    ended = [e for e in evaluations if e.state == "COMPLETE"]
    winner = best(search, evaluations)
    plots: dict[str, Callable[[], Figure]] = {
        "history": lambda: _history(study, axis),
        "curves": lambda: _curves(study, axis, evaluations, winner),
        "slices": lambda: _slices(study, axis, search.space),
        "parallel": lambda: _parallel(study, axis, list(search.space)),
        "importances": lambda: _importances(study),
    }
    for name, plot in plots.items():
        if len(ended) < FEWEST:
            left_out[name] = f"{len(ended)} of {len(evaluations)} evaluations completed; a plot needs {FEWEST}"
            continue
        try:
            with _optuna_draws():
                drawn[name] = plot()
        except (RuntimeError, UserWarning, ValueError) as error:  # Optuna and matplotlib raise these for too few values
            left_out[name] = str(error)
    return Drawn(drawn, left_out)


def _study(search: Search, evaluations: Sequence[Evaluation]) -> optuna.Study:
    """The evaluations as a study, with shares in percent."""
    import optuna

    study, times = optuna.create_study(direction=search.direction), wording.scale(search.score.is_share)
    for e in evaluations:
        scores = {name: times * value if name == search.metric else value for name, value in e.scores.items()}
        curve = tuple(times * value for value in e.curve)
        study.add_trial(frozen(search, Evaluation(e.number, e.config, scores, curve)))
    return study


@contextlib.contextmanager
def _optuna_draws() -> Iterator[None]:
    """Undoes Optuna's changes to matplotlib: a style for the whole process, and figures that stay open."""
    import optuna

    plt = pyplot()
    before = plt.get_fignums()
    with rc_context({"figure.constrained_layout.use": True}), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)


def _history(study: optuna.Study, metric: str) -> Figure:
    from optuna.visualization.matplotlib import plot_optimization_history

    axes = plot_optimization_history(study, target_name=metric)
    axes.collections[0].set_color(style.COLOURS[0])
    axes.lines[0].set(color=style.COLOURS[1], drawstyle="steps-post", alpha=1)
    figure = _dress([axes], (7.2, 3.2))
    labels = ["completed evaluation", "best so far"]
    figure.legend([axes.collections[0], axes.lines[0]], labels, loc="outside upper center", ncols=2, frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Evaluation")
    return figure


def _curves(study: optuna.Study, metric: str, evaluations: Sequence[Evaluation], winner: Evaluation | None) -> Figure:
    from optuna.visualization.matplotlib import plot_intermediate_values

    axes = plot_intermediate_values(study)
    if not axes.lines:
        raise ValueError("the study has no curves")
    state = {f"Trial{e.number}": e.state for e in evaluations}
    looks: dict[str, dict[str, Any]] = {
        "completed": {"color": style.COLOURS[0], "alpha": 0.5, "zorder": 2},
        "gave up": {"color": style.COLOURS[5], "alpha": 0.9, "zorder": 3},
        "best": {"color": "black", "linewidth": 2.2, "alpha": 1, "zorder": 4},
    }
    names = {"COMPLETE": "completed", "PRUNED": "gave up"}  # Optuna draws no others
    line_of = {}
    for line in axes.lines:
        label = str(line.get_label())
        name = "best" if winner and label == f"Trial{winner.number}" else names[state[label]]
        line.set(**{"linewidth": 1, "alpha": 1, **looks[name]})
        if len(line.get_xdata()) > 1:  # type: ignore[arg-type]
            line.set_marker("")
        line_of[name] = line
    figure = _dress([axes], (7.2, 3.6))
    shown = [name for name in looks if name in line_of]
    figure.legend([line_of[n] for n in shown], shown, loc="outside upper center", ncols=len(shown), frameon=False)
    axes.set(xlabel="Epoch", ylabel=metric)
    return figure


def _slices(study: optuna.Study, metric: str, space: Mapping[str, Dimension]) -> Figure:
    from optuna.visualization.matplotlib import plot_slice

    drawn = plot_slice(study, params=list(space), target_name=metric)
    panels = [drawn] if isinstance(drawn, Axes) else list(drawn.flat)
    for axes in panels:
        points = axes.collections[0]
        points.set(
            cmap=SHADES, edgecolor="0.3", linewidth=0.5, clim=(0, len(study.trials) - 1)
        )  # one colour bar for all
    figure = _dress(panels, (7.2, 3.2))
    for axes, field in zip(panels, space, strict=True):
        axes.set_xlabel(field)
        if isinstance(space[field], Choice):
            words = [label.get_text().strip("'") for label in axes.get_xticklabels()]
            axes.set_xticks(range(len(words)), [_broken(word) for word in words])
            axes.set_xlim(-0.5, len(words) - 0.5)
    bar = next(axes for axes in figure.axes if axes not in panels)
    bar.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.tick_params(colors="black", labelsize=9)
    bar.set_ylabel("Evaluation", size=9, color="black")
    return figure


def _parallel(study: optuna.Study, metric: str, fields: list[str]) -> Figure:
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    axes = plot_parallel_coordinate(study, params=fields, target_name=metric)
    better_is_darker = SHADES if study.direction.name == "MAXIMIZE" else SHADES.reversed()
    axes.collections[0].set(cmap=better_is_darker, linewidth=1.2, clip_on=False)
    figure = _dress([axes], (7.2, 3.6), values="")
    axes.set_xticks(range(len(fields) + 1), [metric.replace(" ", "\n", 1), *fields], rotation=0)
    bar, *scales = figure.axes[1:]
    bar.remove()  # the first scale shows the same
    for scale in scales:
        scale.set_zorder(3)  # above the lines
        for label in scale.get_yticklabels():
            label.set(size=8, color="black", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    return figure


def _importances(study: optuna.Study) -> Figure:
    from optuna.visualization.matplotlib import plot_param_importances

    axes = plot_param_importances(study)
    for i, (bar, text) in enumerate(zip(axes.patches, axes.texts, strict=True)):
        assert isinstance(bar, Rectangle)
        bar.set(color=style.COLOURS[0], y=i - 0.25, height=0.5)
        text.set(text=f" {text.get_text().strip()}", size=9)
    figure = _dress([axes], (7.2, 0.8 + 0.35 * len(axes.patches)), values="x")
    axes.set(xlabel="Importance", ylabel="")
    return figure


def _dress(panels: Sequence[Axes], size: tuple[float, float], values: str = "y") -> Figure:
    """Removes Optuna's titles, legends, boxes and grey background."""
    figure = panels[0].figure
    assert isinstance(figure, Figure)
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*size)
    figure.suptitle("")
    for axes in panels:
        if legend := axes.get_legend():
            legend.remove()
        axes.set_title("")
        axes.set_title("", loc="left")
        axes.set_facecolor("white")
        axes.spines[:].set_color("0.3")
        axes.tick_params(colors="black", labelsize=9)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(color="black", size=9)
        axes.grid(visible=False)
        if values:
            style.dress(axes, values)
    return figure


def _broken(word: str) -> str:
    """A long word broken into lines at its punctuation marks."""
    return re.sub(r"(?<=[/+])|(?=\.[a-z])", "\n", word)
