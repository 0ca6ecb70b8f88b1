"""The folds of a seed are one run: known predictions, gaps, and what must not be joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import assemble
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.tables import pivot, standings
from analysis.engine.tables.pivot import PivotTable
from analysis.engine.tables.ranking import RankingTable
from sweeps.engine.plan import Sweep, folds, grid
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE, CLASSES, MakeRun, fields
from trainable.config import TrialConfig

# Four recordings in fold 1, one in each of the others, and how many clips each has.
RECORDINGS = {1: ("a", "b", "c", "d"), 2: ("e",), 3: ("f",)}
CLIPS = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 1}
OWN = "abcdef"  # the label of a recording is its place here, modulo the number of classes
Runs = Callable[..., list[Run]]


def plan(**axes: Sequence[object]) -> Sweep:
    """Three folds of the recordings for two seeds, and any axes before."""
    return Sweep("toy_folds", grid(BASE, **axes, split=folds("recording", 3), seed=(1, 2)))


@pytest.fixture
def runs(make_run: MakeRun) -> Runs:
    """A function that writes each trial's predictions: wrong on the recordings that `wrong` has for its seed."""

    def finished(
        sweep: Sweep, wrong: Callable[[TrialConfig], str], of_fold: dict[int, tuple[str, ...]] = RECORDINGS
    ) -> list[Run]:
        done = []
        for trial in sweep.trials:
            scored = of_fold[int(trial.split.partition(":")[2].partition("/")[0])]
            run = make_run(trial, corpus_recordings="3/2/1")
            right = predict(Path(run.artifact_uri), scored, wrong(trial))
            done.append(dataclasses.replace(run, metrics={**run.metrics, "test_accuracy": right}))
        return done

    return finished


def predict(folder: Path, scored: Sequence[str], wrong: str) -> float:
    """Writes the predictions of one fold; returns the share of its clips that are right."""
    recording = np.repeat(list(scored), [CLIPS[name] for name in scored])
    labels = np.array([OWN.index(name) % len(CLASSES) for name in recording])
    said = np.where(np.isin(recording, list(wrong)), (labels + 1) % len(CLASSES), labels)
    arrays = {
        "logits": np.eye(len(CLASSES), dtype=np.float32)[said],
        "labels": labels,
        "recording": recording,
        "clip": np.concatenate([np.arange(CLIPS[name]) for name in scored]),
        "classes": np.array(CLASSES),
    }
    np.savez(folder / "predictions.npz", **arrays)  # type: ignore[arg-type]
    return float((said == labels).mean())


def table_of(sweep: Sweep, done: list[Run]) -> PivotTable:
    """The pivot of a plan whose only other axis is the learning rate."""
    return assemble(Pivot(down="lr").table, sweep, done, None, "", 0.02)


def test_the_clips_of_all_folds_are_one_test_set(runs: Runs) -> None:
    """Seed 1 is right on 5 of 8 clips, seed 2 on 7 of 8; the mean of the folds' own accuracies would be 1/3 and 2/3.

    e and f are wrong for seed 1, f for seed 2: 3 of 8 clips and 1 of 8. By recording that is 4 of 6 and 5 of 6.
    """
    sweep = plan()
    table = table_of(sweep, runs(sweep, lambda trial: "ef" if trial.seed == 1 else "f"))
    (cell,) = table.cells
    assert cell.scores is not None
    assert (cell.num_seeds, cell.num_folds, cell.scores.clip.n) == (2, 3, 2)
    assert (cell.scores.num_clips, cell.scores.num_recordings) == (8, 6)
    assert cell.scores.clip.mean == pytest.approx((5 / 8 + 7 / 8) / 2)
    assert cell.scores.clip.std == pytest.approx(np.std([5 / 8, 7 / 8], ddof=1))
    assert cell.scores.recording.mean == pytest.approx((4 / 6 + 5 / 6) / 2)
    assert cell.scores.to_come.low < cell.scores.clip.mean < cell.scores.to_come.high
    text = pivot.markdown(table)
    assert "over n = 2 seeds" in text
    assert "3 folds joined: a seed's score is over the test clips of all folds, each recording once." in text
    assert fields(text)[2][1] == "**75.0 ± 17.7**"
    assert table.provenance["split"] == {"51" * 32: 6}  # runs, not seeds


def test_a_missing_fold_is_shown_and_never_averaged(runs: Runs) -> None:
    """Two of three folds are no run of a seed; the gap names fold, seed and what became of it."""
    sweep = plan()
    done = runs(sweep, lambda trial: "")
    kept = [
        run for run, trial in zip(done, sweep.trials, strict=True) if (trial.split, trial.seed) != ("recording:2/3", 1)
    ]
    kept = [dataclasses.replace(run, status="FAILED") if run.key == sweep.trials[-1].key else run for run in kept]
    table = table_of(sweep, kept)
    (cell,) = table.cells
    assert cell.scores is None
    assert cell.gap == "0 of 2 seeds: fold 2 of seed 1 missing, fold 3 of seed 2 failed"
    assert not table.complete
    assert cell.gap in pivot.markdown(table)


