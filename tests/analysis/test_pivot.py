"""A pivot's cells, here of two rates: the averages, the gaps, and the report in every format."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import assemble, write
from analysis.engine.figures import style
from analysis.engine.figures.lines import lines as drawn
from analysis.engine.kinds import Pivot
from analysis.engine.protocol import Published, read_published
from analysis.engine.rows import read_predictions, table_rows
from analysis.engine.tables import pivot
from analysis.engine.tables.cells import Material
from analysis.engine.tables.pivot import PivotTable
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import PIVOT_FILES, MakeRun, fields

RATES = Pivot(down="data_hz", across="pretrain_hz")


@pytest.fixture
def published() -> Published:
    """Table I of the paper."""
    return read_published("deepship_rates")


@pytest.fixture
def table(sweep: Sweep, complete: list[Run], published: Published) -> PivotTable:
    """A complete table, comparable with the published one."""
    return assemble(RATES.table, sweep, complete, published, "", 0.02)


@pytest.fixture
def partial(sweep: Sweep, complete: list[Run], published: Published) -> PivotTable:
    """The table with seed 1 of its first cell failed and seed 3 of it missing."""
    runs = [dataclasses.replace(complete[0], status="FAILED"), complete[1], *complete[3:]]
    return assemble(RATES.table, sweep, runs, published, "", 0.02)


def test_a_cell_averages_its_seeds(table: PivotTable, complete: list[Run]) -> None:
    """The cell (16 kHz, 2 kHz) has the mean and sample deviation of its three stated accuracies."""
    stated = [run.metrics["test_accuracy"] for run in complete[:3]]
    cell = table.cell(2_000, 16_000)
    assert cell is not None
    assert cell.scores is not None
    assert cell.scores.clip.mean == pytest.approx(np.mean(stated))
    assert cell.scores.clip.std == pytest.approx(np.std(stated, ddof=1))
    assert cell.scores.num_recordings == 24
    assert cell.scores.to_come.low < cell.scores.clip.mean < cell.scores.to_come.high


def test_difference_is_to_the_same_rates(table: PivotTable) -> None:
    """Pre-training and data rate are not swapped: 70.0 is compared with the published 74.2 of 2 kHz data at 16 kHz."""
    cell = table.cell(2_000, 16_000)
    assert cell is not None
    assert cell.difference is not None
    assert cell.difference.value == pytest.approx(0.70 - 0.742, abs=0.001)
    other = table.cell(4_000, 32_000)
    assert other is not None
    assert other.difference is not None
    assert other.difference.value == pytest.approx(0.72 - 0.751, abs=0.001)
    assert other.verdict == "different"


def test_an_incomplete_cell_is_not_averaged(partial: PivotTable) -> None:
    """With one of three seeds it has no number, and says which seeds are missing and why."""
    cell = partial.cell(2_000, 16_000)
    assert cell is not None
    assert (cell.scores, cell.difference, cell.verdict) == (None, None, "")
    assert cell.gap == "1 of 3 seeds: failed 1, missing 3"
    assert not partial.complete


def test_ties_are_all_best_but_only_in_a_complete_table(table: PivotTable, partial: PivotTable) -> None:
    """Both 4 kHz cells print 72.0; while a cell is open, the highest mean is not known."""
    assert [(c.trial.pretrain_hz, c.trial.data_hz) for c in table.cells if table.is_best(c)] == [
        (16_000, 4_000),
        (32_000, 4_000),
    ]
    assert not any(partial.is_best(cell) for cell in partial.cells)


def test_reasons_replace_the_verdict_and_keep_the_difference(
    sweep: Sweep, make_run: MakeRun, published: Published
) -> None:
    """With another corpus the difference stays, the verdict is "not comparable", and its letter is explained."""
    runs = [make_run(trial, corpus_clips="1/2/3") for trial in sweep.trials]
    table = assemble(RATES.table, sweep, runs, published, "", 0.02)
    assert {cell.verdict for cell in table.cells} == {"not comparable"}
    assert all(cell.difference for cell in table.cells)
    text = pivot.markdown(table)
    assert "not comparable (a)" in text
    assert "(a) training/validation/test clips are 1/2/3 here, 23088/3974/6708 there" in text


def test_the_margin_decides_equivalence(sweep: Sweep, complete: list[Run], published: Published) -> None:
    """A margin of 10 points makes all cells equivalent, one of 0.01 points none."""
    wide = assemble(RATES.table, sweep, complete, published, "", 0.10)
    narrow = assemble(RATES.table, sweep, complete, published, "", 0.0001)
    assert {cell.verdict for cell in wide.cells} == {"equivalent"}
    assert "equivalent" not in {cell.verdict for cell in narrow.cells}


def test_seeds_scored_on_different_clips_are_refused(sweep: Sweep, complete: list[Run], make_run: MakeRun) -> None:
    """Averaging over seeds needs one test set, whatever the hashes say."""
    complete[1] = make_run(sweep.trials[1], run_id="other-clips", num_recordings=23)
    with pytest.raises(ValueError, match=rf"{sweep.trials[1].key}.*scored on different clips"):
        assemble(RATES.table, sweep, complete, None, "", 0.02)


def test_recording_with_two_labels_is_refused(sweep: Sweep, complete: list[Run]) -> None:
    """A recording needs a single true class, and the error names the recording."""
    for run in complete:
        path = Path(run.artifact_uri) / "predictions.npz"
        arrays = dict(np.load(path))
        arrays["recording"][arrays["recording"] == "ship-003"] = "ship-002"
        np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="recording ship-002: its clips have different labels"):
        assemble(RATES.table, sweep, complete, None, "", 0.02)


def test_a_cell_that_varies_more_than_its_seed_is_refused(sweep: Sweep) -> None:
    """Trials of two learning rates cannot share a cell."""
    twice = Sweep("toy", (*sweep.trials, *(dataclasses.replace(trial, lr=1e-3) for trial in sweep.trials)))
    with pytest.raises(ValueError, match="sweep toy varies lr too"):
        RATES.table(Material("toy", table_rows(twice, []), {}))


def test_a_single_seed_has_a_mean_and_no_deviation(sweep: Sweep, complete: list[Run], published: Published) -> None:
    """Nothing is made up for n = 1: no ±, no t-interval, and no verdict other than "cannot tell"."""
    single = Sweep("toy_rates", tuple(trial for trial in sweep.trials if trial.seed == 2))
    table = assemble(RATES.table, single, complete, published, "", 0.02)
    assert "n = 1 seed." in pivot.markdown(table)
    assert {cell.verdict for cell in table.cells} == {"cannot tell"}
    assert [text.words for text in pivot.main_grid(table).rows[0]] == ["2 kHz", "70.0", "70.0"]


def test_without_published_numbers_nothing_is_compared(sweep: Sweep, complete: list[Run]) -> None:
    """There are no published rows, no verdict, and no caption about them."""
    table = assemble(RATES.table, sweep, complete, None, "", 0.02)
    assert "ublished" not in pivot.markdown(table).replace("| Published ", "")
    assert {cell.verdict for cell in table.cells} == {""}


def test_markdown_lays_out_rates_as_the_paper_does(table: PivotTable) -> None:
    """Data rates go down, pre-training rates across, and the published numbers are below ours, as printed."""
    lines_of_fields = fields(pivot.markdown(table))
    assert lines_of_fields[0] == ["Data rate", "CNN14_16k", "CNN14_32k"]
    assert lines_of_fields[2] == ["2 kHz", "70.0 ± 0.5", "70.0 ± 0.5"]
    assert lines_of_fields[3] == ["*published*", "*74.2 ± 1.3*", "*73.6 ± 0.7*"]
    assert lines_of_fields[4] == ["4 kHz", "**72.0 ± 0.5**", "**72.0 ± 0.5**"]


def test_csv_has_every_number_at_full_precision(partial: PivotTable) -> None:
    """There is one row per cell; numbers survive as text; an incomplete cell has its gap and no number."""
    text = pivot.csv_frame(partial).to_csv(index=False)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert (rows[0]["gap"], rows[0]["clip_accuracy_mean"]) == ("1 of 3 seeds: failed 1, missing 3", "")
    cell = partial.cell(4_000, 32_000)
    assert cell is not None
    assert cell.scores is not None
    assert float(rows[3]["clip_accuracy_mean"]) == cell.scores.clip.mean
    assert float(rows[3]["clip_accuracy_to_come95_low"]) == cell.scores.to_come.low
    assert float(rows[3]["published_std_printed"]) == pytest.approx(0.003)
    assert (rows[3]["published_n"], rows[0]["num_test_clips"]) == ("3", "")
    assert rows[3]["num_test_clips"] == str(cell.scores.num_clips)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex to compile with")
def test_latex_compiles_with_booktabs(partial: PivotTable, check_latex: Callable[[str], None]) -> None:
    """An article takes the table, with gaps and underscores, without a warning about width."""
    check_latex(pivot.latex(partial))


def test_latex_escapes_and_marks(table: PivotTable) -> None:
    """Model names keep their underscore, the best is bold, and nothing outside ASCII is left."""
    text = pivot.latex(table)
    assert r"CNN14\_16k" in text
    assert r"\textbf{72.0 $\pm$ 0.5}" in text
    assert text.isascii()


def test_figure_leaves_a_gap_where_a_cell_is_incomplete(partial: PivotTable) -> None:
    """The line of 16 kHz has no point at 2 kHz and 72.0 at 4 kHz; the axis is labelled by the data rates."""
    axes = drawn(partial).axes[0]
    ours = next(line for line in axes.get_lines() if line.get_linestyle() == "-" and np.size(line.get_xdata()) == 2)
    heights = np.asarray(ours.get_ydata(), dtype=float)
    assert math.isnan(heights[0])
    assert heights[1] == pytest.approx(72.0, abs=0.05)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2 kHz", "4 kHz"]


def test_figure_is_the_same_text_twice(table: PivotTable) -> None:
    """The SVG of one table can be compared and committed."""
    assert style.svg(drawn(table)) == style.svg(drawn(table))


def test_page_is_self_contained_and_says_what_is_missing(
    partial: PivotTable, tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """Nothing is fetched, every tag closes, and question, gap, hashes and published source are on the page."""
    page = str(RATES.files(partial, "Is <it> so?", "python -m analysis.toy", tmp_path)["report.html"])
    check_page(page)
    assert "Is &lt;it&gt; so?" in page
    for words in ("1 of 3 seeds: failed 1, missing 3", "d1" * 32, "51" * 32, "c0ffee0", "Mohammadi", "3 of 4 cells"):
        assert words in page


def test_provenance_counts_finished_runs(partial: PivotTable) -> None:
    """Ten of twelve trials count; weights are labelled by their rate."""
    assert partial.provenance["data"] == {"d1" * 32: 10}
    assert sorted(partial.provenance["weights"].values()) == [4, 6]
    assert partial.provenance["git commit"] == {"c0ffee0": 10}


def test_report_writes_its_files(table: PivotTable, tmp_path: Path) -> None:
    """All files go into one folder, with the picture as PNG."""
    out = tmp_path / "deep" / "folder"
    write(RATES.files(table, "Is it so?", "python -m analysis.toy", out), out)
    written = {path.name: path.stat().st_size for path in out.iterdir()}
    assert set(written) == PIVOT_FILES
    assert all(written.values())
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_store_without_the_planned_trials_says_what_it_has(sweep: Sweep, make_run: MakeRun) -> None:
    """If nothing matches, the error names the settings that would."""
    runs = [make_run(dataclasses.replace(trial, epochs=2)) for trial in sweep.trials[:3]]
    with pytest.raises(
        ValueError, match=r"(?s)no run is of a trial that sweep toy_rates plans.*3 runs with --set epochs=2"
    ):
        assemble(RATES.table, sweep, runs, None, "", 0.02)


def test_read_predictions_feed_the_same_recordings_to_every_cell(table: PivotTable, complete: list[Run]) -> None:
    """The interval over recordings uses exactly the clips that the runs kept."""
    assert {cell.scores.num_clips for cell in table.cells if cell.scores} == {len(read_predictions(complete[0]).labels)}
