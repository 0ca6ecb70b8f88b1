"""Seeds that are added until a comparison is decided: the E-value, the family, the looks, and their state."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from sweeps.engine.adaptive import looks
from sweeps.engine.adaptive.contrasts import Contrast, between, contrasts
from sweeps.engine.adaptive.evalues import e_holm, e_value
from sweeps.engine.adaptive.looks import Rule, rule_of, state_of
from sweeps.engine.plan import Pair, Sweep, grid, varied
from sweeps.recipes.mohammadi import RATES

SWEEP = Sweep("toy", grid(RATES, augment=("none", "mixup", "specaugment"), data_hz=(8_000, 16_000), seed=(1, 2, 3)))


def scores_of(rule: Rule, means: dict[str, float], num_seeds: int, spread: float = 0.01) -> dict[str, float]:
    """Scores around the mean of each augmentation, for both data rates and the first seeds of a rule."""
    rng = random.Random(0)
    settings = {one.key: one for pair in rule.contrasts for one in (*pair.better, *pair.than)}.values()
    return {
        one.but(seed=seed).key: means[str(one.augment)] + rng.gauss(0, spread)
        for one in settings
        for seed in rule.seeds[:num_seeds]
    }


def test_the_e_value_is_a_ratio_of_two_likelihoods() -> None:
    """The formula is the integral that it stands for: a right-Haar prior on sd, a normal one on the mean / sd."""
    differences, g = [0.4, 1.1, 0.7, 1.6], 4.0
    n = len(differences)

    def likelihood(sd: float, variance: float) -> float:
        """Density of the differences for one sd, their mean integrated over its prior with this variance."""
        total, squares = sum(differences), sum(d * d for d in differences)
        exponent = (squares - total**2 * variance / (1 + n * variance)) / (2 * sd**2)
        return math.exp(-exponent) / sd**n / math.sqrt(1 + n * variance)

    steps = [math.exp(x / 200) for x in range(-1_200, 1_200)]  # of sd; d(sd) / sd is a step of the logarithm
    ratio = sum(likelihood(sd, g) for sd in steps) / sum(likelihood(sd, 0) for sd in steps)
    assert e_value(differences, g) == pytest.approx(ratio, rel=1e-3)


def test_an_e_value_has_no_unit_and_no_direction() -> None:
    """Points or fractions, first minus second or the reverse: the evidence is the same."""
    differences = [0.012, 0.020, 0.009, 0.031]
    same = [100 * d for d in differences], [-d for d in differences]
    assert [e_value(one) for one in same] == pytest.approx([e_value(differences)] * 2)


def test_three_seeds_never_decide_and_equal_ones_say_nothing() -> None:
    """With g = 4 three seeds give at most 13; seeds that all agree show no spread, which is no certainty."""
    assert 12 < e_value([1.0, 1.0001, 0.9999]) < 13
    assert e_value([1.0, 1.0001, 0.9999, 1.0]) > 60
    assert [e_value(one) for one in ([], [0.3], [0.25] * 8, [0.0] * 8)] == [1.0] * 4


def test_a_family_is_adjusted_by_the_worst_mean() -> None:
    """The values are worked out by hand; Holm's procedure for 1/E would give the largest 90 / 3 = 30."""
    assert e_holm([90.0, 30.0, 0.3]) == pytest.approx([(90 + 0.3 + 30) / 3, (30 + 0.3) / 2, 0.3])
    assert e_holm([7.0]) == [7.0]


def test_false_decisions_stay_below_their_level_and_true_ones_come() -> None:
    """Of 800 pairs without a difference few are decided in 60 looks; a difference of 2 sd takes 6 seeds."""
    rng = random.Random(3)
    null = [[rng.gauss(0, 1) for _ in range(60)] for _ in range(800)]
    false = sum(any(e_value(one[:n]) >= 20 for n in range(3, 61)) for one in null)
    needed = [next(n for n in range(3, 61) if e_value([d + 2 for d in one[:n]]) >= 20) for one in null]
    assert 0 < false / len(null) < 0.04
    assert 5.5 < sum(needed) / len(needed) < 7


def test_contrasts_are_what_the_study_states_or_the_pairs_of_its_first_field() -> None:
    """Each value against each other, over the rest; a flag names another field; stated pairs follow changed trials."""
    assert [one.name for one in contrasts(SWEEP)] == [
        "data_hz=8000 against 16000",
    ]
    assert len(contrasts(SWEEP, "augment")) == 3
    assert {len(one.better) for one in contrasts(SWEEP, "augment")} == {2}
    stated = Sweep("toy", SWEEP.trials, pairs=(Pair({"augment": "mixup", "data_hz": 8_000}, {"augment": ("none",)}),))
    (only,) = contrasts(varied(stated, {"epochs": 7}))
    assert (only.name, len(only.better), len(only.than)) == ("augment=mixup data_hz=8000 against augment=none", 1, 2)
    assert {one.epochs for one in (*only.better, *only.than)} == {7}
    by_key = Pair({"key": (only.than[0].key, only.than[1].key)}, {"augment": "mixup"}, "two against two")
    (other,) = contrasts(dataclasses.replace(varied(stated, {"epochs": 7}), pairs=(by_key,)))
    assert (other.name, other.better, len(other.than)) == ("two against two", only.than, 2)