def test_a_seed_without_any_fold_is_told_in_short(runs: Runs) -> None:
    """Its folds are not listed one by one."""
    sweep = plan()
    done = [run for run, trial in zip(runs(sweep, lambda trial: ""), sweep.trials, strict=True) if trial.seed == 1]
    (cell,) = table_of(sweep, done).cells
    assert cell.gap == "1 of 2 seeds: all 3 folds of seed 2 missing"


def test_a_fold_that_is_not_planned_is_missing(runs: Runs) -> None:
    """Two folds of three are no cross-validation."""
    whole = plan()
    sweep = Sweep("toy_folds", tuple(trial for trial in whole.trials if trial.split != "recording:3/3"))
    (cell,) = table_of(sweep, runs(sweep, lambda trial: "")).cells
    assert cell.gap == "0 of 2 seeds: fold 3 of seeds 1, 2 not planned"


def test_one_fold_alone_is_a_split_like_any_other(runs: Runs) -> None:
    """Whoever runs fold 2 only asks for fold 2."""
    sweep = Sweep("toy_fold", tuple(trial for trial in plan().trials if trial.split == "recording:2/3"))
    table = table_of(sweep, runs(sweep, lambda trial: ""))
    (cell,) = table.cells
    assert cell.scores is not None
    assert (cell.num_folds, cell.scores.num_clips, cell.scores.clip.mean) == (0, 2, 1.0)
    assert "joined" not in pivot.markdown(table)


def test_a_recording_in_two_folds_is_refused(runs: Runs) -> None:
    """The message has the recording and both folds."""
    sweep = plan()
    done = runs(sweep, lambda trial: "", {**RECORDINGS, 3: ("a", "f")})
    with pytest.raises(
        ValueError, match=r"seed 1 of split=recording, 3 folds: recording a is scored in fold 1 and .* fold 3"
    ):
        table_of(sweep, done)


def test_a_recording_that_no_fold_scores_is_refused(runs: Runs) -> None:
    """The tags say how many recordings the corpus has."""
    sweep = plan()
    with pytest.raises(ValueError, match=r"seed 1 of .*: 5 recordings are scored, of 6; delete the runs"):
        table_of(sweep, runs(sweep, lambda trial: "", {**RECORDINGS, 1: ("a", "b", "c")}))


def test_a_ranking_compares_whole_seeds(runs: Runs) -> None:
    """Two augmentations are one pair on all eight clips, with one confusion matrix a seed over all recordings."""
    sweep = plan(augment=("none", "mixup"))

    def wrong(trial: TrialConfig) -> str:
        return ("ef" if trial.seed == 1 else "f") if trial["augment"] == "mixup" else ("d" if trial.seed == 1 else "")

    table: RankingTable = assemble(Ranking(over="augment").table, sweep, runs(sweep, wrong), None, "", 0.02)
    assert [(row.name, row.num_folds) for row in table.ranked] == [("none", 3), ("mixup", 3)]
    (pair,) = table.pairs
    assert (pair.num_seeds, pair.seeds) == ((2, 2), "paired")
    assert pair.difference == pytest.approx((6 / 8 + 8 / 8) / 2 - (5 / 8 + 7 / 8) / 2)
    best = table.ranked[0]
    assert best.confusion is not None
    assert best.confusion.shares.shape == (2, 4, 4)
    assert "3 folds joined" in standings.markdown(table)


def test_ways_to_split_stand_side_by_side(runs: Runs) -> None:
    """Folds of recordings and folds of vessels are two rows; a split without folds is a third."""
    ways = (*folds("recording", 3), *folds("vessel", 3))
    sweep = Sweep("toy_ways", grid(BASE, split=ways, seed=(1, 2)))
    table = assemble(Pivot(down="split").table, sweep, runs(sweep, lambda trial: ""), None, "", 0.02)
    assert table.down_values == ("recording, 3 folds", "vessel, 3 folds")
    assert [row[0] for row in fields(pivot.markdown(table))[2:4]] == ["recording, 3 folds", "vessel, 3 folds"]
    (first, _) = table.cells
    assert table.cell("recording, 3 folds") is first


def test_published_folds_are_as_many_as_the_corpus_has(runs: Runs) -> None:
    """ESC-50 has five: three of them, planned and finished, leave two to be missing."""
    base = BASE.but(corpus="esc50")
    sweep = Sweep("toy_esc", grid(base, split=folds("published", 3), seed=(1,)))
    (cell,) = table_of(sweep, runs(sweep, lambda trial: "")).cells
    assert cell.gap == "0 of 1 seeds: folds 4, 5 of seed 1 not planned"
