"""A trial is done when it finished on these data, this split and these weights, and not otherwise."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from datasets.engine.prepare import Wanted
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Inputs, Situation, all_wanted, folder_name, wanted_by
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.result.record import Record

BASE = RATES
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 16_000), seed=(1, 2)))
INPUTS = Inputs("d" * 64, "5" * 64, "e" * 64)
ONE, TWO, THREE, FOUR = SWEEP.trials


def run_of(trial: TrialConfig, status: str = "FINISHED", run_id: str = "r", inputs: Inputs = INPUTS) -> Run:
    return Run(run_id, "toy", "a name", status, {}, {}, {"key": trial.key, "role": "trial", **inputs.tags}, "")


def situation(runs: Sequence[Run], inputs: dict[str, Inputs] | None = None) -> Situation:
    return Situation(
        SWEEP, "", {}, dict.fromkeys([t.key for t in SWEEP.trials], INPUTS) if inputs is None else inputs, runs
    )


def test_without_runs_all_is_to_run() -> None:
    """With an empty store, every trial runs."""
    assert set(situation([]).to_run) == set(SWEEP.trials)
    assert situation([]).done == set()
    assert situation([]).unfinished == {}


def test_a_finished_trial_is_done() -> None:
    """It is not run again, and the others are."""
    state = situation([run_of(ONE)])
    assert state.done == {ONE.key}
    assert set(state.to_run) == {TWO, THREE, FOUR}


def test_a_committed_trial_is_done() -> None:
    """The store does not matter."""
    state = dataclasses.replace(situation([]), records={ONE.key: Record(ONE.key, {}, {}, {}, [], {}, "a", {})})
    assert state.done == {ONE.key}
    assert set(state.to_run) == {TWO, THREE, FOUR}


def test_a_running_trial_is_left_to_its_driver() -> None:
    """It belongs to another storage, because this one's were ended at the start. Here the trial still has to run."""
    state = situation([run_of(ONE, "RUNNING")])
    assert state.unfinished == {}
    assert ONE in state.to_run


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "SCHEDULED"])
def test_an_unfinished_trial_is_run_again(status: str) -> None:
    """Whatever its state, its run is taken up."""
    state = situation([run_of(ONE, status)])
    assert state.done == set()
    assert ONE in state.to_run
    assert state.unfinished == {ONE.key: run_of(ONE, status)}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Inputs)])
@pytest.mark.parametrize("status", ["FINISHED", "KILLED"])
def test_a_run_on_other_bytes_does_not_count(field: str, status: str) -> None:
    """Other data, another split or other weights make another result; its run is neither done nor taken up."""
    state = situation([run_of(ONE, status, inputs=dataclasses.replace(INPUTS, **{field: "0" * 64}))])
    assert set(state.to_run) == set(SWEEP.trials)
    assert state.unfinished == {}


def test_a_run_without_hashes_does_not_count() -> None:
    """Unknown inputs are not taken to be the same."""
    bare = dataclasses.replace(run_of(ONE), tags={"key": ONE.key})
    assert situation([bare]).done == set()


def test_a_run_of_no_planned_trial_is_ignored() -> None:
    """The store may hold other sweeps."""
    other = run_of(dataclasses.replace(BASE, seed=9))
    assert situation([other]).done == set()
    assert situation([other]).unfinished == {}


def test_a_trial_whose_inputs_are_not_known_is_to_run() -> None:
    """Without data, no trial counts as done."""
    state = situation([run_of(ONE), run_of(TWO)], {TWO.key: INPUTS})
    assert set(state.done) == {TWO.key}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_finished_run_is_enough(order: tuple[int, ...]) -> None:
    """Failed attempts before or after it change nothing."""
    runs = [run_of(ONE, "FAILED", "a"), run_of(ONE, "FINISHED", "b"), run_of(ONE, "KILLED", "c")]
    state = situation([runs[n] for n in order])
    assert state.done == {ONE.key}
    assert ONE not in state.to_run


def test_the_newest_unfinished_run_is_taken_up() -> None:
    """Of several, it is the last, because runs come oldest first."""
    assert situation([run_of(ONE, "FAILED", "a"), run_of(ONE, "KILLED", "b")]).unfinished[ONE.key].run_id == "b"


def test_the_longest_trials_run_first() -> None:
    """They are sorted by frames times epochs; equal trials keep the plan's order, with a cell's seeds together."""
    forth = situation([]).to_run
    back = dataclasses.replace(situation([]), sweep=Sweep("toy", SWEEP.trials[::-1])).to_run
    assert [(t.data_hz, t.seed) for t in forth] == [(16_000, 1), (16_000, 2), (8_000, 1), (8_000, 2)]
    assert [(t.data_hz, t.seed) for t in back] == [(16_000, 2), (16_000, 1), (8_000, 2), (8_000, 1)]


def test_a_folder_is_of_a_trial_on_its_inputs() -> None:
    """Two trials, and one trial on two inputs, never share a folder; the key can be read from it."""
    names = {folder_name(t, INPUTS) for t in SWEEP.trials}
    names |= {folder_name(ONE, dataclasses.replace(INPUTS, **{f: "0" * 64})) for f in INPUTS.tags}
    assert len(names) == 4 + 3
    assert folder_name(ONE, INPUTS).startswith(f"{ONE.key}-")
    assert folder_name(ONE, INPUTS) == folder_name(ONE, dataclasses.replace(INPUTS))


def test_trials_at_any_rate_need_the_same_corpus() -> None:
    """A corpus is read once for all trials that differ only in other respects."""
    assert all_wanted(SWEEP.trials) == [Wanted("deepship", (), "recording", 5.0)]


def test_classes_split_and_length_are_of_the_corpus() -> None:
    """Another choice of them needs another reading."""
    others = [
        dataclasses.replace(BASE, **change)
        for change in ({"classes": "Cargo,Tug"}, {"split": "vessel"}, {"clip_s": 2.0}, {"corpus": "esc50"})
    ]
    assert wanted_by(others[0]) == Wanted("deepship", ("Cargo", "Tug"), "recording", 5.0)
    assert len(all_wanted([BASE, *others, BASE])) == 5
