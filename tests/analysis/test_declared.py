"""A report says which finished seeds it leaves out, what was declared before its trials ran, and what came later."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.engine.command import main
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.runs.declared import history_of, left_out, told
from sweeps.engine.adaptive.looks import LOOK
from sweeps.engine.command.options import Options
from sweeps.engine.declared.lockfile import Declared, Lock
from sweeps.engine.plan import Sweep, grid, varied
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE
from trainable.config import TrialConfig

WHOLE = Sweep("toy_rates", grid(BASE, data_hz=(2_000, 4_000), seed=range(1, 9)))
START = datetime(2026, 3, 1, tzinfo=UTC)


def entry(
    trials: Sequence[TrialConfig], days: int = 0, why: str = "planned", before: int = 0, already: int = 0
) -> Declared:
    """An entry of a lock, some days after the first."""
    fields = {trial.key: trial.to_dict() for trial in trials}
    return Declared(START + timedelta(days), why, {"variant": ""}, before, already, fields)


def of(*seeds: int) -> list[TrialConfig]:
    """The trials of both settings with these seeds."""
    return [trial for trial in WHOLE.trials if trial.seed in seeds]


@pytest.fixture
def eight(make_run: Callable[..., Run]) -> list[Run]:
    """Eight finished seeds of two settings that differ by two points."""
    return [make_run(trial, 0.7 + 0.02 * (trial.data_hz == 4_000) + 0.002 * trial.seed) for trial in WHOLE.trials]


def test_three_of_eight_finished_seeds_name_the_other_five(eight: list[Run]) -> None:
    """They are named with their settings, whether all settings lack them or some; a whole table says nothing."""
    assert left_out(WHOLE, eight) == ""
    chosen = varied(WHOLE, seeds=(2, 5, 8))
    assert left_out(chosen, eight) == "Left out, although finished in the store: seeds 1, 3, 4, 6, 7 of both settings."
    one = Sweep("toy_rates", tuple(t for t in WHOLE.trials if t.data_hz == 2_000 or t.seed < 8))
    assert left_out(one, eight) == "Left out, although finished in the store: seed 8 of 1 of 2 settings."


def test_seeds_on_other_data_or_of_other_settings_are_not_left_out(eight: list[Run]) -> None:
    """Nor are runs that have failed; they belong to other questions."""
    chosen = varied(WHOLE, seeds=(1, 2))
    mine = [run for run in eight if run.params["seed"] in ("1", "2")]
    rest = [run for run in eight if run not in mine]
    other_data = [dataclasses.replace(run, tags={**run.tags, "data_sha256": "f" * 64}) for run in rest]
    failed = [dataclasses.replace(run, status="FAILED") for run in rest]
    assert left_out(chosen, [*mine, *other_data, *failed]) == ""
    assert left_out(varied(WHOLE, {"epochs": 7}, (1, 2)), eight) == ""
    assert "seeds 3-8 of both settings" in left_out(chosen, [*mine, *rest])


def test_what_was_declared_before_and_what_came_later_is_told_with_dates() -> None:
    """The first entry, additions by hand with what had been seen, and what the table does not show."""
    lock = Lock((entry(of(1, 2, 3)), entry(of(4, 5), 2, before=6)), reported=({"date": START + timedelta(1)},))
    said = " ".join(told(lock, varied(WHOLE, seeds=(1, 2, 3, 4)), ""))
    assert "Declared on 2026-03-01, before any of them had finished: seeds 1-3 of 2 settings." in said
    assert "Added on 2026-03-03, after 6 of the trials declared before had finished and after a report of" in said
    assert "2026-03-02: seed 4 of 2 settings." in said
    assert "Of 10 declared trials, 2 are not in this table (seed 5)." in said
    assert "it was not, so that they are too certain" in said


def test_a_plan_that_was_kept_has_no_caution() -> None:
    """One sentence, and none on looks, margins or other variants."""
    lock = Lock((entry(of(*range(1, 9))),))
    assert told(lock, WHOLE, "") == [
        "Declared on 2026-03-01, before any of them had finished: seeds 1-8 of 2 settings."
    ]


def test_trials_that_had_finished_before_they_were_declared_are_told() -> None:
    """Whoever declares results has seen them; trials of another storage are not declared at all."""
    said = " ".join(told(Lock((entry(of(1, 2), already=3),)), varied(WHOLE, seeds=(1, 2, 3)), ""))
    assert "when 3 of the trials declared then had finished already: seeds 1, 2 of 2 settings." in said
    assert "Not declared in this storage: seed 3 of 2 settings." in said


def test_looks_of_one_day_are_one_sentence_and_margins_are_compared() -> None:
    """Seeds that a rule has added are told as such, and tests that do not know of it."""
    later = [entry(of(seed), 1, LOOK, before=2 * seed - 2) for seed in (4, 5, 6)]
    reports: tuple[dict[str, Any], ...] = ({"date": START, "margin_points": 2.0}, {"date": START, "margin_points": 5.0})
    said = told(Lock((entry(of(1, 2, 3)), *later), reported=reports), varied(WHOLE, seeds=range(1, 7)), "")
    assert sum(line.startswith("Added") for line in said) == 1
    assert "one by one by --until-decided: seeds 4-6 of 2 settings." in said[1]
    assert "margins of 2 and 5 points" in said[2]
    assert "elsewhere in this report take the number of seeds as fixed" in said[3]


def test_a_report_reads_the_seeds_that_looks_have_added(eight: list[Run], tmp_path: Path) -> None:
    """The planned seeds and those that the rule asked for, and no other that the store has."""
    options = Options(tmp_path, tmp_path, tmp_path, until_decided="", max_seeds=20)
    past = history_of(varied(WHOLE, seeds=(1, 2, 3)), options, eight, "")
    assert sorted({trial.seed for trial in past.sweep.trials}) == [1, 2, 3, 4, 5, 6]
    assert past.left_out == "Left out, although finished in the store: seeds 7, 8 of both settings."
    assert (
        "Seeds were added after looks (seeds 4-6), until the pair is decided by an E-value of 20" in past.sentences[0]
    )
    assert "data_hz=2000 against 4000: -" in past.sentences[1]
    assert ", decided after 6 seeds" in past.sentences[1]
    assert "Nothing is known of what was declared before" in past.sentences[3]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic")
@pytest.mark.parametrize("kind", [Pivot("data_hz"), Ranking("lr")])
def test_every_table_and_page_names_the_seeds_left_out(
    kind: Any, make_run: Callable[..., Run], tmp_path: Path, fill_store: Callable[[Path, list[Run]], str]
) -> None:
    """In Markdown, LaTeX and below each table of the page."""
    axis = {"lr": (1e-4, 1e-5)} if isinstance(kind, Ranking) else {"data_hz": (2_000, 4_000)}
    sweep = Sweep("toy", grid(BASE, **axis, seed=(1, 2, 3, 4)))
    store = fill_store(tmp_path / "store", [make_run(trial, 0.7 + 0.01 * trial.seed) for trial in sweep.trials])
    words = ["--store", store, "--storage", str(tmp_path), "--seeds", "2,4"]
    assert main(sweep, "Is it so?", kind, argv=words) == 0
    out = tmp_path / "reports" / "toy"
    line = "Left out, although finished in the store: seeds 1, 3 of both settings."
    pages = {name: (out / name).read_text(encoding="utf-8") for name in ("table.md", "table.tex", "report.html")}
    assert {name: text.count(line) for name, text in pages.items()} == (
        {"table.md": 2, "table.tex": 2, "report.html": 5}
        if isinstance(kind, Ranking)
        else {"table.md": 2, "table.tex": 2, "report.html": 2}
    )
