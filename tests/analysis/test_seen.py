"""Seen and unseen: the score on test clips whose vessel is in training beside that on others, in every form."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import assemble
from analysis.engine.inference.seen_parts import parts_of
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.rows import Predictions, read_predictions
from analysis.engine.tables import pivot, seen, standings
from analysis.engine.tables.pivot import PivotTable
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import MakeRun, fields
from trainable.scores.accuracy import Accuracy

CLASSES = ("a", "b")


def predictions(right: str, vessel: str, known: str, unit: str = "vessel") -> Predictions:
    """A clip for each sign of `right`, + or -, of the vessel with that letter; ? is unknown, capitals in `known`."""
    labels = np.zeros(len(right), np.int64)
    logits = np.array([[1.0, 0.0] if sign == "+" else [0.0, 1.0] for sign in right])
    values = np.array([f"unknown: {i}" if name == "?" else name for i, name in enumerate(vessel)])
    is_seen = np.array([name in known for name in vessel])
    clips = np.arange(len(right))
    return Predictions(logits, labels, clips.astype(str), clips, CLASSES, {unit: values}, {unit: is_seen}, unit)


def test_each_part_has_its_own_score() -> None:
    """Of seven clips four are of A and B, which are in training, two of c, and one is unknown; by hand."""
    seeds = [predictions("+++-+-+", "AABBcc?", "AB?"), predictions("++++---", "AABBcc?", "AB?")]
    parts = parts_of(Accuracy(), seeds)["vessel"]
    assert [(part.num_clips, part.num_values) for part in parts] == [(4, 2), (2, 1), (1, 1)]
    assert [part.score.mean for part in parts if part.score] == [7 / 8, 1 / 4, 1 / 2]
    assert [part.score.std for part in parts if part.score] == pytest.approx(
        [np.sqrt(1 / 32), np.sqrt(1 / 8), np.sqrt(1 / 2)]
    )


def test_the_group_that_was_sampled_by_comes_first() -> None:
    """Others follow by name; a fold is no group that anybody asks for."""
    one = predictions("+-", "Ab", "A")
    more = {name: np.array(["x", "y"]) for name in ("day", "fold", "vessel")}
    both = dataclasses.replace(one, groups=more, seen={name: np.array([True, False]) for name in more})
    assert list(parts_of(Accuracy(), [both])) == ["vessel", "day"]


def test_seeds_that_do_not_say_the_same_have_no_parts() -> None:
    """A seed of an earlier version, or of another split, makes no table that would be of other clips."""
    one = predictions("+-", "Ab", "A")
    old = dataclasses.replace(one, groups={}, seen={})
    other = dataclasses.replace(one, seen={"vessel": np.array([True, True])})
    assert parts_of(Accuracy(), [one, one]).keys() == {"vessel"}
    assert [parts_of(Accuracy(), [one, bad]) for bad in (old, other)] == [{}, {}]


@pytest.fixture
def grouped() -> Callable[[Run], Run]:
    """A function that gives a run's recordings vessels; those of the first 12 are in training, the last is unknown."""

    def add(run: Run) -> Run:
        path = Path(run.artifact_uri) / "predictions.npz"
        with np.load(path) as archive:
            kept = dict(archive)
        number = np.array([int(name.removeprefix("ship-")) for name in kept["recording"]])
        vessel = np.array([f"V{n // 2}" if n < 23 else "unknown: 23" for n in number])
        day = np.array([f"{n}" for n in number])
        groups = {"group_vessel": vessel, "seen_vessel": number < 12, "group_day": day, "seen_day": number < 0}
        np.savez(path, **kept, **groups, sampled_by=np.array("vessel"))  # type: ignore[arg-type]
        return run

    return add


def by_hand(run: Run, which: str) -> tuple[int, float]:
    """The clips of a part, and their accuracy."""
    its = read_predictions(run)
    number = np.array([int(name.removeprefix("ship-")) for name in its.recording])
    chosen = {"seen": number < 12, "unseen": (number >= 12) & (number < 23), "unknown": number == 23}[which]
    return int(chosen.sum()), float((its.logits.argmax(axis=1) == its.labels)[chosen].mean())


def test_a_pivot_has_the_table_in_every_form(
    sweep: Sweep, complete: list[Run], grouped: Callable[[Run], Run], check_page: Callable[[str], None], tmp_path: Path
) -> None:
    """Its numbers are those by hand; the day, of which nothing is seen, is told in a sentence."""
    runs = [grouped(run) for run in complete]
    kind = Pivot(down="data_hz", across="pretrain_hz")
    table = assemble(kind.table, sweep, runs, None, "", 0.02)
    files = kind.files(table, "Which rate?", "again", tmp_path)
    text = files["table.md"]
    assert isinstance(text, str)
    first = [run for run in runs if run.params["pretrain_hz"] == "16000" and run.params["data_hz"] == "2000"]
    means = [np.mean([by_hand(run, which)[1] for run in first]) for which in ("seen", "unseen", "unknown")]
    head, _, row, *_ = (line for line in fields(text)[-6:])
    assert head[:3] == ["Setting", "Seen clips", "Accuracy, seen"]
    assert head[-3:] == ["Unknown clips", "Accuracy, unknown", "Seen minus unseen"]
    assert row[0] == "2 kHz, CNN14_16k"
    assert [int(row[i]) for i in (1, 3, 5)] == [by_hand(first[0], which)[0] for which in ("seen", "unseen", "unknown")]
    assert [row[i].split()[0] for i in (2, 4, 6)] == [f"{100 * mean:.1f}" for mean in means]
    assert float(row[7].replace("−", "-")) == pytest.approx(100 * (means[0] - means[1]), abs=0.051)
    share = by_hand(first[0], "seen")[0] / len(read_predictions(first[0]).labels)
    assert f"Seen: test clips of a vessel that is also in training, {100 * share:.0f} % of them (6 of 12 known" in text
    assert "- No test clip is of a day that is also in training." in text
    for form in ("report.html", "table.tex"):
        assert "Seen and unseen: vessel" in str(files[form])
        assert "No test clip is of a day that is also in training." in str(files[form])
    check_page(str(files["report.html"]))
    rows = list(csv.DictReader(io.StringIO(str(files["seen.csv"]))))
    assert len(rows) == 4 * 2 * 3
    assert {(r["group"], r["part"], r["num_values"]) for r in rows if r["group"] == "vessel"} == {
        ("vessel", "seen", "6"),
        ("vessel", "unseen", "6"),
        ("vessel", "unknown", "1"),
    }
    its = next(r for r in rows if (r["cell"], r["group"], r["part"]) == ("2 kHz, CNN14_16k", "vessel", "unseen"))
    assert float(its["accuracy_mean"]) == pytest.approx(means[1])
    assert its["accuracy_n"] == "3"


