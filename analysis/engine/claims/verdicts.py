"""Verdicts on claims: supported, refuted or undecided, with what would decide them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t

from analysis.engine.claims import evidence
from analysis.engine.claims.claim import Claim
from analysis.engine.inference.sides import Contrast
from analysis.engine.protocol import Published
from analysis.engine.stats import LEVEL, UNKNOWN, Interval, Variance, added, holm
from analysis.engine.tables.cells import Material, Table
from analysis.engine.wording import number, signed
from trainable.learning.score import Score

SUPPORTED, REFUTED, UNDECIDED, NOTHING = "supported", "refuted", "undecided", "no evidence"
MOST_SEEDS, MOST_TIMES = 100, 50  # beyond which nothing is promised


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict by the runs of a study, and by the paper's own printed numbers."""

    claim: Claim
    verdict: str  # NOTHING before the study has run
    effect: float  # the difference that the verdict is of: of several, the one that is least in its favour
    here: Interval  # 95 %, on these recordings
    to_come: Interval  # 95 %, on recordings to come
    p: float  # of the verdict's direction, corrected for the number of claims
    remedy: str  # what would decide it; empty if it is decided
    printed: str  # the verdict of the printed numbers, on the paper's recordings alone
    printed_effect: float
    printed_p: float
    share: bool  # whether the score is a share

    @property
    def text(self) -> str:
        """The claim in words."""
        return self.claim.text

    @property
    def where(self) -> str:
        """Its place in the paper."""
        return self.claim.where

    @property
    def shown(self) -> str:
        """The verdict of the runs, and before there are any that of the printed numbers."""
        return self.printed if self.verdict == NOTHING else self.verdict

    @property
    def sentence(self) -> str:
        """The evidence in a sentence or two."""
        parts = []
        points = " points" * self.share
        if self.verdict != NOTHING:
            its = [
                f"{signed(self.effect, self.share)}{points}",
                *_within(self.to_come, self.share, "on recordings to come"),
            ]
            parts.append(f"{', '.join(its + _within(self.here, self.share, 'on these'))}, p {_p(self.p)}")
        if self.printed != NOTHING:
            verdict = f"{self.printed}, " * (self.verdict != NOTHING)
            theirs = f"{signed(self.printed_effect, self.share)}{points}, p {_p(self.printed_p)}"
            parts.append(f"As printed: {verdict}{theirs}, on the paper's recordings alone")
        return ". ".join([*parts, *[self.remedy] * bool(self.remedy)]) or "Neither run nor printed in numbers"


def judge(claims: Sequence[Claim], table: Table, made_of: Material) -> list[Judged]:
    """The verdict on each claim of a study; p-values are corrected for the number of claims (Holm).

    Args:
        table: the study's table, whose score is that of the claims.
        made_of: the material of the table.

    Raises:
        ValueError: if a claim is about settings that the study does not have, or a class that its runs do not know.
    """
    runs = [evidence.of_runs(claim, table.score, made_of) for claim in claims]
    return _judged(claims, runs, table.score, made_of.published)


def of_printed(claims: Sequence[Claim], score: Score, published: Published) -> list[Judged]:
    """The verdicts of a paper's printed numbers alone."""
    return _judged(claims, [[] for _ in claims], score, published)


def listing(judged: Sequence[Judged]) -> list[str]:
    """A line for each claim: its verdict, its words, and the evidence."""
    return [f"{its.shown}: {its.text} ({its.where}). {its.sentence}." for its in judged]


def _judged(
    claims: Sequence[Claim], runs: Sequence[Sequence[Contrast]], score: Score, published: Published | None
) -> list[Judged]:
    printed = [evidence.of_printed(claim, published) if published else [] for claim in claims]
    ours, theirs = _verdicts(claims, runs, score), _verdicts(claims, printed, score)
    judged = []
    for claim, its, (verdict, p, weakest), (of_printed, printed_p, shown) in zip(
        claims, runs, ours, theirs, strict=True
    ):
        judged.append(
            Judged(
                claim=claim,
                verdict=verdict,
                effect=weakest.here.value if weakest else math.nan,
                here=weakest.here.interval95 if weakest else UNKNOWN,
                to_come=weakest.interval95 if weakest else UNKNOWN,
                p=p,
                remedy=_remedy(claim, weakest, len(claims) * len(its)) if verdict == UNDECIDED and its else "",
                printed=of_printed,
                printed_effect=shown.here.value if shown else math.nan,
                printed_p=printed_p,
                share=score.is_share,
            )
        )
    return judged


