"""The command of a sweep over backbones, and the files of its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.engine import command, figures, report
from analysis.engine.backbones import backbone_tables
from analysis.engine.backbones.backbone_figures import accuracy_figure, best_confusions, confusion_figure
from analysis.engine.backbones.backbone_wording import (
    CLASS_CAPTION,
    CONFUSION_CAPTION,
    backbone_captions,
    pair_captions,
)
from analysis.engine.backbones.backbones import BackboneTable, backbone_table
from sweeps.engine.plan import Sweep


def main(sweep: Sweep, question: str, published: str = "", argv: Sequence[str] | None = None) -> int:
    """Reports what the store holds of a sweep over backbones; arguments and exit code as `command.main`."""
    return command.main(backbone_table, files, sweep, question, published, argv)


def files(table: BackboneTable, question: str, again: str, out: Path) -> dict[str, str | bytes]:
    """The files of a report by name.

    Args:
        table: what it reports.
        question: what the sweep asks, as its heading.
        again: the command that writes it again.
        out: the folder they will lie in, which may hold what `analysis.inside.gradcam` wrote.
    """
    accuracy, best = accuracy_figure(table), best_confusions(table)
    figure_svg, confusion_svg = figures.svg(accuracy), figures.svg(best)
    return {
        "report.html": page(table, question, again, figure_svg, confusion_svg, gradcam(out)),
        "table.md": backbone_tables.markdown(table),
        "table.csv": backbone_tables.csv_frame(table).to_csv(index=False),
        "pairs.csv": backbone_tables.pairs_frame(table).to_csv(index=False),
        "confusion.csv": backbone_tables.confusion_frame(table).to_csv(index=False),
        "table.tex": backbone_tables.latex(table),
        "figure.png": figures.png(accuracy),
        "figure.svg": figure_svg,
        "confusion.png": figures.png(best),
        "confusion.svg": confusion_svg,
    }


def page(
    table: BackboneTable, question: str, again: str, figure_svg: str, confusion_svg: str, look: dict[str, str] | None
) -> str:
    """The page with all tables and figures.

    Args:
        table: what it reports.
        question: what the sweep asks, as its heading.
        again: the command that writes it again.
        figure_svg: the accuracies.
        confusion_svg: the confusion of the best of each type.
        look: what `gradcam` gives.
    """
    return report.page(
        "backbones.html",
        table,
        question,
        again,
        figure=report.inline(figure_svg),
        confusion=report.inline(confusion_svg),
        confusions=report.inline(figures.svg(confusion_figure(table.ranked, columns=4, inches=2.6))),
        main=backbone_tables.main_grid(table),
        detail=backbone_tables.detail_grid(table),
        classes=backbone_tables.class_grid(table),
        matrix=backbone_tables.matrix_grid(table),
        pairs=backbone_tables.pair_grid(table),
        networks=backbone_tables.network_grid(table),
        backbone_captions=backbone_captions(table),
        class_captions=[CLASS_CAPTION],
        confusion_captions=[CONFUSION_CAPTION],
        pair_captions=pair_captions(table),
        gradcam=look,
    )


def gradcam(out: Path) -> dict[str, str] | None:
    """What `analysis.inside.gradcam` left in a report's folder, the figure and a text; None if nothing."""
    figure, text = out / "gradcam" / "gradcam.svg", out / "gradcam" / "focus.md"
    if not (figure.is_file() and text.is_file()):
        return None
    return {"figure": report.inline(figure.read_text(encoding="utf-8")), "text": text.read_text(encoding="utf-8")}
