"""A study over any field gets its whole report without new code: pivots and rankings of augmentations."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import assemble, main
from analysis.engine.figures import style
from analysis.engine.figures.dots import dots
from analysis.engine.figures.lines import lines
from analysis.engine.figures.matrix import best_confusions
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.protocol import read_published
from analysis.engine.tables import pairs, pivot, standings
from analysis.engine.tables.scores import chosen
from sweeps.deepship_backbones import SWEEP
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE, OF_RUNS, PIVOT_FILES, RANKING_FILES, MakeRun, fields
from trainable.learning.score import ClipScore
from trainable.result import metrics

TWO = Pivot(down="augment", across="lr")
LEVELS = {"none": 0.60, "mixup": 0.64, "specaugment+mixup": 0.70}


@dataclass(frozen=True)
class MeanLikelihood(ClipScore):
    """The likelihood that the clips' own classes were given."""

    title = "mean likelihood"
    higher_is_better = True
    is_share = True
    each_epoch = False
    stage = 9
    recordings_by = "the median of all clips"

    def of_clips(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The likelihood of each clip's own class."""
        shares: np.ndarray = np.exp(metrics.log_softmax(logits))[np.arange(len(labels)), labels]
        return shares

    def of_recordings(self, logits: np.ndarray, labels: np.ndarray, recording: np.ndarray) -> float:
        """The median, to differ from the mean."""
        return float(np.median(self.of_clips(logits, labels)))


LIKELIHOOD = MeanLikelihood()


@pytest.fixture
def augments() -> Sweep:
    """Three augmentations x two learning rates x three seeds = 18 trials."""
    return Sweep("toy_augments", grid(BASE, augment=tuple(LEVELS), lr=(1e-3, 5e-5), seed=(1, 2, 3)))


@pytest.fixture
def runs(augments: Sweep, make_run: MakeRun) -> list[Run]:
    """Every trial finished; the higher learning rate is a point worse."""
    finished = []
    for trial in augments.trials:
        noise = 0.004 * (trial.seed * len(trial["augment"]) % 3)
        finished.append(make_run(trial, LEVELS[trial["augment"]] + noise - 0.01 * (trial.lr > 1e-4)))
    return finished


def slower(augments: Sweep, runs: list[Run]) -> tuple[Sweep, list[Run]]:
    """The half of the study at one learning rate."""
    trials = tuple(trial for trial in augments.trials if trial.lr == 5e-5)
    return Sweep("toy_augments", trials), [run for run in runs if run.params["lr"] == "5e-05"]


def test_a_pivot_lays_out_any_two_fields(augments: Sweep, runs: list[Run]) -> None:
    """Words go down as planned, numbers across in rising order; a number names its field."""
    table = assemble(TWO.table, augments, runs, None, "", 0.02)
    lines_of_fields = fields(pivot.markdown(table))
    assert lines_of_fields[0] == ["Augmentation", "lr=5e-05", "lr=0.001"]
    assert lines_of_fields[5][:2] == ["Augmentation", "Learning rate"]
    assert lines_of_fields[7][:2] == ["none", "5e-05"]
    assert [row[0] for row in lines_of_fields[2:5]] == list(LEVELS)
    assert lines_of_fields[4][1].startswith("**70.")
    assert table.title(table.cells[1]) == "augment=none, lr=0.001"
    rows = list(csv.DictReader(io.StringIO(pivot.csv_frame(table).to_csv(index=False))))
    assert [(row["augment"], row["lr"]) for row in rows[:2]] == [("none", "5e-05"), ("none", "0.001")]
    assert list(rows[0])[:4] == ["sweep", "backbone", "lr", "augment"]


def test_a_pivot_without_a_field_across_has_one_column(augments: Sweep, runs: list[Run]) -> None:
    """Its heading is the score; the detailed table has no second field."""
    table = assemble(Pivot(down="augment").table, *slower(augments, runs), None, "", 0.02)
    lines_of_fields = fields(pivot.markdown(table))
    assert lines_of_fields[0] == ["Augmentation", "Accuracy"]
    assert lines_of_fields[5][:3] == ["Augmentation", "n", "Clip accuracy"]
    assert lines(table).axes[0].get_xlabel() == "Augmentation"


def test_numbers_stand_on_a_logarithmic_axis_and_words_side_by_side(augments: Sweep, runs: list[Run]) -> None:
    """Nothing is drawn between two words; zero, which has no logarithm, is a word too."""
    table = assemble(TWO.table, augments, runs, None, "", 0.02)
    (words,) = lines(table).axes
    assert (words.get_xscale(), [label.get_text() for label in words.get_xticklabels()]) == ("linear", list(LEVELS))
    assert {line.get_linestyle() for line in words.get_lines()} == {"None"}
    turned = assemble(Pivot(down="lr", across="augment").table, augments, runs, None, "", 0.02)
    (numbers,) = lines(turned).axes
    assert (numbers.get_xscale(), numbers.get_xlabel()) == ("log", "Learning rate")
    assert [label.get_text() for label in numbers.get_xticklabels()] == ["5e-05", "0.001"]
    zero = dataclasses.replace(turned, down_values=(0.0, 1e-3))
    assert lines(zero).axes[0].get_xscale() == "linear"


def test_one_value_stands_in_the_middle(augments: Sweep, runs: list[Run]) -> None:
    """Its lines are a little apart there, and not at both ends."""
    some = tuple(trial for trial in augments.trials if trial.lr == 5e-5)
    table = assemble(Pivot(down="lr", across="augment").table, Sweep("toy", some), runs, None, "", 0.02)
    (axes,) = lines(table).axes
    assert axes.get_xlim() == pytest.approx((2.5e-5, 1e-4))


@pytest.mark.slow
def test_the_report_of_a_pivot_is_whole(
    augments: Sweep, runs: list[Run], tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """Every file is there; the page is headed by the fields, and says which cell lacks which seeds."""
    table = assemble(TWO.table, augments, runs[1:], None, "", 0.02)
    files = TWO.files(table, "Which augmentation?", "python -m analysis.toy", tmp_path)
    assert set(files) == PIVOT_FILES
    page = str(files["report.html"])
    check_page(page)
    for words in ("Accuracy by augmentation and learning rate", "augment=none, lr=0.001: 2 of 3 seeds: missing 1"):
        assert words in page
    assert str(files["table.tex"]).isascii()


def test_more_than_the_two_fields_is_refused(augments: Sweep, runs: list[Run]) -> None:
    """A column for each learning rate is needed where there are two; a network is one of the settings too."""
    with pytest.raises(ValueError, match="sweep toy_augments varies lr too; a table by augment has room for one back"):
        assemble(Pivot(down="augment").table, augments, runs, None, "", 0.02)
    other = [dataclasses.replace(trial, backbone="cnn6") if trial.lr == 1e-3 else trial for trial in augments.trials]
    with pytest.raises(ValueError, match="varies backbone too"):
        assemble(TWO.table, Sweep("toy", tuple(other)), runs, None, "", 0.02)
    with pytest.raises(ValueError, match="sweep toy_augments varies lr too; a table of augmentations has room"):
        assemble(Ranking(over="augment").table, augments, runs, None, "", 0.02)


def test_a_pivot_says_what_differs_between_its_cells(augments: Sweep, make_run: MakeRun) -> None:
    """It goes by column where a column has one value, else by row or by cell; fields in the table are left out."""
    trials = [dataclasses.replace(t, batch=64) if t.lr == 1e-3 else t for t in augments.trials]
    trials = [dataclasses.replace(t, epochs=9) if t.lr == 1e-3 and t["augment"] == "none" else t for t in trials]
    again = [make_run(trial, run_id=f"again-{trial.key}") for trial in trials]
    table = assemble(TWO.table, Sweep("toy", tuple(trials)), again, None, "", 0.02)
    caption = "Not the same for all cells: batch (32; 64 for lr=0.001), epochs (100; 9 for augment=none, lr=0.001)."
    for text in (pivot.markdown(table), pivot.latex(table).replace(r"\_", "_")):
        assert caption in text


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        (("none", "run:192f25e5d421"), ["random weights", "pre-trained"]),
        (
            ("run:192f25e5d421", "run:0123456789ab"),
            ["pre-trained (run:192f25e5d421)", "pre-trained (run:0123456789ab)"],
        ),
    ],
)
def test_the_run_of_the_weights_is_told_where_there_are_several(
    weights: tuple[str, ...], names: list[str], make_run: MakeRun
) -> None:
    """A key says nothing where only one network was pre-trained."""
    sweep = Sweep("toy", grid(BASE, weights=weights, seed=(1, 2)))
    table = assemble(Pivot(down="weights").table, sweep, [make_run(t) for t in sweep.trials], None, "", 0.02)
    assert {row[0] for row in fields(pivot.markdown(table))[2:4]} == set(names)


