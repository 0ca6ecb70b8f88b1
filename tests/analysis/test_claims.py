"""Claims: judged by runs whose truth is chosen, and by printed numbers whose p-values are known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from analysis import deepship_backbones, deepship_rates
from analysis.engine.claims.claim import Claim, fam, those
from analysis.engine.claims.evidence import of_printed as printed_evidence
from analysis.engine.claims.verdicts import NOTHING, REFUTED, SUPPORTED, UNDECIDED, Judged, judge, listing, of_printed
from analysis.engine.command import COMPLETE, REFUSED, main, material
from analysis.engine.kinds import Pivot
from analysis.engine.protocol import read_published
from analysis.engine.tables.scores import chosen
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import MakeRun

RATES = Pivot(down="data_hz", across="pretrain_hz")
FAST, SLOW = those(data_hz=4_000), those(data_hz=2_000)


def judged(claims: Sequence[Claim], sweep: Sweep, runs: list[Run]) -> list[Judged]:
    """The verdicts of these runs, without published numbers."""
    made_of = material(sweep, runs, None, "", 0.02)
    return judge(claims, RATES.table(made_of), made_of)


@pytest.fixture
def far(sweep: Sweep, make_run: MakeRun) -> list[Run]:
    """Runs in which 4 kHz is 30 points better than 2 kHz, and pre-training rates are alike."""
    return [make_run(t, 0.55 + 0.3 * (t.data_hz == 4_000) + 0.01 * (t.seed - 2)) for t in sweep.trials]


def test_what_holds_is_supported_and_its_opposite_refuted(sweep: Sweep, far: list[Run]) -> None:
    """With effect and both intervals; a margin that is too wide is refuted too."""
    claims = (
        Claim("4 kHz is better", "Table I", better=FAST, than=SLOW),
        Claim("2 kHz is better", "Table I", better=SLOW, than=FAST),
        Claim("better by 60 points", "Table I", better=FAST, than=SLOW, margin=0.6),
        Claim("within 2 points", "Table I", better=FAST, than=SLOW, relation="equal", margin=0.02),
    )
    right, wrong, too_far, equal = judged(claims, sweep, far)
    assert [its.verdict for its in (right, wrong, too_far, equal)] == [SUPPORTED, REFUTED, REFUTED, REFUTED]
    assert right.effect == pytest.approx(0.3, abs=0.02)
    assert 0 < right.to_come.low < right.effect < right.to_come.high
    assert right.remedy == ""
    assert "on recordings to come" in right.sentence
    assert listing([right])[0].startswith("supported: 4 kHz is better (Table I). +")


def test_what_the_test_cannot_tell_is_undecided_and_says_what_would(sweep: Sweep, make_run: MakeRun) -> None:
    """Two points that vary by as much as they are."""
    runs = [make_run(t, 0.7 + 0.01 * (t.data_hz == 4_000) * (-1) ** t.seed) for t in sweep.trials]
    (its,) = judged([Claim("4 kHz is better", "", better=FAST, than=SLOW)], sweep, runs)
    assert its.verdict == UNDECIDED
    assert its.remedy
    assert its.p > 0.05


def test_the_best_must_beat_each_of_the_others(sweep: Sweep, far: list[Run]) -> None:
    """CNN14_32k at 4 kHz is not better than CNN14_16k there; at 2 kHz one is worse than both at 4."""
    best = Claim("the highest", "", better=those(pretrain_hz=32_000, data_hz=4_000), relation="best")
    worst = Claim("the highest", "", better=those(pretrain_hz=32_000, data_hz=2_000), relation="best")
    first, last = judged([best, worst], sweep, far)
    assert (first.verdict, last.verdict) == (UNDECIDED, REFUTED)
    assert abs(first.effect) < 0.05
    assert last.effect < -0.25


def test_a_lower_loss_is_better(sweep: Sweep, far: list[Run]) -> None:
    """The effect is shown in the score's own direction."""
    made_of = material(sweep, far, None, "", 0.02)
    table = dataclasses.replace(RATES.table(made_of), score=chosen("loss"))
    (its,) = judge([Claim("4 kHz is better", "", better=FAST, than=SLOW)], table, made_of)
    assert its.verdict == SUPPORTED
    assert its.effect < 0


def test_a_claim_can_be_about_one_class(sweep: Sweep, far: list[Run]) -> None:
    """The score of its clips alone is its recall; a class that no run knows is refused."""
    (its,) = judged([Claim("tankers", "", better=FAST, than=SLOW, of_class="Tanker")], sweep, far)
    assert its.effect > 0.1
    with pytest.raises(ValueError, match="class 'Ferry'; the runs know Cargo"):
        judged([Claim("ferries", "", better=FAST, than=SLOW, of_class="Ferry")], sweep, far)


