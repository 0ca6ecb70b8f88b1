"""A study over a setting of a part, such as `schedule.after`, gets the same tables as one over a field."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from analysis.engine.command import assemble
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.protocol import FOLDER, incomparable, read_published
from analysis.engine.rows import held, table_rows
from analysis.engine.tables import labels, pivot, standings
from sweeps.engine.plan import Sweep, differing, grid
from sweeps.recipes.mohammadi import RATES
from tests.analysis.conftest import MakeRun, fields
from trainable.config import TrialConfig

STEPS = RATES.but(schedule="steps", split="published", **{"schedule.after": "10"})
LEVELS = {"10": 0.60, "30": 0.70, "30,60": 0.65}


def right(trial: TrialConfig) -> float:
    """The accuracy of a trial: that of its schedule, more at 4 kHz, and different between seeds."""
    noise = 0.004 * (trial.seed * len(trial["schedule.after"]) % 3)
    return LEVELS[trial["schedule.after"]] + noise + 0.01 * (trial.data_hz == 4_000)


def test_a_pivot_over_a_setting_of_a_part(make_run: MakeRun, tmp_path: Path) -> None:
    """Its values go down as planned, its label is readable, and every file is written."""
    axes = {"schedule.after": tuple(LEVELS), "data_hz": (4_000, 2_000), "seed": (1, 2, 3)}
    sweep = Sweep("toy", grid(STEPS, **axes))
    kind = Pivot("schedule.after", "data_hz")
    table = assemble(kind.table, sweep, [make_run(trial, right(trial)) for trial in sweep.trials], None, "", 0.02)
    lines_of_fields = fields(pivot.markdown(table))
    assert lines_of_fields[0] == ["Schedule (after)", "2 kHz", "4 kHz"]
    assert [row[0] for row in lines_of_fields[2:5]] == list(LEVELS)
    assert table.title(table.cells[0]) == "schedule.after=10, 2 kHz"
    files = kind.files(table, "When?", "again", tmp_path)
    rows = list(csv.DictReader(io.StringIO(str(files["table.csv"]))))
    assert [row["schedule.after"] for row in rows] == ["10", "10", "30", "30", "30,60", "30,60"]
    assert "Accuracy by schedule (after) and data rate" in str(files["report.html"])


@pytest.mark.slow
def test_a_ranking_over_a_setting_of_a_part(make_run: MakeRun, tmp_path: Path) -> None:
    """The highest is first, and the headings use the readable label."""
    sweep = Sweep("toy", grid(STEPS, **{"schedule.after": tuple(LEVELS), "seed": (1, 2, 3)}))
    kind = Ranking("schedule.after")
    table = assemble(kind.table, sweep, [make_run(trial, right(trial)) for trial in sweep.trials], None, "", 0.02)
    lines_of_fields = fields(standings.markdown(table))
    assert lines_of_fields[0][:2] == ["#", "Schedule (after)"]
    assert [row[1].strip("*") for row in lines_of_fields[2:5]] == ["30", "30,60", "10"]
    files = kind.files(table, "When?", "again", tmp_path)
    assert [row["schedule.after"] for row in csv.DictReader(io.StringIO(str(files["table.csv"])))] == [
        "30",
        "30,60",
        "10",
    ]


def test_a_setting_at_its_default_is_in_the_table() -> None:
    """`to_dict` leaves it out, the table does not; a trial whose part has no such setting has "none"."""
    sweep = Sweep("toy", (*grid(STEPS, **{"schedule.drop": (0.5, 0.1)}), STEPS.but(schedule="constant")))
    rows = table_rows(sweep, [])
    assert list(rows["schedule.drop"]) == [0.5, 0.1, "none"]
    assert list(rows["schedule.after"]) == ["10", "10", "none"]
    assert differing(sweep.trials[:2]) == ["schedule.drop"]


def test_numbers_of_a_setting_rise_with_the_default_among_them(make_run: MakeRun) -> None:
    """The default is a value like any other, even if all trials have it."""
    sweep = Sweep("toy", grid(STEPS, **{"schedule.drop": (0.5, 0.1), "seed": (1, 2)}))
    runs = [make_run(trial, 0.6 + 0.01 * trial.seed) for trial in sweep.trials]
    table = assemble(Pivot("schedule.drop").table, sweep, runs, None, "", 0.02)
    assert (table.down_values, [cell.num_seeds for cell in table.cells]) == ((0.1, 0.5), [2, 2])
    alone = assemble(Pivot("schedule.drop").table, Sweep("toy", sweep.trials[2:]), runs, None, "", 0.02)
    assert alone.down_values == (0.1,)


def test_trials_of_one_cell_that_differ_in_a_setting_are_refused(make_run: MakeRun) -> None:
    """The setting is named, even if it is the default in some; a setting that no trial has is named too."""
    sweep = Sweep("toy", grid(STEPS, **{"schedule.drop": (0.5, 0.1), "seed": (1, 2)}))
    runs = [make_run(trial) for trial in sweep.trials]
    for kind in (Pivot("data_hz"), Ranking("backbone")):
        with pytest.raises(ValueError, match=r"sweep toy varies schedule\.drop too"):
            assemble(kind.table, sweep, runs, None, "", 0.02)
    with pytest.raises(ValueError, match=r"toy has schedule=steps, without a setting schedule\.least"):
        assemble(Pivot("schedule.least").table, sweep, runs, None, "", 0.02)


def test_a_setting_that_is_not_the_same_for_all_cells_is_told(make_run: MakeRun) -> None:
    """The caption names the cells with another value; those whose part has no such setting have "none"."""
    others = [STEPS.but(seed=seed, data_hz=4_000, **{"schedule.drop": 0.5}) for seed in (1, 2)]
    constant = [STEPS.but(seed=seed, data_hz=8_000, schedule="constant") for seed in (1, 2)]
    trials = (*grid(STEPS, data_hz=(2_000, 16_000), seed=(1, 2)), *others, *constant)
    runs = [make_run(trial) for trial in trials]
    table = assemble(Pivot("data_hz").table, Sweep("toy", trials), runs, None, "", 0.02)
    (caption,) = (line for line in pivot.captions(table) if line.startswith("Not the same"))
    assert "schedule (steps; constant for 8 kHz)" in caption
    assert "schedule.after (10; none for 8 kHz)" in caption
    assert "schedule.drop (0.1; 0.5 for 4 kHz; none for 8 kHz)" in caption


def test_a_setting_that_differs_from_the_published_one_is_a_reason(make_run: MakeRun) -> None:
    """Both values are named; a setting for which the publication had no part is "none" there."""
    name = "augment.specaugment.stripes"
    mixed = [RATES.but(seed=seed, split="published", **{name: 1}) for seed in (1, 2)]
    steps = STEPS.but(seed=3)
    trials = (*mixed, steps)
    rows = table_rows(Sweep("toy", trials), [make_run(trial) for trial in trials])
    reasons = incomparable(read_published("deepship_rates"), rows)
    (reason,) = (text for text in reasons if text.startswith(name))
    assert reason == f"{name} is 1 here, 2 there"
    assert reasons[reason] == {trial.key for trial in mixed}
    assert reasons["schedule.after is 10 here, none there"] == {steps.key}


def test_a_publication_may_state_a_setting(make_run: MakeRun, tmp_path: Path) -> None:
    """It is compared with ours, and with the default where ours is not stated."""
    text = (FOLDER / "deepship_rates.toml").read_text(encoding="utf-8")
    stated = text.replace(
        "[config]\n", '[config]\nschedule = "steps"\n"schedule.after" = "30"\n"schedule.drop" = 0.5\n'
    )
    (tmp_path / "toy.toml").write_text(stated, encoding="utf-8")
    trials = (STEPS, STEPS.but(seed=2, schedule="constant"))
    rows = table_rows(Sweep("toy", trials), [make_run(trial) for trial in trials])
    reasons = incomparable(read_published("toy", tmp_path), rows)
    assert reasons["schedule is constant here, steps there"] == {trials[1].key}
    assert reasons["schedule.after is 10 or none here, 30 there"] == {trial.key for trial in trials}
    assert reasons["schedule.drop is 0.1 or none here, 0.5 there"] == {trial.key for trial in trials}
    (tmp_path / "toy.toml").write_text(stated.replace("schedule.drop", "schedule.drip"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"TrialConfig has no field schedule\.drip"):
        read_published("toy", tmp_path)


def test_the_runs_of_a_store_are_described_by_their_settings(make_run: MakeRun) -> None:
    """The words are those of the command line; a run with the default does not log it."""
    planned = Sweep("toy_rates", (STEPS,))
    assert "--set schedule.drop=0.5" in held(planned, [make_run(STEPS.but(**{"schedule.drop": 0.5}))])
    planned = Sweep("toy_rates", (STEPS.but(**{"schedule.drop": 0.5}),))
    assert "--set schedule.drop=0.1" in held(planned, [make_run(STEPS)])


@pytest.mark.parametrize("field", ["schedule.aftr", "augment.mixup", "augment.mels"])
def test_a_setting_that_no_part_has_is_refused_at_once(field: str) -> None:
    """The message lists the existing settings."""
    with pytest.raises(ValueError, match=rf"no part of \w+ has a setting '{field}'; a table can be over "):
        Pivot(field)
    with pytest.raises(ValueError, match=r"TrialConfig has no field 'lr\.after'; a table can be over corpus, "):
        Ranking("lr.after")
    assert labels.label("augment.specaugment.mels").name == "Augmentation (specaugment mels)"
