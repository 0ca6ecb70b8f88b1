"""The report of a search: its study, its words about the best, and its figures."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.engine.figures import style
from analysis.engine.search import history, listing, plots, searched, sentences
from analysis.engine.search.history import SearchStudy
from analysis.engine.search.outcome import SearchTable, budget, edge, search_table
from sweeps.engine.search.search import Evaluation, Search
from sweeps.engine.search.space import Choice, LogUniform, Uniform, Whole
from sweeps.engine.store.optuna_study import write_study
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES
from tests.analysis.conftest import MakeRun

BASE = RATES.but(augment="none", epochs=9)
SEARCH = Search(
    "toy_search",
    base=BASE,
    space={"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-6, 1e-2)},
    num_trials=6,
    confirm_seeds=(101, 102, 103),
)
POINTS = ((1e-5, 1e-4), (1e-4, 1e-3), (3e-4, 1e-5), (1e-3, 1e-3), (5e-3, 1e-2), (2e-4, 3e-6))
REACHED = (0.70, 0.80, 0.79, 0.60, math.nan, 0.75)


def made(search: Search = SEARCH, reached: Sequence[float] = REACHED) -> list[Evaluation]:
    """Six evaluations: the second is the best, the fourth gave up after three epochs, the fifth diverged."""
    evaluations = []
    for number, ((lr, weight_decay), value) in enumerate(zip(POINTS, reached, strict=True)):
        config = dataclasses.replace(search.base, lr=lr, weight_decay=weight_decay)
        length = {3: 3, 4: 2}.get(number, 9)
        scores: dict[str, float] = {"epochs_run": length, "epoch_s": 2.0}
        if number == 4:
            evaluations.append(Evaluation(number, config, scores | {"diverged": 1.0}, (0.3, 0.2)))
            continue
        scores |= {"best_val_accuracy": value, "best_val_loss": 1 - value, "best_epoch": length}
        scores |= {"gave_up": 1.0} if number == 3 else {}
        curve = tuple(value * (epoch + 1) / length for epoch in range(length))
        evaluations.append(Evaluation(number, config, scores, curve))
    return evaluations


@pytest.fixture
def store_runs(make_run: MakeRun) -> Callable[..., list[Run]]:
    """A function that makes the runs of evaluations, and those that confirm the best."""

    def runs(
        search: Search, evaluations: Sequence[Evaluation], confirmed: Sequence[float] = (0.76, 0.77, 0.78), **tags: str
    ) -> list[Run]:
        name = "-".join(tags.values())
        finished = []
        for e in evaluations:
            run = make_run(e.config, run_id=f"{e.config.key}-{e.number}{name}", **tags)
            finished.append(dataclasses.replace(run, metrics=dict(e.scores)))
        best = max((e for e in evaluations if e.state == "COMPLETE"), key=lambda e: e.scores["best_val_accuracy"])
        for trial, value in zip(search.confirmed(best.config), confirmed, strict=False):
            run = make_run(trial, 0.74 + trial.seed % 3 / 100, run_id=f"{trial.key}{name}", **tags)
            finished.append(dataclasses.replace(run, metrics={**run.metrics, "best_val_accuracy": value}))
        return finished

    return runs


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """The address of a database of studies."""
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def table_of(search: Search, uri: str, runs: Sequence[Run], data: str = "", **given: Any) -> SearchTable:
    """The table of the study in a database."""
    study = history.find(search, given.get("variant", ""), uri, runs, data, given.get("digits", ""))
    return search_table(search, study, runs, data, 0.02, given.get("accept", ()))


def joined(search: Search, evaluations: Sequence[Evaluation], runs: Sequence[Run]) -> SearchTable:
    """The table of a study with these evaluations."""
    its_runs = {e.config: [run for run in runs if run.key == e.config.key] for e in evaluations}
    return search_table(search, SearchStudy("toy_search 0123abcd", tuple(evaluations), its_runs), runs, "", 0.02)


@pytest.fixture
def table(store_runs: Callable[..., list[Run]]) -> SearchTable:
    """The table of a complete search."""
    return joined(SEARCH, made(), store_runs(SEARCH, made()))


def test_the_best_is_held_against_its_confirmation(table: SearchTable) -> None:
    """The search reached 80.0, fresh seeds 76, 77 and 78: 3.0 points, within what one seed of three varies."""
    assert table.best is not None
    assert (table.best.number, table.complete) == (1, True)
    assert table.confirmed is not None
    assert (table.confirmed.mean, table.confirmed.n) == (pytest.approx(0.77), 3)
    drop, interval = table.drop
    half = 4.303 * 0.01 * math.sqrt(4 / 3)  # Student's t at 2 degrees of freedom
    assert (drop, interval.low, interval.high) == pytest.approx((0.03, 0.03 - half, 0.03 + half), abs=1e-4)
    findings = " ".join(sentences.findings(table))
    assert "lr=0.0001, weight_decay=0.001, with a validation accuracy of 80.0 % (evaluation 1)" in findings
    assert "77.0 ± 1.0 %, 3.0 points worse than in the search: 3 seeds cannot tell whether luck chose it" in findings


@pytest.mark.parametrize(
    ("confirmed", "said"),
    [
        ((0.78, 0.80, 0.81), "0.3 points worse than in the search: 3 seeds cannot tell whether luck chose it"),
        (
            (0.769, 0.77, 0.771),
            "worse than in the search (95 % [2.5, 3.5]): more than one seed varies, because the best of 4 is also",
        ),
        ((0.90, 0.901, 0.902), "10.1 points better than in the search: the seed of the search was an unlucky one"),
    ],
)
def test_no_luck_is_claimed_that_the_seeds_do_not_show(
    confirmed: Sequence[float], said: str, store_runs: Callable[..., list[Run]]
) -> None:
    """The words follow the interval of the difference."""
    table = joined(SEARCH, made(), store_runs(SEARCH, made(), confirmed))
    assert said in sentences.findings(table)[1]


def test_a_loss_is_better_when_it_is_lower(store_runs: Callable[..., list[Run]]) -> None:
    """The best by loss has the lowest, and a confirmation above it is a drop above 0, printed as it is."""
    search = dataclasses.replace(SEARCH, metric="best_val_loss")
    table = joined(search, made(search), store_runs(search, made(search)))
    assert table.best is not None
    assert table.best.number == 1
    assert table.drop[0] == pytest.approx(0.8 - 0.2)  # the fixture's runs state a loss of 0.8
    assert "validation loss of 0.200 (evaluation 1)" in sentences.findings(table)[0]
    assert table.near == 2  # 0.20 and 0.21


def test_the_budget_adds_up_and_a_trial_counts_once(table: SearchTable) -> None:
    """There are 9 x 4 + 3 + 2 epochs at two seconds each; a trial that is proposed twice is trained once."""
    spent = budget(table)
    assert (spent.epochs, spent.seconds, spent.saved, spent.unknown) == (41, 82.0, 6, 0)
    assert table.confirmed_epochs == 15
    twice = dataclasses.replace(table, evaluations=(*table.evaluations, table.evaluations[3]))
    assert budget(twice) == spent


def test_evaluations_are_ranked_and_kept_whole(table: SearchTable) -> None:
    """The best come first, then those that gave up or diverged; the CSV keeps their order and full precision."""
    assert [e.number for e in table.ranked] == [1, 2, 5, 0, 3, 4]
    ended = [row[4].words for row in listing.evaluations_grid(table).rows]
    assert ended == ["completed"] * 4 + ["gave up after epoch 3", "diverged"]
    rows = list(csv.DictReader(io.StringIO(listing.csv_frame(table).to_csv(index=False))))
    assert [row["state"] for row in rows] == [e.state for e in made()]
    assert [float(row["lr"]) for row in rows] == [lr for lr, _ in POINTS]
    assert [row["is_best"] for row in rows] == ["False", "True", *["False"] * 4]


def test_two_points_of_margin_hold_the_next_best(table: SearchTable) -> None:
    """79.0 is within two points of 80.0, 75.0 is not."""
    assert table.near == 2
    assert "1 other evaluation is within 2 points of it" in " ".join(sentences.findings(table))


@pytest.mark.parametrize(
    ("field", "dimension", "value", "side"),
    [
        ("lr", LogUniform(1e-6, 1e-2), 1.4e-6, "low"),
        ("lr", LogUniform(1e-6, 1e-2), 8e-3, "high"),
        ("lr", LogUniform(1e-6, 1e-2), 1e-4, ""),
        ("lr", Uniform(1e-6, 1e-2), 1e-4, "low"),
        ("lr", Choice((1e-5, 1e-4, 1e-3)), 1e-3, "high"),
        ("lr", Choice((1e-5, 1e-4, 1e-3)), 1e-5, "low"),
        ("lr", Choice((1e-5, 1e-4, 1e-3)), 1e-4, ""),
        ("lr", Choice((1e-5, 1e-4)), 1e-4, ""),
        ("head_dropout", Uniform(0, 0.9), 0.0, ""),
        ("head_dropout", Uniform(0, 0.8), 0.79, "high"),
        ("batch", Whole(1, 64), 1, ""),
        ("batch", Whole(4, 64, log=True), 4, "low"),
        ("augment", Choice(("none", "mixup", "specaugment")), "none", ""),
    ],
)
def test_an_edge_is_told_where_the_space_can_be_widened(field: str, dimension: Any, value: Any, side: str) -> None:
    """A best near an end counts, unless the field cannot go beyond it; words and pairs have no end."""
    search = dataclasses.replace(SEARCH, space={field: dimension})
    assert edge(search, field, dataclasses.replace(BASE, **{field: value})) == side


def test_a_best_at_the_edge_is_said(store_runs: Callable[..., list[Run]]) -> None:
    """The range and the remedy are named."""
    evaluations = made(reached=(0.70, 0.71, 0.72, 0.60, math.nan, 0.90))
    config = dataclasses.replace(SEARCH.base, lr=9e-3, weight_decay=1e-4)
    evaluations[5] = dataclasses.replace(evaluations[5], config=config)
    (sentence,) = sentences.edges(joined(SEARCH, evaluations, store_runs(SEARCH, evaluations)))
    assert sentence.startswith("lr=0.009 lies at the upper end of the searched range (1e-06 to 0.01, logarithmic)")
    assert sentence.endswith("widen it.")


class TestWhichStudy:
    @pytest.mark.slow
    def test_another_corpus_is_another_study(self, uri: str, store_runs: Callable[..., list[Run]]) -> None:
        """The title has the settings; without them no study fits, and the existing ones are named."""
        search = SEARCH.varied({"corpus": "esc50"}, (), None)
        write_study(search, "toy_search corpus=esc50 0123abcd", made(search), uri)
        runs = store_runs(search, made(search))
        assert table_of(search, uri, runs).study == "toy_search corpus=esc50 0123abcd"
        with pytest.raises(ValueError, match=r"(?s)no study fits toy_search, .*toy_search corpus=esc50 0123abcd"):
            table_of(SEARCH, uri, runs)

    def test_another_space_is_another_study(self, uri: str, store_runs: Callable[..., list[Run]]) -> None:
        """A study that was searched over a wider range is not the file's."""
        wider = dataclasses.replace(SEARCH, space={**SEARCH.space, "lr": LogUniform(1e-7, 1e-1)})
        write_study(wider, "toy_search 0123abcd", made(), uri)
        with pytest.raises(ValueError, match="with the space of its file"):
            table_of(SEARCH, uri, store_runs(SEARCH, made()))

    @pytest.mark.slow
    def test_two_data_are_chosen_by_their_hash(self, uri: str, store_runs: Callable[..., list[Run]]) -> None:
        """The runs of both are in the store; those that reached a study's values belong to it."""
        other = made(reached=(0.50, 0.55, 0.58, 0.40, math.nan, 0.51))
        write_study(SEARCH, "toy_search 0123abcd", made(), uri)
        write_study(SEARCH, "toy_search ba987654", other, uri)
        runs = [*store_runs(SEARCH, made()), *store_runs(SEARCH, other, data_sha256="ee" * 32)]
        with pytest.raises(ValueError, match=r"(?s)2 studies fit toy_search.*--study 0123abcd.*--study ba987654"):
            table_of(SEARCH, uri, runs)
        for given in ({"data": "ee"}, {"digits": "ba987654"}):
            table = table_of(SEARCH, uri, runs, **given)
            assert (table.study, table.provenance["data"]) == ("toy_search ba987654", {"ee" * 32: 9})

    @pytest.mark.slow
    def test_a_longer_search_stands_for_the_one_that_it_continues(
        self, uri: str, store_runs: Callable[..., list[Run]]
    ) -> None:
        """Other seeds for the confirmation do not matter: the evaluations are the same."""
        for title, count in (("toy_search 00000000", 4), ("toy_search 11111111", 6), ("toy_search 22222222", 6)):
            write_study(SEARCH, title, made()[:count], uri)
        assert table_of(SEARCH, uri, store_runs(SEARCH, made())).study == "toy_search 11111111"

    def test_a_missing_database_is_refused_and_not_created(self, uri: str, tmp_path: Path) -> None:
        """Looking for it leaves nothing behind."""
        with pytest.raises(ValueError, match=r"optuna\.db does not exist"):
            table_of(SEARCH, uri, [])
        assert not list(tmp_path.iterdir())

    def test_a_file_that_is_not_a_database_is_named(self, uri: str, tmp_path: Path) -> None:
        """The error is not a traceback."""
        (tmp_path / "optuna.db").write_text("not a database, but long enough to be looked at " * 40, encoding="ascii")
        with pytest.raises(ValueError, match=r"--optuna sqlite:.*cannot be read \("):
            table_of(SEARCH, uri, [])

    @pytest.mark.slow
    def test_runs_of_different_code_are_refused(self, uri: str, store_runs: Callable[..., list[Run]]) -> None:
        """They are accepted only on request, as in every table."""
        write_study(SEARCH, "toy_search 0123abcd", made(), uri)
        runs = store_runs(SEARCH, made())
        runs[0] = dataclasses.replace(runs[0], tags={**runs[0].tags, "code_sha256": "be" * 32})
        with pytest.raises(ValueError, match="different code made these trials"):
            table_of(SEARCH, uri, runs)
        assert table_of(SEARCH, uri, runs, accept=("code",)).complete


