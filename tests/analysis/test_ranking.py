"""A ranking, here of backbones: order, comparisons, refusals, and the report in every format."""

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

from analysis.engine.command import assemble, main, write
from analysis.engine.confusion import Confusion
from analysis.engine.figures import style
from analysis.engine.figures.dots import dots
from analysis.engine.figures.matrix import best_confusions, confusions
from analysis.engine.kinds import Ranking
from analysis.engine.protocol import Published, read_published
from analysis.engine.tables import classes, networks, pairs, standings
from analysis.engine.tables.networks import count
from analysis.engine.tables.pairs import against_best, p_value, pair_captions
from analysis.engine.tables.ranking import RankingTable
from analysis.engine.tables.standings import differing_captions
from sweeps.deepship_backbones import SWEEP
from sweeps.engine.plan import Sweep, varied
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import RANKING_FILES, MakeRun, fields

BACKBONES = Ranking(over="backbone")
ACCURACY = {  # by seed: cnn14 is best, mobilenetv1 not distinguishable from it, cnn6 surely lower
    "cnn14": (0.80, 0.81, 0.82),
    "mobilenetv1": (0.78, 0.82, 0.78),
    "cnn10": (0.70, 0.702, 0.722),
    "cnn6": (0.60, 0.612, 0.62),
}


@pytest.fixture
def runs(backbones: Sweep, make_run: MakeRun) -> list[Run]:
    """Every trial finished."""
    return [make_run(trial, ACCURACY[trial.backbone][trial.seed - 1]) for trial in backbones.trials]


@pytest.fixture
def published() -> Published:
    """Table II of the paper."""
    return read_published("deepship_backbones")


@pytest.fixture
def table(backbones: Sweep, runs: list[Run], published: Published) -> RankingTable:
    """A complete table."""
    return assemble(BACKBONES.table, backbones, runs, published, "", 0.02)


@pytest.fixture
def partial(backbones: Sweep, runs: list[Run], published: Published) -> RankingTable:
    """The table with seed 2 of cnn14 missing, and seed 1 of cnn6 failed."""
    kept = [dataclasses.replace(runs[0], status="FAILED"), *runs[1:4], *runs[5:]]
    return assemble(BACKBONES.table, backbones, kept, published, "", 0.02)


def test_the_highest_mean_stands_first(table: RankingTable) -> None:
    """The order is that of the scores, not of the plan."""
    assert [backbone.name for backbone in table.cells] == ["cnn14", "mobilenetv1", "cnn10", "cnn6"]
    assert [table.is_best(backbone) for backbone in table.cells] == [True, False, False, False]


def test_an_incomplete_backbone_stands_last_and_is_not_compared(partial: RankingTable) -> None:
    """It is neither averaged nor in a pair nor in a matrix; its gap names the missing seeds; nothing is best yet."""
    assert [backbone.name for backbone in partial.cells] == ["mobilenetv1", "cnn10", "cnn6", "cnn14"]
    assert [backbone.gap for backbone in partial.cells[2:]] == ["2 of 3 seeds: failed 1", "2 of 3 seeds: missing 2"]
    assert partial.cells[3].scores is partial.cells[3].macro_f1 is partial.cells[3].confusion is None
    assert [(pair.first, pair.second) for pair in partial.pairs] == [("mobilenetv1", "cnn10")]
    assert against_best(partial, partial.cells[0]) == "best so far"
    assert against_best(partial, partial.cells[3]) == "–"
    assert not any(partial.is_best(backbone) for backbone in partial.cells)


def test_each_row_says_how_it_stands_against_the_best(table: RankingTable) -> None:
    """The words follow the corrected p of its pair with the highest mean."""
    assert against_best(table, table.cells[0]) == "best"
    assert against_best(table, table.cells[1]).startswith("not distinguishable, p = ")
    assert against_best(table, table.cells[3]).startswith("lower, p ")
    pair = table.pair(table.cells[0], table.cells[3])
    assert pair is not None
    assert pair.p < pair.p_holm < 0.05


def test_a_pair_without_p_is_not_distinguishable(backbones: Sweep, make_run: MakeRun) -> None:
    """With one seed, p is unknown, in words, and no row is called lower."""
    levels = {"cnn14": 0.8, "cnn6": 0.7, "cnn10": 0.7, "mobilenetv1": 0.7}
    first = Sweep("toy", tuple(trial for trial in backbones.trials if trial.seed == 1))
    table = assemble(BACKBONES.table, first, [make_run(t, levels[t.backbone]) for t in first.trials], None, "", 0.02)
    assert {against_best(table, b) for b in table.cells[1:]} == {"not distinguishable, p unknown"}
    assert pair_captions(table)[-1] == "Not distinguishable does not mean equal."


