"""The groups of test clips from a run's file to a report: read, joined over folds, and as clusters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.rows import Predictions, read_predictions
from analysis.engine.runs import folds
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE, MakeRun

CLASSES = ("a", "b")


def predictions(recording: str, **more: object) -> Predictions:
    """Predictions with a clip for each letter of `recording`, all right."""
    labels = np.arange(len(recording)) % 2
    return Predictions(np.eye(2)[labels], labels, np.array(list(recording)), labels, CLASSES, **more)  # type: ignore[arg-type]


def stored(run: Run, **arrays: np.ndarray) -> Run:
    """The run with further arrays beside its predictions."""
    path = Path(run.artifact_uri) / "predictions.npz"
    with np.load(path) as archive:
        kept = dict(archive)
    np.savez(path, **kept, **arrays)  # type: ignore[arg-type]
    return run


def test_a_run_of_an_earlier_version_has_no_groups(make_run: MakeRun) -> None:
    """Its recordings are its clusters."""
    its = read_predictions(make_run(BASE))
    assert (its.groups, its.seen, its.sampled_by, its.cluster_unit) == ({}, {}, "", "recording")
    assert np.array_equal(its.clusters, its.recording)


def test_groups_are_read_with_the_predictions(make_run: MakeRun) -> None:
    """A group's values and whether they are seen, by clip; its name may have an underscore."""
    run = make_run(BASE, num_recordings=2)
    num = len(read_predictions(run).labels)
    value, is_seen = np.array(["X"] * num), np.arange(num) % 2 == 0
    its = read_predictions(stored(run, group_my_site=value, seen_my_site=is_seen, sampled_by=np.array("my_site")))
    assert its.groups["my_site"].tolist() == value.tolist()
    assert its.seen["my_site"].tolist() == is_seen.tolist()
    assert (its.cluster_unit, set(its.clusters)) == ("my_site", {"X"})


def test_groups_that_do_not_fit_are_damage(make_run: MakeRun) -> None:
    """An array of another length names the run and the remedy."""
    run = stored(make_run(BASE), group_site=np.array(["X"]), seen_site=np.array([True]))
    with pytest.raises(ValueError, match=r"its groups do not fit its clips.*copy it again"):
        read_predictions(run)


def test_a_clip_of_an_unknown_vessel_has_its_recording_as_cluster() -> None:
    """It must share a cluster with no known vessel, whatever that is called."""
    its = predictions("abbc", groups={"vessel": np.array(["b", "unknown: b", "unknown: b", "b"])}, sampled_by="vessel")
    assert its.clusters.tolist() == ["b", "recording b", "recording b", "b"]
    assert its.cluster_unit == "vessel"


def test_where_no_vessel_is_known_the_recording_is_the_unit() -> None:
    """Also for a user's table that says unknown in every row."""
    its = predictions("ab", groups={"vessel": np.array(["unknown", "unknown"])}, sampled_by="vessel")
    assert its.cluster_unit == "recording"
    assert len(set(its.clusters)) == 2


def test_excerpts_of_one_file_are_one_cluster() -> None:
    """Without groups, the file is the unit."""
    assert predictions("abc", file=np.array(["x", "x", "c"])).clusters.tolist() == ["x", "x", "c"]


def test_joined_folds_keep_what_each_fold_has_seen() -> None:
    """A speaker whom fold 1 has trained on may be new in fold 2; a group that one fold lacks is left out."""
    trials = [BASE.but(split=f"recording:{k}/3") for k in (1, 2, 3)]
    rows = [{"key": t.key, "config": t, "seed": 1, "split": t.split, "corpus_recordings": ""} for t in trials]
    each = [
        predictions(name, groups=its, seen={k: np.array([value]) for k in its}, sampled_by="speaker")
        for name, its, value in [
            ("x", {"speaker": np.array(["A"]), "day": np.array(["1"])}, True),
            ("y", {"speaker": np.array(["A"]), "day": np.array(["1"])}, False),
            ("z", {"speaker": np.array(["B"])}, False),
        ]
    ]
    whole = folds._concatenated(rows, {row["key"]: its for row, its in zip(rows, each, strict=True)})
    assert whole.groups.keys() == whole.seen.keys() == {"speaker"}
    assert whole.groups["speaker"].tolist() == ["A", "A", "B"]
    assert whole.seen["speaker"].tolist() == [True, False, False]
    assert whole.cluster_unit == "speaker"
    old = [each[0], each[1], dataclasses.replace(each[2], groups={}, seen={}, sampled_by="")]
    mixed = folds._concatenated(rows, {row["key"]: its for row, its in zip(rows, old, strict=True)})
    assert (mixed.groups, mixed.cluster_unit) == ({}, "recording")
