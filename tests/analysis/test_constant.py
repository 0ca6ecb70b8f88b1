"""Every table names the score of a constant answer, and marks the networks that give one."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.engine.command import assemble
from analysis.engine.inference.constant import constant
from analysis.engine.kinds import Pivot, Ranking
from analysis.engine.rows import Predictions
from analysis.engine.tables import pivot, standings
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE, CLASSES, MakeRun
from trainable.config import FIELDS
from trainable.learning.part import named

LABELS = np.array([0] * 6 + [1] * 3 + [2])


def of(score: str, majority: str = "frog", named_as: np.ndarray = LABELS) -> tuple[float, float, int]:
    """The scores of a constant answer on six frogs, three owls and a toad, and whether a network gives one."""
    clips = np.arange(10)
    seed = Predictions(np.eye(3)[named_as], LABELS, clips.astype(str), clips, ("frog", "owl", "toad"))
    part: object = named("score", FIELDS["scores"].metadata["folder"], score)
    found = constant(part, [seed], majority)  # type: ignore[arg-type]
    return found.of_majority, found.chance, found.num_seeds


def test_by_hand() -> None:
    """Six of ten for frog by accuracy; by UAR a third, whatever is answered; nothing is known of a loss."""
    assert of("accuracy") == (pytest.approx(0.6), pytest.approx(1 / 3), 0)
    assert of("accuracy", "toad")[0] == pytest.approx(0.1)
    assert of("uar") == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0)
    assert of("auroc")[:2] == (0.5, 0.5)
    assert math.isnan(of("loss")[0])
    assert math.isnan(of("accuracy", "")[0])


def test_a_constant_network_is_counted() -> None:
    """Whichever class it names."""
    assert of("accuracy", named_as=np.ones(10, int))[2] == 1


@pytest.fixture
def study() -> Sweep:
    """Two learning rates x two seeds = 4 trials."""
    return Sweep("toy", grid(BASE, lr=(1e-3, 5e-5), seed=(1, 2)))


@pytest.fixture
def runs(study: Sweep, make_run: MakeRun) -> list[Run]:
    """The second seed of the higher learning rate calls every clip a tug."""
    found = [make_run(trial, majority_class="Tug") for trial in study.trials]
    path = Path(found[1].artifact_uri) / "predictions.npz"
    arrays = dict(np.load(path))
    arrays["logits"] = np.broadcast_to(np.eye(4, dtype=np.float32)[3], arrays["logits"].shape)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    found[1].metrics["test_accuracy"] = float((arrays["labels"] == 3).mean())
    return found


@pytest.mark.parametrize("kind", [Pivot(down="lr"), Ranking(over="lr")])
def test_every_table_says_so(kind: Pivot | Ranking, study: Sweep, runs: list[Run]) -> None:
    """The majority class is that of training; the mark stands behind the number, and its caption counts the seeds."""
    table = assemble(kind.table, study, runs, None, "", 0.02)
    text = pivot.markdown(table) if isinstance(kind, Pivot) else standings.markdown(table)  # type: ignore[arg-type]
    frame = pivot.csv_frame(table) if isinstance(kind, Pivot) else standings.csv_frame(table)  # type: ignore[arg-type]
    by_lr = {row["lr"]: row for row in csv.DictReader(io.StringIO(frame.to_csv(index=False)))}
    constant_row = by_lr["0.001"]
    assert (constant_row["majority_class"], constant_row["num_seeds_of_one_class"]) == ("Tug", "1")
    assert float(constant_row["chance_clip_accuracy"]) == pytest.approx(1 / len(CLASSES))
    share = f"{100 * float(constant_row['majority_class_clip_accuracy']):.1f}"
    assert (
        f"Naming Tug, the most frequent class in training, for every test clip has an accuracy of {share} %; chance, "
        "the mean of such answers over the classes, is 25.0 %."
    ) in text
    assert "‡: names one class for every test clip: lr=0.001 (1 of 2 seeds)." in text
    assert text.count("‡") == 3  # in both tables


def test_runs_that_do_not_say_their_majority_class_have_chance(study: Sweep, make_run: MakeRun) -> None:
    """Those of earlier versions; no table has a mark without a reason."""
    table = assemble(Pivot(down="lr").table, study, [make_run(trial) for trial in study.trials], None, "", 0.02)
    text = pivot.markdown(table)
    assert "Naming one class for every test clip has a mean accuracy of 25.0 % over the classes: chance." in text
    assert "‡" not in text
