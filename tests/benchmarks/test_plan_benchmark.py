"""The comparison of a plan with reality is arithmetic on both."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.plan import Held, held
from sweeps.engine.forecast.cost import ZERO, Prediction, Span
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Situation
from sweeps.recipes.mohammadi import RATES
from trainable.result.record import Record

BASE = RATES.but(data_hz=8_000, augment="none")
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 2_000), seed=(1, 2)))


def test_cells_are_their_seeds_together_the_longest_last() -> None:
    """Two trials of three epochs: 10 s each where 12 s were predicted, and 1 s each where 0.5 s were."""
    seconds = {8_000: (12, 10), 2_000: (0.5, 1)}
    history = {hz: [{"epoch": n, "epoch_s": took / 3} for n in range(3)] for hz, (_, took) in seconds.items()}
    records = {t.key: Record(t.key, {}, {}, {}, history[t.data_hz], {}, "a", {}) for t in SWEEP.trials}
    predictions = {t.key: Prediction(ZERO, epochs_s=Span(0, seconds[t.data_hz][0], 99)) for t in SWEEP.trials}
    situation = Situation(SWEEP, "", {}, {}, [], records, predictions=predictions)
    short, long = held(dataclasses.replace(situation, records={}), situation)
    assert (short.what, long.what) == ("cnn14-32k on 2 kHz", "cnn14-32k on 8 kHz")
    assert (short.error, long.error) == (pytest.approx(-0.5), pytest.approx(0.2))
    assert (long.predicted.mid, long.actual_s) == (24, pytest.approx(20))


def test_an_error_is_of_the_prediction() -> None:
    """A run that takes twice as long as predicted has an error of -50 %."""
    row = Held("a", Span(1, 2, 3), 4.0).row()
    assert (row.ours, row.peer, row.note) == (2, 4.0, "predicted 1.0 to 3.0 s, off by -50 %")
