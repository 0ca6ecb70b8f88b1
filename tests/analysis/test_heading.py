"""A report is headed by what was run, and has published numbers beside it only if they are of the same study."""

from __future__ import annotations

import pytest

from analysis import augmentations, deepship_rates
from analysis.engine.command import asked, assemble, parser
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.protocol import read_published
from analysis.engine.tables import pivot, standings
from sweeps.deepship_backbones import SWEEP as BACKBONES
from sweeps.deepship_rates import SWEEP as RATES
from sweeps.engine.command.commandline import options_of
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import MakeRun, fields


def heading(sweep: Sweep, question: str, *words: str) -> str:
    """The heading of a sweep's report with these flags."""
    options = options_of(parser(sweep, question).parse_args([*words]))
    return asked(question, options, options.planned(sweep).trials)


def test_a_study_as_it_is_planned_keeps_its_heading() -> None:
    """Also with other seeds, and in miniature, which is said."""
    assert heading(RATES, deepship_rates.QUESTION, "--seeds", "7") == deepship_rates.QUESTION
    assert heading(RATES, deepship_rates.QUESTION, "--small").endswith(
        "CNN14 on DeepShip (in miniature, on invented recordings)"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--set", "corpus=esc50"), "CNN14 on esc50"),
        (("--set", "corpus=esc50", "--set", "epochs=5"), "CNN14 on esc50, with epochs=5"),
        (("--split", "vessel"), "CNN14 on deepship, with split=vessel"),
    ],
)
def test_a_changed_study_is_headed_by_what_was_run(words: tuple[str, ...], expected: str) -> None:
    """The question stays, and what stands behind its question mark is that of the run."""
    assert (
        heading(RATES, deepship_rates.QUESTION, *words) == f"Must the pre-training rate match the data rate? {expected}"
    )
    assert heading(BACKBONES, "Which one?", *words).startswith("Which one? 10 networks on ")


def test_published_numbers_are_of_one_study() -> None:
    """Of its corpus, its score and its axes; another setting of all trials is a reason, and no other study."""
    published = read_published("deepship_rates")
    assert published.applies(RATES.trials)
    assert published.applies([trial.but(epochs=5) for trial in RATES.trials])
    assert read_published("deepship_backbones").applies(BACKBONES.trials)
    assert not published.applies([trial.but(corpus="esc50") for trial in RATES.trials])
    assert not published.applies([trial.but(scores="uar+loss", keep_by="uar") for trial in RATES.trials])
    assert not published.applies(grid(RATES.trials[0], augment=("none", "mixup"), seed=(1, 2)))
    assert not published.applies(augmentations.SWEEP.trials)


@pytest.mark.parametrize("kind", [Pivot(down="backbone"), Ranking(over="backbone")])
def test_without_published_numbers_there_are_no_columns_for_them(
    kind: Pivot | Ranking, backbones: Sweep, make_run: MakeRun
) -> None:
    """Neither in the compact table nor in the others."""
    table = assemble(kind.table, backbones, [make_run(t) for t in backbones.trials], None, "", 0.02)
    text = pivot.markdown(table) if isinstance(kind, Pivot) else standings.markdown(table)  # type: ignore[arg-type]
    heads = {word for row in fields(text) for word in row}
    assert not heads & {"Published", "Difference", "Verdict", "Published as"}
    assert "Recording accuracy" in heads


def test_an_incomplete_table_without_published_numbers_is_as_wide(sweep: Sweep, complete: list[Run]) -> None:
    """A gap takes the place of the numbers that there would be."""
    table = assemble(Pivot(down="data_hz", across="pretrain_hz").table, sweep, complete[1:], None, "", 0.02)
    assert {len(row) for row in pivot.detail_grid(table).rows} == {len(pivot.detail_grid(table).head)}