def test_difference_is_to_the_same_backbone(table: RankingTable) -> None:
    """81.0 against the 70.6 published of CNN14; CNN10 was not published."""
    assert table.cells[0].difference is not None
    assert table.cells[0].difference.value == pytest.approx(0.81 - 0.706, abs=0.001)
    assert table.cells[0].verdict == "different"
    assert (table.cells[2].published, table.cells[2].verdict) == (None, "")


def test_reasons_stand_at_the_rows_they_concern(backbones: Sweep, make_run: MakeRun, published: Published) -> None:
    """With one backbone without SpecAugment, only its row is not comparable, by letter, and the captions name it."""
    trials = [dataclasses.replace(t, augment="mixup") if t.backbone == "cnn14" else t for t in backbones.trials]
    runs = [make_run(trial, 0.7 + 0.01 * trial.seed) for trial in trials]
    table = assemble(BACKBONES.table, Sweep("toy", tuple(trials)), runs, published, "", 0.02)
    assert {b.name for b in table.cells if b.verdict == "not comparable"} == {"cnn14"}
    assert differing_captions(table) == (
        "Not the same for all networks: augment (specaugment+mixup; mixup for cnn14).",
    )
    assert "not comparable (a)" in standings.markdown(table)


def test_runs_that_did_not_count_parameters_have_none(backbones: Sweep, runs: list[Run]) -> None:
    """Runs of earlier versions have an en dash; one seed with a count is enough."""
    without = []
    for run in runs:
        metrics = dict(run.metrics)
        if run.params["backbone"] == "cnn6" or run.params["seed"] == "1":
            del metrics["num_parameters"]
        without.append(dataclasses.replace(run, metrics=metrics))
    table = assemble(BACKBONES.table, backbones, without, None, "", 0.02)
    assert [b.num_parameters for b in table.cells] == [4_260_228, 4_260_228, 4_260_228, None]
    assert [row[4] for row in fields(standings.markdown(table))[2:6]] == ["4.26 M", "4.26 M", "4.26 M", "–"]


def test_seeds_of_two_sizes_are_refused(backbones: Sweep, runs: list[Run]) -> None:
    """The network has then changed between its runs."""
    runs[1] = dataclasses.replace(runs[1], metrics={**runs[1].metrics, "num_parameters": 7})
    with pytest.raises(ValueError, match="cnn6 was trained with 7 and 4,260,228 parameters; delete the runs"):
        assemble(BACKBONES.table, backbones, runs, None, "", 0.02)


def test_backbones_scored_on_different_clips_are_refused(backbones: Sweep, runs: list[Run], make_run: MakeRun) -> None:
    """A difference needs one test set, whatever the hashes say."""
    for i in (3, 4, 5):
        runs[i] = make_run(backbones.trials[i], run_id=f"other-{i}", num_recordings=23)
    with pytest.raises(ValueError, match="scored on different clips"):
        assemble(BACKBONES.table, backbones, runs, None, "", 0.02)


@pytest.mark.parametrize(
    ("number", "change"), [(0, {"lr": 1e-3}), (3, {"clip_s": 4.0}), (3, {"classes": "Tanker,Tug"})]
)
def test_more_than_one_setting_is_refused(backbones: Sweep, number: int, change: dict[str, object]) -> None:
    """Two learning rates of one backbone, or backbones on two tasks, do not make a table of backbones."""
    trials = list(backbones.trials)
    for i in range(number, number + (3 if number else 1)):
        trials[i] = dataclasses.replace(trials[i], **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"sweep toy varies {next(iter(change))} too"):
        assemble(BACKBONES.table, Sweep("toy", tuple(trials)), [_run(t.key) for t in trials], None, "", 0.02)


def _run(key: str) -> Run:
    return Run("r", "toy", key, "RUNNING", {}, {}, {"key": key}, "")


@pytest.mark.parametrize(
    ("weights", "source", "checkpoint"),
    [
        ("published", "AudioSet, 527 classes", "Cnn6_mAP=0.343.pth"),
        ("none", "nothing", ""),
        ("run:0123456789ab", "run 0123456789ab", ""),
    ],
)
def test_each_row_says_where_its_weights_come_from(
    backbones: Sweep, weights: str, source: str, checkpoint: str
) -> None:
    """It is the checkpoint's own passport, or the replacement for it."""
    trial = dataclasses.replace(backbones.trials[0], weights=weights)
    table = assemble(BACKBONES.table, Sweep("toy", (trial,)), [_run(trial.key)], None, "", 0.02)
    trial = table.cells[0].trial
    assert (networks.pretrained_on(trial), networks.checkpoint(trial)) == (source, checkpoint)