@pytest.mark.parametrize(
    ("field", "trials", "said"),
    [
        ("epochs", SWEEP.trials, "the plan does not vary it; it varies data_hz, augment"),
        ("", SWEEP.trials[:1], "one setting only"),
    ],
)
def test_a_plan_without_a_comparison_is_refused(field: str, trials: tuple[object, ...], said: str) -> None:
    """The message says what could be compared."""
    with pytest.raises(ValueError, match=said):
        contrasts(Sweep("toy", trials), field)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no trial of the plan is on the side 'than'"):
        between("x", SWEEP.trials, lambda trial: trial.seed == 1, lambda trial: trial.epochs == 7)


def test_seeds_are_asked_for_while_a_pair_is_open_and_for_no_other() -> None:
    """What is clear after four seeds asks for no fifth; what is close goes on to the maximum."""
    rule = rule_of(SWEEP, "augment", max_seeds=6)
    means = {"none": 0.5, "mixup": 0.8, "specaugment": 0.8}
    assert {trial.seed for trial in state_of(rule, scores_of(rule, means, 3)).next} == {4}
    assert len(state_of(rule, scores_of(rule, means, 3)).next) == 6
    after = state_of(rule, scores_of(rule, means, 5))
    assert [(one.decided, one.num_seeds) for one in after.decisions] == [(True, 4), (True, 4), (False, 5)]
    assert {str(trial.augment) for trial in after.next} == {"mixup", "specaugment"}
    last = state_of(rule, scores_of(rule, means, 6))
    assert (last.next, last.num_added, [one.num_seeds for one in last.decisions]) == ((), 3, [4, 4, 6])
    assert [round(one.difference, 1) for one in last.decisions] == [-0.3, -0.3, 0.0]


def test_a_decision_does_not_depend_on_later_seeds() -> None:
    """More seeds in the store, as of another command, change neither what was decided nor when."""
    rule, means = rule_of(SWEEP, "augment", max_seeds=9), {"none": 0.5, "mixup": 0.8, "specaugment": 0.5}
    known = scores_of(rule, means, 4)
    others = scores_of(rule, means, 9).keys() - known.keys()
    early, late = (state_of(rule, scores).decisions for scores in (known, {**dict.fromkeys(others, 0.1), **known}))
    assert [one.decided for one in early] == [True, False, True]
    assert [late[number] for number in (0, 2)] == [early[number] for number in (0, 2)]
    assert late[1].num_seeds > early[1].num_seeds


def test_a_seed_that_a_kill_has_left_incomplete_is_asked_for_again() -> None:
    """A look needs all trials of its seed; of those that are there, none is used before."""
    rule, means = rule_of(SWEEP, "augment", max_seeds=6), {"none": 0.5, "mixup": 0.55, "specaugment": 0.6}
    whole = scores_of(rule, means, 4, spread=0.1)
    at_three = scores_of(rule, means, 3, spread=0.1)
    missing = RATES.but(augment="mixup", data_hz=8_000, seed=4).key
    cut = {key: score for key, score in whole.items() if key != missing}
    state = state_of(rule, cut)
    assert len(state.next) == 6
    assert [one.num_seeds for one in state.decisions] == [3] * 3
    assert len(at_three) == len(whole) - 6


def test_the_next_seeds_are_integers_that_are_not_used() -> None:
    """They follow the largest planned; a plan with the maximum already adds none."""
    trials = grid(RATES, data_hz=(8_000, 16_000), seed=(2, 5, 9))
    assert rule_of(Sweep("toy", trials), max_seeds=5).seeds == (2, 5, 9, 10, 11)
    assert rule_of(Sweep("toy", trials), max_seeds=2).seeds == (2, 5, 9)


def test_the_last_lines_say_what_is_decided_and_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    """Each pair with its difference, its seeds and its E-value, and what it does not answer for."""
    rule, means = rule_of(SWEEP, "augment", max_seeds=4), {"none": 0.5, "mixup": 0.8, "specaugment": 0.8}
    state = state_of(rule, scores_of(rule, means, 4))
    said = "\n".join(looks.lines(rule, state, SWEEP))
    assert "2 of 3 pairs are decided:" in said
    assert "augment=none against mixup: -30" in said
    assert "decided after 4 seeds (E = " in said
    assert "augment=mixup against specaugment: " in said
    assert "not decided after 4 seeds" in said
    assert "for this test set, not for recordings to come" in said


def test_a_contrast_names_a_setting_once() -> None:
    """The trials of its seeds are one setting."""
    one = Contrast("x", SWEEP.trials[:3], SWEEP.trials[3:6])
    assert [len(side) for side in (one.better, one.than)] == [1, 1]