@pytest.mark.slow
def test_a_ranking_has_the_table_too(
    backbones: Sweep, make_run: MakeRun, grouped: Callable[[Run], Run], tmp_path: Path
) -> None:
    """A row for each network, in the order of the ranking."""
    runs = [grouped(make_run(trial, 0.5 + 0.05 * len(trial.backbone))) for trial in backbones.trials]
    kind = Ranking(over="backbone")
    table = assemble(kind.table, backbones, runs, None, "", 0.02)
    (its,) = seen.shown(table)
    assert [row[0].words for row in its.grid.rows] == [table.title(cell) for cell in table.cells]
    files = kind.files(table, "Which network?", "again", tmp_path)
    assert "Seen and unseen: vessel" in str(files["report.html"])
    assert "seen.csv" in files
    assert (
        standings.markdown(table).count("Seen minus unseen") == standings.latex(table).count("Seen minus unseen") == 1
    )


def test_runs_that_do_not_say_are_told_so(sweep: Sweep, complete: list[Run], tmp_path: Path) -> None:
    """One sentence instead of a table, and no file."""
    kind = Pivot(down="data_hz", across="pretrain_hz")
    table = assemble(kind.table, sweep, complete, None, "", 0.02)
    assert seen.shown(table) == []
    assert pivot.markdown(table).count(seen.NOT_SAID) == 1
    files = kind.files(table, "Which rate?", "again", tmp_path)
    assert "seen.csv" not in files
    assert str(files["report.html"]).count(seen.NOT_SAID) == 1


def test_unknown_groups_are_not_told_as_unseen(sweep: Sweep, make_run: MakeRun, grouped: Callable[[Run], Run]) -> None:
    """Where no vessel is known, none is seen, and the sentence says that this is as far as is known."""
    runs = [grouped(make_run(trial)) for trial in sweep.trials]
    for run in runs:
        path = Path(run.artifact_uri) / "predictions.npz"
        with np.load(path) as archive:
            kept = dict(archive)
        kept["group_vessel"] = np.char.add("unknown: ", kept["recording"])
        kept["seen_vessel"] = np.zeros(len(kept["labels"]), bool)
        np.savez(path, **kept)
    table = assemble(Pivot(down="data_hz", across="pretrain_hz").table, sweep, runs, None, "", 0.02)
    (line,) = seen.remarks(table)
    assert line.endswith("also in training, as far as is known: the vessel of 100 % of them is unknown.")
    assert line.startswith("No test clip is of a vessel or day that is")


def test_an_incomplete_cell_has_no_row(sweep: Sweep, complete: list[Run], grouped: Callable[[Run], Run]) -> None:
    """Three of four cells are complete, and the table has three rows; without any there is nothing to say."""
    runs = [grouped(run) for run in complete]
    table: PivotTable = assemble(Pivot(down="data_hz", across="pretrain_hz").table, sweep, runs[1:], None, "", 0.02)
    (its,) = seen.shown(table)
    assert len(its.grid.rows) == 3
    none = assemble(Pivot(down="data_hz", across="pretrain_hz").table, sweep, runs[:1], None, "", 0.02)
    assert (seen.shown(none), seen.remarks(none)) == ([], ())


def test_runs_that_have_heard_their_test_are_told(sweep: Sweep, complete: list[Run]) -> None:
    """A caption and the provenance say how many, and how much; nothing is said where no run has."""
    kind = Pivot(down="data_hz", across="pretrain_hz")
    assert "heard" not in pivot.markdown(assemble(kind.table, sweep, complete, None, "", 0.02))
    stamps = ["3 of 121 test recordings"] * 2 + ["unknown"]
    marked = [dataclasses.replace(r, tags={**r.tags, "heard": s}) for r, s in zip(complete, stamps, strict=False)]
    table = assemble(kind.table, sweep, [*marked, *complete[3:]], None, "", 0.02)
    text = pivot.markdown(table)
    assert (
        "2 runs start from weights that were trained on recordings of this test (3 of 121 test recordings), as" in text
    )
    assert "1 runs start from another run's weights, of which it is not known whether they heard the test." in text
    assert table.provenance["heard before"] == {"nothing": 9, "3 of 121 test recordings": 2, "unknown": 1}