class TestIncomplete:
    def test_says_what_is_missing(self, store_runs: Callable[..., list[Run]]) -> None:
        """With four of six evaluations and one of three seeds there is no mean, and both gaps are named."""
        table = joined(SEARCH, made()[:4], store_runs(SEARCH, made()[:4], confirmed=(0.76,)))
        assert not table.complete
        assert table.confirmed is None
        assert sentences.gaps(table) == [
            "evaluations: 4 of 6 are made",
            "confirmation of the best: 1 of 3 seeds: missing 102, 103",
        ]
        assert sentences.findings(table)[0].startswith("Best of 4 of 6, so far: lr=0.0001")

    def test_without_a_best_there_is_a_report_of_that(self, store_runs: Callable[..., list[Run]]) -> None:
        """If every evaluation diverged, that is said, with the remedy, and nothing is drawn."""
        diverged = [dataclasses.replace(e, scores={"diverged": 1.0, "epochs_run": 2.0}) for e in made()]
        table = joined(SEARCH, diverged, store_runs(SEARCH, made())[:6])
        assert (table.best, table.complete) == (None, False)
        written = searched.files(table, "Which?", "python -m analysis.toy")
        assert set(written) == {"report.html", "report.json", "table.md", "table.csv"}
        assert "None of 6 evaluations completed: widen the space" in str(written["table.md"])