def _verdicts(
    claims: Sequence[Claim], contrasts: Sequence[Sequence[Contrast]], score: Score
) -> list[tuple[str, float, Contrast | None]]:
    """For each claim the verdict, its corrected p, and the contrast that decides it."""
    turned = [[its if score.higher_is_better else -its for its in each] for each in contrasts]
    fors = [_p_for(claim, each) for claim, each in zip(claims, turned, strict=True)]
    against = [_p_against(claim, each) for claim, each in zip(claims, turned, strict=True)]
    # Each claim is tested in both directions, at half the level each.
    p_for, p_against = ([min(2 * p, 1.0) for p in holm(side)] for side in (fors, against))
    result: list[tuple[str, float, Contrast | None]] = []
    for claim, each, shown, supports, refutes in zip(claims, turned, contrasts, p_for, p_against, strict=True):
        if not each:
            result.append((NOTHING, math.nan, None))
            continue
        decides = min(range(len(each)), key=lambda i: _lead(claim, each[i]))
        verdict = SUPPORTED if supports < LEVEL else REFUTED if refutes < LEVEL else UNDECIDED
        p = {SUPPORTED: supports, REFUTED: refutes}.get(verdict, min(supports, refutes))
        result.append((verdict, p, shown[decides]))
    return result


def _lead(claim: Claim, contrast: Contrast) -> float:
    """How far a difference is in a claim's favour."""
    return -abs(contrast.here.value) if claim.relation == "equal" else contrast.here.value


def _p_for(claim: Claim, contrasts: Sequence[Contrast]) -> float:
    """The one-sided p-value of the null that the claim is wrong: the largest, where it says several things at once."""
    if claim.relation == "equal":
        values = [max((-its).p_above(-claim.margin), its.p_above(-claim.margin)) for its in contrasts]
    else:
        values = [its.p_above(claim.margin) for its in contrasts]
    return _all_of(values)


def _p_against(claim: Claim, contrasts: Sequence[Contrast]) -> float:
    """The one-sided p-value of the null that the claim is right: it is refuted by any of several differences."""
    if claim.relation == "equal":
        values = [2 * min(its.p_above(claim.margin), (-its).p_above(claim.margin)) for its in contrasts]
    else:
        values = [(-its).p_above(-claim.margin) for its in contrasts]
    known = [p for p in values if not math.isnan(p)]
    return min(1.0, len(values) * min(known)) if known else math.nan


def _all_of(values: Sequence[float]) -> float:
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def _remedy(claim: Claim, contrast: Contrast | None, num_tests: int) -> str:
    """The means that would decide a claim, if its difference stays: seeds, where they can, or recordings."""
    if contrast is None or contrast.to_come is None:
        return ""
    if contrast.num_seeds < 2 or math.isnan(contrast.to_come.error):
        return "A second seed is needed" if contrast.num_seeds < 2 else f"More {contrast.unit}s are needed"
    its, n = contrast.to_come, contrast.num_seeds
    away = abs(claim.margin - abs(its.value)) if claim.relation == "equal" else abs(its.value - claim.margin)

    def decides(more_seeds: float, times_recordings: float) -> bool:
        both = added(
            Variance(its.seeds.value * n / (n + more_seeds), n + more_seeds - 1),
            Variance(its.recordings.value / times_recordings, its.recordings.dof * times_recordings),
        )
        return away > float(t.ppf(1 - LEVEL / 2 / num_tests, both.dof)) * math.sqrt(both.value)

    seeds = next((more for more in range(1, MOST_SEEDS) if decides(more, 1)), None)
    times = next((1 + k / 10 for k in range(1, 10 * MOST_TIMES) if decides(0, 1 + k / 10)), None)
    groups = len(contrast.influence.by_group) if contrast.influence else 0
    ways = [f"{seeds} more seed{'s' * (seeds > 1)}"] if seeds else []
    ways += [f"about {math.ceil((times - 1) * groups)} more {contrast.unit}s in the test set"] if times else []
    both = next((k for k in range(2, MOST_TIMES) if decides((k - 1) * n, k)), None)
    if both and not ways:
        ways = [
            f"{(both - 1) * n} more seeds together with {(both - 1) * groups} more {contrast.unit}s in the test set"
        ]
    if not ways:
        return "Neither seeds nor recordings in reach would decide a difference this small"
    alone = ", which no number of seeds replaces" if times and not seeds else ""
    return f"To decide it, if the difference stays: {' or '.join(ways)}{alone}"


def _within(interval: Interval, share: bool, what: str) -> list[str]:
    if math.isnan(interval.low):
        return []
    return [f"95 % {signed(interval.low, share)} to {signed(interval.high, share)} {what}"]


def _p(p: float) -> str:
    return "unknown" if math.isnan(p) else "< 0.001" if p < 0.001 else f"= {number(p, share=False)}"