def test_counts_and_p_values_have_three_digits() -> None:
    """Parameters are printed as in the paper; a p of 0 is printed as a bound."""
    numbers = (141_348_046, 79_993_860, 4_206_868, 999_500, 15_300, None)
    assert [count(n) for n in numbers] == ["141 M", "80.0 M", "4.21 M", "1.00 M", "15.3 k", "–"]
    assert [p_value(p) for p in (1.0, 0.314, 0.0123, 1e-9, math.nan)] == ["1.00", "0.31", "0.012", "<0.001", "unknown"]


def test_markdown_fits_a_terminal(table: RankingTable, partial: RankingTable) -> None:
    """No line of a table is longer than 200 columns, and the triangle has every pair once."""
    for ranking in (table, partial):
        assert max(len(line) for line in standings.markdown(ranking).splitlines() if line[0:1] == "|") <= 200
    triangle = pairs.matrix_grid(table).rows
    assert [row[1].words for row in triangle] == ["mobilenetv1", "cnn10", "cnn6"]
    assert [sum(bool(text.words) for text in row[2:]) for row in triangle] == [1, 2, 3]
    assert triangle[0][2].words.startswith("+1.7 (")
    assert triangle[2][2].kind == "best"  # told apart


def test_captions_state_test_family_and_power(table: RankingTable) -> None:
    """There are six pairs, two questions, Holm's correction, and what keeps more from being shown."""
    words = " ".join(pair_captions(table))
    for part in (
        "6 pairs by Holm's procedure",
        "on recordings to come, seeds and recordings do, whose variances add up",
        "Differences are paired by seed",
        "the clearest of 6 pairs one above",
        " % from the recordings, which only more recordings do.",
    ):
        assert part in words


def test_csv_files_have_every_number(table: RankingTable) -> None:
    """Numbers survive the round trip through text; pairs and confusions are complete."""
    rows = list(csv.DictReader(io.StringIO(standings.csv_frame(table).to_csv(index=False))))
    first = table.cells[0]
    assert first.scores is not None
    assert first.macro_f1 is not None
    assert float(rows[0]["clip_accuracy_mean"]) == first.scores.clip.mean
    assert float(rows[0]["macro_f1_std_sample"]) == first.macro_f1.std
    assert (rows[0]["num_parameters"], rows[0]["published_parameters"], rows[0]["type"]) == ("4260228", "79.7M", "PANN")
    recall = [float(rows[0][f"recall_{name}_mean"]) for name in ("Cargo", "Passengership", "Tanker", "Tug")]
    assert all(0 < value < 1 for value in recall)

    compared = pairs.pairs_frame(table)
    assert len(compared) == 6
    assert compared["p_holm"].tolist() == [pair.p_holm for pair in table.pairs]
    shares = classes.confusion_frame(table)
    assert len(shares) == 4 * 16
    assert np.allclose(shares.groupby(["backbone", "true"])["mean"].sum(), 1)
    assert shares[shares["true"] == shares["predicted"]]["mean"][:4].tolist()[0] == pytest.approx(recall[0])


def test_figure_has_one_row_per_backbone(partial: RankingTable) -> None:
    """Rows are sorted; one without a mean yet shows its gap in words, and still its published mean."""
    axes = dots(partial).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mobilenetv1", "cnn10", "cnn6", "cnn14"]
    assert [text.get_text() for text in axes.texts] == ["2 of 3 seeds: failed 1", "2 of 3 seeds: missing 2"]
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert [float(np.ravel(line.get_xdata())[0]) for line in hollow] == pytest.approx([67.1, 70.6])


def test_confusions_are_of_the_best_of_each_type(make_run: MakeRun) -> None:
    """PANN is left, TIMM right, as in the paper's Fig. 3; numbers can be read on dark and on light."""
    plan = varied(SWEEP, {"split": "published"})
    levels = {"cnn14": 0.9, "timm/convnextv2_tiny.fcmae": 0.85}
    runs = [make_run(t, levels.get(t.backbone, 0.6) + 0.002 * t.seed) for t in plan.trials]
    table = assemble(BACKBONES.table, plan, runs, None, "", 0.02)
    left, right = best_confusions(table).axes
    assert left.get_title().startswith("cnn14\n90.4 ± 0.2")
    assert right.get_title().startswith("convnextv2_tiny.fcmae\n")
    colours = {text.get_color() for text in left.texts}
    assert colours == {style.ON_LIGHT, style.ON_DARK}
    assert max(len(line) for line in standings.markdown(table).splitlines() if line[0:1] == "|") <= 200