class TestFigures:
    @pytest.mark.slow
    def test_all_five_are_drawn(self, table: SearchTable) -> None:
        """Matplotlib is unchanged afterwards, although Optuna sets a style and leaves figures open."""
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        before = dict(mpl.rcParams)
        drawn = plots.draw(SEARCH, table.evaluations)
        assert (set(drawn.figures), drawn.left_out) == (
            {"history", "curves", "slices", "parallel", "importances"},
            {},
        )
        assert plt.get_fignums() == []
        assert {k: v for k, v in mpl.rcParams.items() if v != before[k]}.keys() <= {"backend"}

    def test_accuracies_are_in_percent(self, table: SearchTable) -> None:
        """The axis is in percent, as in every figure here."""
        axes = plots.draw(SEARCH, table.evaluations).figures["history"].axes[0]
        assert axes.get_ylabel() == "Validation accuracy [%]"
        assert max(axes.lines[0].get_ydata()) == pytest.approx(80)  # type: ignore[arg-type]

    @pytest.mark.slow
    def test_a_figure_is_the_same_text_twice(self, table: SearchTable) -> None:
        """The SVG can be compared and committed."""
        first, second = (plots.draw(SEARCH, table.evaluations).figures for _ in range(2))
        assert {n: style.svg(f) for n, f in first.items()} == {n: style.svg(f) for n, f in second.items()}

    def test_what_cannot_be_drawn_is_said(self) -> None:
        """One completed evaluation is too few for any plot."""
        drawn = plots.draw(SEARCH, made()[:1])
        assert not drawn.figures
        assert set(drawn.left_out.values()) == {"1 of 1 evaluations completed; a plot needs 2"}

    def test_words_and_numbers_are_drawn_as_choices(self) -> None:
        """A grid over networks has a tick for each, without quotes."""
        space = {"backbone": Choice(("cnn6", "cnn14")), "lr": Choice((1e-4, 1e-3, 1e-2))}
        search = dataclasses.replace(SEARCH, space=space, sampler="grid")
        evaluations = [
            Evaluation(
                n, dataclasses.replace(search.base, backbone=b, lr=lr), {"best_val_accuracy": 0.5 + n / 50}, (0.5,)
            )
            for n, (b, lr) in enumerate((b, lr) for b in ("cnn6", "cnn14") for lr in (1e-4, 1e-3, 1e-2))
        ]
        axes = plots.draw(search, evaluations).figures["slices"].axes
        assert {t.get_text() for t in axes[0].get_xticklabels()} == {"cnn6", "cnn14"}
        assert len(axes[1].get_xticklabels()) == 3


