"""The pairwise comparisons of a ranking: as a triangle and as a list, with captions for the tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import pandas as pd
from scipy.stats import t

from analysis.engine.inference.comparisons import PAIRED, Pair
from analysis.engine.stats import LEVEL
from analysis.engine.tables import grids, labels
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.ranking import Ranked, RankingTable, place
from analysis.engine.wording import between, scale, signed

PAIR_HEAD = ("Difference", "p here", "95 % here", "p to come", "corrected", "95 % to come", "Seeds")


def matrix_grid(table: RankingTable) -> Grid:
    """All pairs as a triangle: each value against the better ones, which are numbered by rank."""
    above = table.ranked[:-1]
    rows = []
    for i, worse in enumerate(table.ranked[1:], start=1):
        fields = [_pair_text(table, table.pair(better, worse)) for better in above[:i]]
        rows.append([*place(table, worse, worse.short), *fields, *[Text("")] * (len(above) - i)])
    return Grid(("#", labels.label(table.over).name, *(f"vs {table.rank(row)}" for row in above)), rows)


def pair_grid(table: RankingTable) -> Grid:
    """All pairs as a list, the smallest p first."""
    share = table.score.is_share
    rows = [
        [
            Text(pair.first),
            Text(pair.second),
            Text(signed(pair.difference, share)),
            Text(p_value(pair.p_here)),
            Text(between(pair.here, share)),
            Text(p_value(pair.p)),
            Text(p_value(pair.p_holm), "best" if pair.told_apart else "plain"),
            Text(between(pair.to_come, share)),
            Text(pair.seeds),
        ]
        for pair in sorted(table.pairs, key=lambda pair: (math.isnan(pair.p), pair.p))
    ]
    better, worse = ("Higher", "Lower") if table.score.higher_is_better else ("Lower", "Higher")
    return Grid((better, worse, *PAIR_HEAD), rows)


def pairs_frame(table: RankingTable) -> pd.DataFrame:
    """One row per pair in the order of the ranks, with differences as fractions."""
    rows = [
        {
            "first": pair.first,
            "second": pair.second,
            "difference": pair.difference,
            "seeds": pair.seeds,
            "first_n": pair.num_seeds[0],
            "second_n": pair.num_seeds[1],
            "p_here": pair.p_here,
            **grids.ends("difference_here95", pair.here),
            "p": pair.p,
            "p_holm": pair.p_holm,
            "num_pairs": len(table.pairs),
            **grids.ends("difference_to_come95", pair.to_come),
            "variance_seeds": pair.estimate.seeds.value,
            "variance_recordings": pair.estimate.recordings.value,
            "dof": pair.estimate.dof,
        }
        for pair in table.pairs
    ]
    return grids.frame(rows)


def _pair_text(table: RankingTable, pair: Pair | None) -> Text:
    if pair is None:
        return Text("–")
    dagger = "†" if pair.to_come.low > 0 or pair.to_come.high < 0 else ""
    words = f"{signed(pair.difference, table.score.is_share)} ({p_value(pair.p_holm)}){dagger}"
    return Text(words, "best" if pair.told_apart else "plain")


def p_value(p: float) -> str:
    """A p-value as printed, such as 0.31, 0.012 or <0.001."""
    if math.isnan(p):
        return "unknown"
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def against_best(table: RankingTable, row: Ranked) -> str:
    """The result of the comparison with the best mean; an en dash for an incomplete value."""
    if not row.complete:
        return "–"
    pair = table.pair(table.ranked[0], row)
    if pair is None:
        return "best" if table.complete else "best so far"
    p, worse = p_value(pair.p_holm), "lower" if table.score.higher_is_better else "higher"
    relation = f"= {p}" if p[0].isdigit() else p.replace("<", "< ")
    return f"{worse if pair.told_apart else 'not distinguishable'}, p {relation}"


def pair_captions(table: RankingTable) -> tuple[str, ...]:
    """Captions of the pairs: the two questions, their tests, the number of comparisons, and what would show more."""
    if not table.pairs:
        return (f"Nothing is compared until two {labels.plural(table.over)} are complete.",)
    num_pairs, noun = len(table.pairs), labels.label(table.over).noun
    much = "many points" if table.score.is_share else "much"
    number = (
        f"Each entry: by how {much} the column's {noun} exceeds the row's, and in brackets the two-sided p on "
        f"recordings to come, corrected for {pairs(num_pairs)} by Holm's procedure; bold where it is below 0.05. †: "
        "the 95 % interval of this difference alone, not corrected, excludes 0."
    )
    seeds = "the order of clips and the random draws of augmentation"
    alike = "" if table.over == "backbone" else f", insofar as {labels.title(table.over)} does not change them"
    test = (
        "Two questions: on these recordings, only the seed varies; on recordings to come, seeds and recordings do, "
        "whose variances add up (docs/statistics.md). More seeds answer the first alone. "
        f"Differences are paired by seed, because a seed fixes {seeds} for every {noun}{alike}."
    )
    if other := sum(pair.seeds != PAIRED for pair in table.pairs):
        test += f" They are not for {pairs(other)} whose seeds or data rates differ."
    return (number, test, *power_captions(table.pairs, table.score.is_share))


def power_captions(all_pairs: Sequence[Pair], share: bool) -> tuple[str, ...]:
    """A caption on the smallest difference that can be told apart, and on what keeps it from being smaller.

    Args:
        all_pairs: all pairs of the table.
        share: whether their score is a share.
    """
    tested = [pair.estimate for pair in all_pairs if not math.isnan(pair.p)]
    if not tested:
        return ("Not distinguishable does not mean equal.",)
    times, points = scale(share), " points" * share
    error, dof = (statistics.median(values) for values in ([e.error for e in tested], [e.dof for e in tested]))
    family = len(all_pairs)
    alone, among = (times * error * float(t.ppf(1 - LEVEL / 2 / number, dof)) for number in (1, family))
    of_seeds = statistics.median(e.seeds.value / (e.seeds.value + e.recordings.value) for e in tested)
    digits = 1 if share else 3
    power = (
        f"At the median standard error of these pairs, {times * error:.{digits}f}{points}, a single pair needs a "
        f"difference above {alone:.{digits}f}{points}, and the clearest of {pairs(family)} one above "
        f"{among:.{digits}f}{points}. Of the variance behind it, {100 * of_seeds:.0f} % comes from the seeds, which "
        f"more seeds reduce, and {100 - 100 * of_seeds:.0f} % from the recordings, which only more recordings do. Not "
        "distinguishable does not mean equal."
    )
    return (power,)


def pairs(number: int) -> str:
    """A count of pairs, such as `1 pair` or `45 pairs`."""
    return f"{number} pair{'s' * (number != 1)}"