@pytest.mark.slow
def test_many_networks_and_classes_keep_the_figures_bounded(table: RankingTable) -> None:
    """With 200 networks of 200 classes: the first 60 rows, 24 matrices with 20 names a side; both say so."""
    confusion = Confusion(tuple(f"$species_{i}" for i in range(200)), np.eye(200)[None])
    many = [dataclasses.replace(backbone, confusion=confusion) for backbone in table.ranked * 50]
    figure = confusions(many, columns=4, inches=2.6, none="")
    assert figure.get_size_inches().max() < 30
    assert figure.get_suptitle() == "the first 24 of 200; the tables have all"
    assert [len(axes.get_xticklabels()) for axes in figure.axes] == [20] * 24
    style.svg(figure)
    rows = dots(dataclasses.replace(table, cells=tuple(table.cells) * 50))
    assert rows.get_size_inches().max() < 30
    assert rows.axes[0].get_xlabel() == "Test accuracy, clips [%]; the first 60 of 200; the tables have all"


@pytest.mark.slow
def test_page_is_self_contained_and_says_what_is_missing(
    partial: RankingTable, tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """Nothing is fetched, every tag closes; gaps, hashes, source and the way to the Grad-CAM figure are on the page."""
    page = str(BACKBONES.files(partial, "Is <it> so?", "python -m analysis.toy", tmp_path)["report.html"])
    check_page(page)
    for words in (
        "Is &lt;it&gt; so?",
        "2 of 3 seeds: failed 1",
        "d1" * 32,
        "Table II",
        "python -m analysis.inside.gradcam",
    ):
        assert words in page


@pytest.mark.slow
def test_page_takes_up_what_gradcam_left(
    table: RankingTable, tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """The figure and the text in the report's folder `gradcam/` are on the page, the text escaped."""
    (tmp_path / "gradcam").mkdir()
    (tmp_path / "gradcam" / "gradcam.svg").write_text('<?xml version="1.0"?>\n<svg id="here"></svg>', encoding="utf-8")
    (tmp_path / "gradcam" / "focus.md").write_text("| focus | <b> |", encoding="utf-8")
    page = str(BACKBONES.files(table, "Is it so?", "python -m analysis.toy", tmp_path)["report.html"])
    check_page(page)
    assert '<svg id="here">' in page
    assert "| focus | &lt;b&gt; |" in page
    assert "analysis.inside.gradcam" not in page


@pytest.mark.slow
def test_report_writes_its_files_twice_alike(table: RankingTable, tmp_path: Path) -> None:
    """All files go into one folder; the second time they have the same bytes."""
    first, again = (BACKBONES.files(table, "Is it so?", "python -m x", tmp_path) for _ in range(2))
    write(first, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == RANKING_FILES
    assert {name for name in first if first[name] != again[name]} == set()
    assert (tmp_path / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_without_a_complete_backbone_is_written(backbones: Sweep, runs: list[Run], tmp_path: Path) -> None:
    """With one run of twelve, every file is there, and says so."""
    table = assemble(BACKBONES.table, backbones, runs[:1], None, "", 0.02)
    files = BACKBONES.files(table, "Is it so?", "python -m x", tmp_path)
    assert set(files) == RANKING_FILES
    assert "1 of 3 seeds: missing 2, 3" in str(files["report.html"])
    assert style.png(best_confusions(table)).startswith(b"\x89PNG")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex to compile with")
def test_latex_compiles_with_booktabs(partial: RankingTable, check_latex: Callable[[str], None]) -> None:
    """An article takes the tables, with daggers, hashes and underscores, without a warning about width."""
    text = standings.latex(partial)
    check_latex(text)
    assert text.isascii()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_the_command_reads_a_real_store(
    backbones: Sweep,
    runs: list[Run],
    tmp_path: Path,
    fill_store: Callable[[Path, list[Run]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit code is 3 while a seed is missing, 0 when all are there; the parameters come back from the store."""
    flags = ["--store", fill_store(tmp_path / "store", runs[:5]), "--out", str(tmp_path / "out")]
    assert main(backbones, "Is it so?", BACKBONES, "deepship_backbones", flags) == 3
    printed = capsys.readouterr().out
    assert "2 of 3 seeds: missing 3" in printed
    assert "4.26 M" in printed
    assert "written: " in printed
    assert main(backbones, "Is it so?", BACKBONES, argv=[*flags, "--limit", "3"]) == 0
