"""The kinds of tables that a study can ask for, over any field of `TrialConfig` or setting of a part.

Its file in `analysis/` says one:

    main(SWEEP, QUESTION, Pivot(down="data_hz", across="pretrain_hz"), published="deepship_rates")
    main(SWEEP, QUESTION, Ranking(over="backbone"), published="deepship_backbones")

The table, its figures and the page follow from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.engine import findings, report
from analysis.engine.figures import dots, lines, matrix, style
from analysis.engine.page import classwise
from analysis.engine.page.extras import Extras
from analysis.engine.report import NO_EXTRAS, Contents
from analysis.engine.tables import classes, labels, pairs, pivot, ranking, seen, standings
from analysis.engine.tables.cells import Material
from analysis.engine.tables.networks import NETWORK
from analysis.engine.tables.pivot import PivotTable
from analysis.engine.tables.ranking import Column, RankingTable
from analysis.engine.tables.scores import chosen
from trainable.learning.score import Score

CLASS_CAPTIONS = {"class_caption": classes.CLASS_CAPTION, "confusion_caption": classes.CONFUSION_CAPTION}


@dataclass(frozen=True)
class Pivot:
    """A table with one field down and another across, a score in each cell; its figure shows the same as lines.

    Raises:
        ValueError: if a field is not of `TrialConfig`, both are the same, or one is the seed, or if there is no such
            score.
    """

    down: str
    across: str = ""  # empty: one column
    score: str | Score = ""  # of trainable/scores/; empty for the trials' own

    def __post_init__(self) -> None:
        labels.check(*pivot.axes(self.down, self.across))
        chosen(self.score)

    def table(self, made_of: Material) -> PivotTable:
        """The table, as `pivot_table` makes it."""
        return pivot.pivot_table(self.down, self.across, chosen(self.score, made_of.trial), made_of)

    def findings(self, table: PivotTable, made_of: Material) -> tuple[str, ...]:
        """The summary, as `findings.of_pivot` makes it."""
        return findings.of_pivot(table, made_of)

    def files(
        self,
        table: PivotTable,
        question: str,
        again: str,
        _: Path,
        findings: Sequence[str] = (),
        extras: Extras = NO_EXTRAS,
    ) -> dict[str, str | bytes]:
        """The files of a report by name.

        Args:
            table: what it reports.
            question: what the sweep asks, as its heading.
            again: the command that writes it again.
            findings: sentences that the page opens with.
            extras: the parts that follow from the runs.
        """
        best, share = classwise.best_of_columns(table, extras.classwise), table.score.is_share
        confusion = {"confusion": matrix.confusions(best, columns=3, inches=3.2, none="", share=share)} if best else {}
        confused = {"confusion": classwise.confusion_frame(table, extras.classwise)} if best else {}
        contents = Contents(
            markdown=pivot.markdown(table),
            latex=pivot.latex(table),
            frames={"table": pivot.csv_frame(table), **confused, **seen.frames(table)},
            figures={"figure": lines.lines(table), **confusion},
            page={
                "main": pivot.main_grid(table),
                "detail": pivot.detail_grid(table),
                "pivot_captions": pivot.captions(table),
                "seen": seen.shown(table),
                "seen_remarks": seen.remarks(table),
                "axes": [labels.title(field) for field in table.axes],
                "axis": labels.axis(table.down).lower(),
                "classes": classwise.class_grid(extras.classwise),
                **CLASS_CAPTIONS,
            },
        )
        return report.files("pivot.html", table, question, again, contents, findings, extras)


@dataclass(frozen=True)
class Ranking:
    """A table of one field's values from the best score to the worst, with all pairs compared and a confusion matrix.

    Raises:
        ValueError: if the field is not of `TrialConfig`, or is the seed, or one that a test set follows from; if there
            is no such score.
    """

    over: str
    columns: tuple[Column, ...] | None = None  # beside the scores; None for what is known of networks, or nothing
    score: str | Score = ""  # as of `Pivot`

    def __post_init__(self) -> None:
        labels.check(self.over)
        chosen(self.score)
        if self.over in ranking.ONE_TEST_SET:
            raise ValueError(
                f"{labels.plural(self.over)} have no one test set, on which a ranking compares all pairs; choose "
                f'Pivot(down="{self.over}")'
            )

    def table(self, made_of: Material) -> RankingTable:
        """The table, as `ranking_table` makes it."""
        columns = self.columns
        if columns is None:
            columns = NETWORK if self.over == "backbone" else ()
        return ranking.ranking_table(self.over, columns, chosen(self.score, made_of.trial), made_of)

    def findings(self, table: RankingTable, _: Material) -> tuple[str, ...]:
        """The summary, as `findings.of_ranking` makes it."""
        return findings.of_ranking(table)

    def files(
        self,
        table: RankingTable,
        question: str,
        again: str,
        out: Path,
        findings: Sequence[str] = (),
        extras: Extras = NO_EXTRAS,
    ) -> dict[str, str | bytes]:
        """The files of a report by name.

        Args:
            table: what it reports.
            question: what the sweep asks, as its heading.
            again: the command that writes it again.
            out: the folder they will lie in, which may hold what `analysis.inside.gradcam` wrote.
            findings: sentences that the page opens with.
            extras: the parts that follow from the runs.
        """
        contents = Contents(
            markdown=standings.markdown(table),
            latex=standings.latex(table),
            frames={
                "table": standings.csv_frame(table),
                "pairs": pairs.pairs_frame(table),
                "confusion": classes.confusion_frame(table),
                **seen.frames(table),
            },
            figures={"figure": dots.dots(table), "confusion": matrix.best_confusions(table)},
            page=_page(table) | {"gradcam": gradcam(out)},
        )
        return report.files("ranking.html", table, question, again, contents, findings, extras)


def _page(table: RankingTable) -> dict[str, object]:
    """The parts of a ranking's page besides its two figures."""
    left_out = [table.left_out] * bool(table.left_out)
    return {
        "confusions": style.in_page(style.svg(matrix.all_confusions(table))),
        "main": standings.main_grid(table),
        "detail": standings.detail_grid(table),
        "classes": classes.class_grid(table),
        "matrix": pairs.matrix_grid(table),
        "pairs": pairs.pair_grid(table),
        "origins": standings.origin_grid(table),
        "ranking_captions": standings.captions(table),
        "seen": seen.shown(table),
        "seen_remarks": seen.remarks(table),
        "class_captions": [classes.CLASS_CAPTION, *left_out],
        "confusion_captions": [classes.CONFUSION_CAPTION, *left_out],
        "pair_captions": [*pairs.pair_captions(table), *left_out],
        "field": labels.title(table.over),
    }


def gradcam(out: Path) -> dict[str, str] | None:
    """The figure and text that `analysis.inside.gradcam` left in a report's folder, or None."""
    figure, text = out / "gradcam" / "gradcam.svg", out / "gradcam" / "focus.md"
    if not (figure.is_file() and text.is_file()):
        return None
    return {"figure": style.in_page(figure.read_text(encoding="utf-8")), "text": text.read_text(encoding="utf-8")}