@pytest.mark.slow
def test_the_page_is_self_contained_and_says_what_is_what(
    table: SearchTable, check_page: Callable[[str], None]
) -> None:
    """Nothing is fetched; the page says that the values are from validation, and what the intervals cover."""
    page = str(searched.files(table, "Which <lr>?", "python -m analysis.toy")["report.html"])
    check_page(page)
    assert "Which &lt;lr&gt;?" in page
    assert "All values of the search are from validation clips and one seed (1)" in page
    assert "they cover variation with the seed" in page
    assert page.count("<svg") == 5
    for words in ("d1" * 32, "c0ffee0", "toy_search 0123abcd", "gave up after epoch 3", "6 of 6"):
        assert words in page


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
def test_the_command_says_by_its_exit_code_what_it_found(
    tmp_path: Path,
    store_runs: Callable[..., list[Run]],
    fill_store: Callable[[Path, list[Run]], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The code is 0 for a complete search, 3 while a seed is missing, 2 if there is no study."""
    store = fill_store(tmp_path / "store", store_runs(SEARCH, made()))
    (tmp_path / "results").mkdir()
    write_study(SEARCH, "toy_search 0123abcd", made(), f"sqlite:///{tmp_path / 'results' / 'optuna.db'}")
    flags = ["--store", store, "--storage", str(tmp_path / "results")]
    assert searched.main(SEARCH, "Which?", flags) == 0
    out = tmp_path / "results" / "reports" / "toy_search"
    assert {"report.html", "table.md", "table.csv", "history.png", "slices.svg"} <= {p.name for p in out.iterdir()}
    assert "3 seeds cannot tell whether luck chose it" in capsys.readouterr().out
    assert searched.main(SEARCH, "Which?", [*flags, "--seeds", "101,102,104"]) == 3
    assert "2 of 3 seeds: missing 104" in capsys.readouterr().out
    assert searched.main(SEARCH, "Which?", [*flags, "--set", "epochs=7"]) == 2
    assert "no study fits toy_search epochs=7" in capsys.readouterr().err
