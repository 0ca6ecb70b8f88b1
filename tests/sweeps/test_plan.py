"""A plan is the list of trials in its file, in that order, without repetition."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.engine.plan import Sweep, cell_name, grid, run_name, trial_name, varied, work
from sweeps.recipes.mohammadi import RATES

BASE = RATES
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 16_000), seed=(1, 2, 3)))


def test_a_grid_is_every_combination_with_the_last_axis_fastest() -> None:
    """The order is that of nested loops."""
    trials = grid(BASE, pretrain_hz=(8_000, 32_000), data_hz=(4_000, 2_000), seed=(2, 1))
    expected = list(itertools.product((8_000, 32_000), (4_000, 2_000), (2, 1)))
    assert [(t.pretrain_hz, t.data_hz, t.seed) for t in trials] == expected


def test_a_grid_changes_nothing_but_its_axes() -> None:
    """All other fields are those of the base."""
    assert {dataclasses.replace(t, seed=1) for t in grid(BASE, seed=(1, 2))} == {BASE}


def test_a_grid_without_axes_is_the_base() -> None:
    """It has one trial."""
    assert grid(BASE) == (BASE,)


def test_a_misspelt_axis_is_a_type_error() -> None:
    """It is raised on the laptop, before anything runs, and names the word."""
    with pytest.raises(TypeError, match="pretrain_rate"):
        grid(BASE, pretrain_rate=(8_000,))


def test_an_impossible_combination_is_refused() -> None:
    """No part of the grid is made."""
    with pytest.raises(ValueError, match="data_hz=1000: a clip of 5 s gives 16 frames"):
        grid(BASE, data_hz=(32_000, 1_000))


def test_a_trial_planned_twice_is_refused() -> None:
    """However it is written, the second would never run."""
    with pytest.raises(
        ValueError, match=r"sweep toy: the trial cnn14-\S+ on \S+ kHz, seed 1 \(key [0-9a-f]{12}\) is planned twice"
    ):
        Sweep("toy", grid(BASE, seed=(1, 2, "1")))


def test_cells_with_one_network_and_rates_are_told_apart_by_what_differs() -> None:
    """Nothing else is in a name, nor what follows from the network; a part of a study keeps the names."""
    one, other = (dataclasses.replace(BASE, backbone="cnn10", batch=8), BASE)
    assert [Sweep("toy", (one, other)).cell(t) for t in (one, other)] == ["cnn10-32k on 32 kHz", "cnn14-32k on 32 kHz"]
    both = Sweep("toy", grid(BASE, lr=(1e-3, 1e-4), seed=(1, 2)))
    names = [both.cell(t) for t in both.trials]
    assert names == [f"cnn14-32k on 32 kHz, lr={lr}" for lr in ("0.001", "0.001", "0.0001", "0.0001")]
    part = varied(both, limit=1)
    assert part.cell(part.trials[0]) == names[0]


def test_what_all_trials_share_are_the_settings_of_the_study() -> None:
    """The seed, and settings that only the first trials share, are left out."""
    part = varied(SWEEP, {"epochs": 5}, seeds=(1,), limit=1)
    assert part.settings is not None
    assert (part.settings["epochs"], part.settings["corpus"]) == (5, "deepship")
    assert not {"seed", "data_hz"} & part.settings.keys()


def test_seeds_replace_the_studys() -> None:
    """Each cell gets the requested seeds, in their order, once."""
    trials = varied(SWEEP, seeds=(7, 5)).trials
    assert [(t.data_hz, t.seed) for t in trials] == [(8_000, 7), (8_000, 5), (16_000, 7), (16_000, 5)]


def test_adding_a_seed_keeps_the_other_trials() -> None:
    """With a fourth seed, the old keys stay and new ones are added."""
    more = {t.key for t in varied(SWEEP, seeds=(1, 2, 3, 4)).trials}
    assert {t.key for t in SWEEP.trials} < more
    assert len(more) == 8


def test_fields_are_set_in_every_trial() -> None:
    """A setting applies to the whole sweep, whose name stays."""
    changed = varied(SWEEP, {"epochs": 2, "classes": "Cargo,Tug"})
    assert changed.name == "toy"
    assert [dataclasses.replace(t, epochs=100, classes="") for t in changed.trials] == list(SWEEP.trials)
    assert {(t.epochs, t.classes) for t in changed.trials} == {(2, "Cargo,Tug")}


@pytest.mark.parametrize("fields", [{"seed": 1}, {"data_hz": 8_000}])
def test_a_setting_that_makes_two_trials_one_is_refused(fields: dict[str, Any]) -> None:
    """An axis that is set to one value is no longer an axis."""
    with pytest.raises(ValueError, match="is planned twice"):
        varied(SWEEP, fields)


@given(st.integers(1, 10), st.sampled_from([(), (4,), (4, 5)]))
def test_a_limit_takes_the_first_trials(limit: int, seeds: tuple[int, ...]) -> None:
    """They are the beginning of the plan without a limit, seeds and all."""
    assert varied(SWEEP, seeds=seeds, limit=limit).trials == varied(SWEEP, seeds=seeds).trials[:limit]


def test_nothing_varied_is_the_same_plan() -> None:
    """Without flags no trial changes."""
    assert varied(SWEEP) == SWEEP


def test_names_say_what_a_trial_is() -> None:
    """A name has the network, the rates in kHz, and the seed."""
    trial = dataclasses.replace(BASE, pretrain_hz=8_000, data_hz=11_025)
    assert cell_name(trial) == "cnn14-8k on 11.025 kHz"
    assert trial_name(trial) == "cnn14-8k on 11.025 kHz, seed 1"


def test_every_trial_of_a_sweep_has_a_name_of_its_own() -> None:
    """Before the usual name stands what the sweep varies and the name does not show; behind it, in the short one."""
    augments = Sweep("toy", grid(BASE, augment=("none", "mixup"), data_hz=(8_000, 16_000), seed=(1, 2)))
    names = [augments.title(trial) for trial in augments.trials]
    assert names[4] == "augment=mixup, cnn14-32k on 8 kHz, seed 1"
    short = [run_name(trial, augments.cell(trial)) for trial in augments.trials]
    assert short[4] == "cnn14-32k@8k s1, augment=mixup"
    assert len({*names}) == len({*short}) == len(augments.trials)


def test_names_that_tell_trials_apart_stay_as_they_are() -> None:
    """Those of a study over rates and networks."""
    assert [SWEEP.title(trial) for trial in SWEEP.trials] == [trial_name(trial) for trial in SWEEP.trials]
    trial = SWEEP.trials[0]
    assert run_name(trial, SWEEP.cell(trial)) == run_name(trial) == "cnn14-32k@8k s1"


def test_work_is_frames_times_epochs() -> None:
    """Twice the rate, half the hop or twice the epochs is twice the work."""
    at = {hz: work(dataclasses.replace(BASE, data_hz=hz)) for hz in (16_000, 32_000)}
    assert at[32_000] == 501 * 100
    assert at[32_000] / at[16_000] == pytest.approx(2, rel=0.01)
    assert work(dataclasses.replace(BASE, pretrain_hz=16_000)) / at[32_000] == pytest.approx(2, rel=0.01)
    assert work(dataclasses.replace(BASE, epochs=200)) == 2 * at[32_000]