def test_networks_across_need_no_rate_in_their_names(backbones: Sweep, make_run: MakeRun) -> None:
    """A pivot over backbones has their plain names, and the weights of each in the provenance."""
    table = assemble(Pivot(down="backbone").table, backbones, [make_run(t) for t in backbones.trials], None, "", 0.02)
    assert [row[0] for row in fields(pivot.markdown(table))[2:6]] == ["cnn6", "cnn14", "cnn10", "mobilenetv1"]
    assert {name.partition(":")[0] for name in table.provenance["weights"]} == {*table.down_values}


@pytest.mark.slow
def test_many_long_names_fit_a_figure(make_run: MakeRun) -> None:
    """With ten networks, down and across, names are slanted, and the legend takes several rows, all in the picture."""
    runs = [make_run(trial, 0.6) for trial in SWEEP.trials]
    down = assemble(Pivot(down="backbone").table, SWEEP, runs, None, "", 0.02)
    assert {label.get_rotation() for label in lines(down).axes[0].get_xticklabels()} == {30.0}
    figure = lines(assemble(Pivot(down="corpus", across="backbone").table, SWEEP, runs, None, "", 0.02))
    style.svg(figure)  # which lays it out
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert (box.x0 >= 0, box.x1 <= figure.bbox.x1) == (True, True)
    assert len({(style.marks_of(i)["color"], style.marks_of(i)["marker"]) for i in range(36)}) == 36


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (lambda: Pivot(down="lerning_rate"), "TrialConfig has no field 'lerning_rate'"),
        (lambda: Pivot(down="lr", across="lr"), "lr and lr: choose two different fields"),
        (lambda: Pivot(down="seed"), "averaged over its seeds"),
        (lambda: Ranking(over="epoch"), "TrialConfig has no field 'epoch'"),
        (lambda: Ranking(over="split"), r'values of split have no one test set.*choose Pivot\(down="split"\)'),
    ],
)
def test_what_makes_no_table_is_refused_at_the_desk(kind: Callable[[], object], reason: str) -> None:
    """The refusal comes when the study's file is read, with the remedy."""
    with pytest.raises(ValueError, match=reason):
        kind()