def test_nothing_is_judged_before_all_of_it_has_run(sweep: Sweep, far: list[Run]) -> None:
    """Claims about settings that are complete are judged all the same."""
    claims = (
        Claim("a", "", better=FAST, than=SLOW),
        Claim("b", "", those(pretrain_hz=32_000, data_hz=4_000), those(pretrain_hz=32_000, data_hz=2_000)),
    )
    first, second = judged(claims, sweep, [run for run in far if run.key != sweep.trials[0].key])
    assert (first.verdict, first.sentence) == (NOTHING, "Neither run nor printed in numbers")
    assert second.verdict != NOTHING


def test_a_claim_about_other_settings_is_refused(sweep: Sweep, far: list[Run]) -> None:
    """As after --set, or with a misspelt value; a misspelt field is refused where it is written."""
    with pytest.raises(ValueError, match="'timm' is about settings that sweep toy_rates does not have"):
        judged([Claim("timm", "", better=fam("timm"), than=SLOW)], sweep, far)
    with pytest.raises(ValueError, match=r"data_hertz.*did you mean data_hz"):
        those(data_hertz=2_000)
    with pytest.raises(ValueError, match="margin above 0"):
        Claim("equal", "", better=FAST, than=SLOW, relation="equal")


@pytest.mark.slow
def test_equal_settings_are_seldom_said_to_differ(sweep: Sweep, make_run: MakeRun) -> None:
    """Of 60 pairs of equal settings on the same recordings, at most 5 % and a little more are decided."""
    rng = np.random.default_rng(0)
    wrong = 0
    for n in range(10):
        runs = [make_run(t, 0.7 + 0.02 * rng.standard_normal(), run_id=f"{n}-{t.key}") for t in sweep.trials]
        cells = [those(pretrain_hz=p, data_hz=d) for p in (16_000, 32_000) for d in (2_000, 4_000)]
        pairs = [(a, b) for i, a in enumerate(cells) for b in cells[i + 1 :]]
        claims = [Claim(f"{i}", "", better=a, than=b) for i, (a, b) in enumerate(pairs)]
        wrong += sum(its.verdict != UNDECIDED for its in judged(claims, sweep, runs))
    assert wrong <= 3


@pytest.mark.parametrize(
    ("better", "than", "p"),
    [
        ("timm/convnextv2_tiny.fcmae", "cnn14", 0.018 / 2),
        ("mobilenetv1", "timm/mobilenetv3_large_100.ra_in1k", 0.059 / 2),
    ],
)
def test_printed_pairs_have_their_known_p(better: str, than: str, p: float) -> None:
    """Welch's, after the printed deviations (ddof 0) are converted: one-sided here."""
    claim = Claim("x", "", better=those(backbone=better), than=those(backbone=than))
    (contrast,) = printed_evidence(claim, read_published("deepship_backbones"))
    assert contrast.p_above(0) == pytest.approx(p, abs=0.004)


def test_the_paper_claims_more_than_its_numbers_show() -> None:
    """Of twelve claims, three follow from the printed numbers, on the paper's own recordings."""
    accuracy = chosen("accuracy")
    rates = of_printed(deepship_rates.CLAIMS, accuracy, read_published("deepship_rates"))
    networks = of_printed(deepship_backbones.CLAIMS, accuracy, read_published("deepship_backbones"))
    assert [its.printed for its in rates] == [UNDECIDED, SUPPORTED, UNDECIDED, UNDECIDED, SUPPORTED, UNDECIDED]
    assert [its.printed for its in networks] == [SUPPORTED, *[UNDECIDED] * 4, NOTHING]
    assert networks[0].printed_effect == pytest.approx(0.025, abs=0.0005)
    assert all(its.verdict == NOTHING for its in (*rates, *networks))


def test_the_command_judges_printed_numbers_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It opens no store; a study without published numbers says so."""
    words = ["--printed"]
    code = main(deepship_rates.SWEEP, "?", RATES, published="deepship_rates", claims=deepship_rates.CLAIMS, argv=words)
    assert code == COMPLETE
    assert "supported: Pre-trained models perform better at lower data rates" in capsys.readouterr().out
    assert main(deepship_rates.SWEEP, "?", RATES, argv=words) == REFUSED


def test_one_seed_decides_nothing(sweep: Sweep, far: list[Run]) -> None:
    """Its effect is shown, and that a second seed is needed."""
    first = Sweep("toy_rates", tuple(trial for trial in sweep.trials if trial.seed == 1))
    (its,) = judged([Claim("4 kHz is better", "", better=FAST, than=SLOW)], first, far)
    assert its.verdict == UNDECIDED
    assert math.isnan(its.p)
    assert its.remedy == "A second seed is needed"
