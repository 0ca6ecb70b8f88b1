"""The sentences that a report opens with."""

from __future__ import annotations

import pytest

from analysis.engine.command import material
from analysis.engine.findings import of_pivot, of_ranking
from analysis.engine.kinds import Pivot, Ranking
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import BASE, MakeRun

RATES = Pivot(down="data_hz", across="pretrain_hz")


def test_each_axis_with_two_ends_has_a_sentence(sweep: Sweep, complete: list[Run]) -> None:
    """The last value against the first; 4 kHz is better by the two points that the fixture gives it."""
    made_of = material(sweep, complete, None, "", 0.02)
    by_data, by_rate = of_pivot(RATES.table(made_of), made_of)
    assert by_data.startswith("From 2 kHz to 4 kHz, test accuracy goes from 70.")
    assert ", averaged over the two pre-training rates: +2." in by_data
    assert by_rate.startswith("From CNN14_16k to CNN14_32k, test accuracy goes from ")
    assert "+0.0 points" not in by_data


def test_what_may_be_chance_is_called_so(sweep: Sweep, make_run: MakeRun) -> None:
    """An interval that holds zero says no more."""
    runs = [make_run(t, 0.70 + 0.05 * (-1) ** (t.seed + t.data_hz // 2_000)) for t in sweep.trials]
    made_of = material(sweep, runs, None, "", 0.02)
    assert of_pivot(RATES.table(made_of), made_of)[0].endswith("; this may be chance.")


def test_of_several_values_the_best_is_named(make_run: MakeRun) -> None:
    """With its distance from the worst, and without an interval: the scores themselves have chosen it."""
    sweep = Sweep("toy", grid(BASE, augment=("none", "mixup", "specaugment+mixup"), seed=(1, 2)))
    level = {"none": 0.5, "mixup": 0.75, "specaugment+mixup": 0.625}
    made_of = material(sweep, [make_run(t, level[str(t.augment)]) for t in sweep.trials], None, "", 0.02)
    (sentence,) = of_pivot(Pivot(down="augment").table(made_of), made_of)
    assert sentence.startswith("The augmentation with the best test accuracy: augment=mixup (75.")
    assert sentence.endswith(" points from its worst).")
    assert "interval" not in sentence


def test_each_column_has_its_best_row(make_run: MakeRun) -> None:
    """A network for 8 kHz is best at 4 kHz here, and one for 32 kHz at 16 kHz."""
    rates = {"pretrain_hz": (8_000, 32_000), "data_hz": (4_000, 8_000, 16_000)}
    sweep = Sweep("toy", grid(BASE, **rates, seed=(1, 2)))
    runs = [make_run(t, 0.7 - 0.1 * abs(t.data_hz - t.pretrain_hz / 2) / 8_000) for t in sweep.trials]
    made_of = material(sweep, runs, None, "", 0.02)
    best, _ = of_pivot(RATES.table(made_of), made_of)
    assert best.startswith("The data rate with the best test accuracy: 4 kHz for CNN14_8k (")
    assert ", 16 kHz for CNN14_32k (" in best


def test_nothing_is_said_before_all_is_known(sweep: Sweep, complete: list[Run]) -> None:
    """A sentence over some of the cells would be another sentence later."""
    made_of = material(sweep, complete[1:], None, "", 0.02)
    assert of_pivot(RATES.table(made_of), made_of) == ()


def test_a_ranking_names_the_first_and_what_is_told_apart(backbones: Sweep, make_run: MakeRun) -> None:
    """The best network, with how many of the six pairs differ."""
    level = {"cnn6": 0.60, "cnn14": 0.80, "cnn10": 0.65, "mobilenetv1": 0.61}
    runs = [make_run(t, level[t.backbone] + 0.005 * (t.seed - 2)) for t in backbones.trials]
    table = Ranking(over="backbone").table(material(backbones, runs, None, "", 0.02))
    (sentence,) = of_ranking(table)
    apart = sum(pair.told_apart for pair in table.pairs)
    assert sentence.startswith("cnn14 comes first, with a test accuracy of 80.")
    assert sentence.endswith(f"{apart} of 6 pairs are told apart on recordings to come (corrected for their number).")


@pytest.mark.parametrize(("shift", "words"), [(1, "each"), (2, "none"), (0, "one")])
def test_a_pivot_of_two_rates_says_for_how_many_the_equal_one_is_best(
    make_run: MakeRun, shift: int, words: str
) -> None:
    """Best at the network's own rate; at another; and at 16 kHz for both networks, which is the rate of one."""
    rates = {"pretrain_hz": (8_000, 16_000), "data_hz": (4_000, 8_000, 16_000, 32_000)}
    sweep = Sweep("toy", grid(BASE, **rates, seed=(1, 2)))
    best = {t: {1: t.pretrain_hz, 2: 32_000, 0: 16_000}[shift] for t in sweep.trials}
    runs = [make_run(t, 0.7 - 0.1 * abs(t.data_hz - best[t]) / 16_000) for t in sweep.trials]
    made_of = material(sweep, runs, None, "", 0.02)
    first, *_ = of_pivot(RATES.table(made_of), made_of)
    assert first == (
        "The data rate that equals the pre-training rate has the best test accuracy for "
        f"{words} of the two pre-training rates."
    )