def test_a_ranking_is_over_any_field(augments: Sweep, runs: list[Run]) -> None:
    """The highest is first, all pairs are compared, and nothing is said about networks."""
    table = assemble(Ranking(over="augment").table, *slower(augments, runs), None, "", 0.02)
    text = standings.markdown(table)
    lines_of_fields = fields(text)
    assert lines_of_fields[0] == ["#", "Augmentation", "Accuracy", "Against the best"]
    assert [row[1].strip("*") for row in lines_of_fields[2:5]] == ["specaugment+mixup", "mixup", "none"]
    assert (lines_of_fields[2][3], lines_of_fields[4][3].partition(",")[0]) == ("best", "lower")
    assert (table.pairs[0].first, table.pairs[0].second) == ("specaugment+mixup", "mixup")
    assert "for every setting, insofar as augmentation does not change them" in text
    for words in ("Parameters", "Checkpoint", "network exceeds", "backbone"):
        assert words not in text
    figure = dots(table)
    assert len(figure.axes) == 1
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["specaugment+mixup", "mixup", "none"]
    assert [axes.get_title().partition("\n")[0] for axes in best_confusions(table).axes] == ["specaugment+mixup"]


def test_a_ranking_over_numbers_names_them(augments: Sweep, runs: list[Run]) -> None:
    """The rows are learning rates of one augmentation; an incomplete one is named with its field."""
    trials = tuple(trial for trial in augments.trials if trial["augment"] == "none")
    table = assemble(Ranking(over="lr").table, Sweep("toy", trials), runs[1:6], None, "", 0.02)
    assert [row.name for row in table.cells] == ["5e-05", "0.001"]
    assert "lr=0.001: 2 of 3 seeds: missing 1" in standings.markdown(table)
    assert pairs.pair_captions(table) == ("Nothing is compared until two learning rates are complete.",)


def test_what_else_differs_between_rows_is_told(augments: Sweep, runs: list[Run], make_run: MakeRun) -> None:
    """Weights count too, which no column shows here."""
    its, _ = slower(augments, runs)
    trials = [dataclasses.replace(t, weights="none") if t["augment"] == "none" else t for t in its.trials]
    again = [make_run(trial, LEVELS[trial["augment"]], run_id=f"again-{trial.key}") for trial in trials]
    table = assemble(Ranking(over="augment").table, Sweep("toy", tuple(trials)), again, None, "", 0.02)
    expected = ("Not the same for all settings: weights (published; none for augment=none).",)
    assert standings.differing_captions(table) == expected


@pytest.mark.slow
def test_the_report_of_a_ranking_is_whole(
    augments: Sweep, runs: list[Run], tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """Every file is there, and the page has no word about Grad-CAM until there is a figure."""
    kind = Ranking(over="augment")
    table = assemble(kind.table, *slower(augments, runs), None, "", 0.02)
    files = kind.files(table, "Which augmentation?", "python -m analysis.toy", tmp_path)
    assert set(files) == RANKING_FILES
    page = str(files["report.html"])
    check_page(page)
    assert "Accuracy by augmentation" in page
    assert "networks look" not in page
    assert "The networks" not in page
    confusion = list(csv.DictReader(io.StringIO(str(files["confusion.csv"]))))
    assert (len(confusion), confusion[0]["augment"]) == (3 * 16, "specaugment+mixup")


@pytest.mark.slow
def test_another_score_is_one_object(augments: Sweep, runs: list[Run], tmp_path: Path) -> None:
    """It takes the place of accuracy in every heading, caption, column and figure; pairs compare it too."""
    two = dataclasses.replace(TWO, score=LIKELIHOOD)
    table = assemble(two.table, augments, runs, None, "", 0.02)
    text = {name: str(content) for name, content in two.files(table, "Is it so?", "again", tmp_path).items()}
    assert "Clip mean likelihood" in text["table.md"]
    assert "Recording mean likelihood: the median of all clips." in text["table.md"]
    assert "clip_mean_likelihood_mean" in text["table.csv"]
    assert lines(table).axes[0].get_ylabel() == "Test mean likelihood, clips [%]"
    assert not [name for name in PIVOT_FILES - {"figure.png"} if "ccuracy" in text[name]]
    one = Ranking(over="augment", score=LIKELIHOOD)
    ranked = assemble(one.table, *slower(augments, runs), None, "", 0.02)
    first, second = (row.scores.clip.mean for row in ranked.cells[:2] if row.scores)
    assert ranked.pairs[0].difference == pytest.approx(first - second)
    text = {name: str(content) for name, content in one.files(ranked, "Is it so?", "again", tmp_path).items()}
    assert not [name for name in RANKING_FILES if not name.endswith("png") and "ccuracy" in text[name]]


@pytest.mark.slow
def test_a_loss_is_written_as_it_is_and_less_of_it_is_better(augments: Sweep, runs: list[Run], tmp_path: Path) -> None:
    """It has three decimals, no percent, the lowest bold, and the wording of the score's own file."""
    two = dataclasses.replace(TWO, score="loss")
    table = assemble(two.table, augments, runs, None, "", 0.02)
    means = [cell.scores.clip.mean for cell in table.cells if cell.scores]
    (best,) = (cell for cell in table.cells if table.is_best(cell))
    assert best.scores
    assert best.scores.clip.mean == min(means)
    text = {name: str(content) for name, content in two.files(table, "Is it so?", "again", tmp_path).items()}
    assert f"**{min(means):.3f} ± " in text["table.md"]
    assert "Loss on the test clips: mean ± sample" in text["table.md"]
    assert "Bold: the lowest mean." in text["table.md"]
    assert "Recording loss: the mean over recordings of the mean of their clips." in text["table.md"]
    assert lines(table).axes[0].get_ylabel() == "Test loss, clips"
    low, high = lines(table).axes[0].get_ylim()
    assert low < min(means) < max(means) < high < 2 * max(means)
    assert not [name for name in PIVOT_FILES - {"figure.png"} if "ccuracy" in text[name]]


@pytest.mark.slow
def test_a_ranking_by_loss_has_the_lowest_first(augments: Sweep, runs: list[Run], tmp_path: Path) -> None:
    """That holds for the order, the pairs and the words; the matrices are headed by the loss."""
    kind = Ranking(over="augment", score="loss")
    table = assemble(kind.table, *slower(augments, runs), None, "", 0.02)
    means = [row.scores.clip.mean for row in table.ranked if row.scores]
    assert (means, table.cells[0].name) == (sorted(means), "specaugment+mixup")
    assert table.pairs[0].difference < 0
    assert pairs.against_best(table, table.ranked[-1]).startswith("higher, p ")
    assert pairs.pair_grid(table).head[:2] == ("Lower", "Higher")
    assert "by how much the column's" in pairs.pair_captions(table)[0]
    assert "points" not in "".join(pairs.pair_captions(table))
    assert f"{means[0]:.3f} ± " in best_confusions(table).axes[0].get_title()
    assert "%" not in best_confusions(table).axes[0].get_title()
    low, high = dots(table).axes[0].get_xlim()
    assert low < means[0] < means[-1] < high < 2 * means[-1]
    assert "by rising mean" in str(kind.files(table, "Is it so?", "again", tmp_path)["report.html"])


def test_a_table_is_of_the_trials_own_score() -> None:
    """It is the score that ranks them; a score that there is not is refused."""
    assert chosen("", BASE).name == chosen("").name == BASE.main_score.name
    assert chosen("", BASE.but(scores="loss+macro_f1", keep_by="loss", stop_by="loss")).name == "macro_f1"
    assert chosen("", BASE.but(scores="uar", keep_by="uar", stop_by="uar")).name == "uar"
    assert Pivot(down="augment", score="macro_f1").score == "macro_f1"
    with pytest.raises(ValueError, match="score='acuracy': choose one of accuracy, "):
        Ranking(over="augment", score="acuracy")


@pytest.mark.parametrize("folder", ["analysis/engine", "analysis/inside", "sweeps/engine"])
def test_scores_are_named_in_their_own_files_only(folder: str) -> None:
    """No module that reports scores, or lists trials by them, names one."""
    files = (Path(__file__).parents[2] / folder).rglob("*.py")
    assert [path.name for path in files if "accuracy" in path.read_text(encoding="utf-8").lower()] == []


def test_published_accuracies_stand_beside_no_other_score(sweep: Sweep, complete: list[Run]) -> None:
    """The source and what it prints are named."""
    kind = Pivot(down="data_hz", across="pretrain_hz", score=LIKELIHOOD)
    with pytest.raises(ValueError, match="Table I: prints clip-level test accuracy, not mean likelihood"):
        assemble(kind.table, sweep, complete, read_published("deepship_rates"), "", 0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_the_command_of_a_new_study_is_one_line(
    augments: Sweep, runs: list[Run], tmp_path: Path, fill_store: Callable[[Path, list[Run]], str]
) -> None:
    """It goes from the store to the files, for a pivot and a ranking."""
    flags = ["--store", fill_store(tmp_path / "store", runs), "--out", str(tmp_path / "out")]
    assert main(augments, "Which augmentation?", TWO, argv=flags) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == PIVOT_FILES | OF_RUNS
    its, _ = slower(augments, runs)
    assert main(its, "Which augmentation?", Ranking(over="augment"), argv=flags) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == RANKING_FILES | OF_RUNS
