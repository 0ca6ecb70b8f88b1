"""The pairwise comparisons of a ranking: as a triangle and as a list, with captions for the tests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import pandas as pd

from analysis.engine.inference.comparisons import PAIRED, Pair, needed_spreads
from analysis.engine.tables import grids, labels
from analysis.engine.tables.grids import Grid, Text
from analysis.engine.tables.ranking import Ranked, RankingTable, place
from analysis.engine.wording import between, scale, signed

PAIR_HEAD = ("Difference", "p", "p, corrected", "Test", "95 % seeds", "95 % recordings")


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
            Text(p_value(pair.p)),
            Text(p_value(pair.p_holm), "best" if pair.told_apart else "plain"),
            Text(pair.test),
            Text(between(pair.over_seeds, share)),
            Text(between(pair.over_recordings, share)),
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
            "test": pair.test,
            "first_n": pair.num_seeds[0],
            "second_n": pair.num_seeds[1],
            "paired_std_sample": pair.spread,
            "p": pair.p,
            "p_holm": pair.p_holm,
            "num_pairs": len(table.pairs),
            **grids.ends("difference_seeds95", pair.over_seeds),
            **grids.ends("difference_bootstrap95", pair.over_recordings),
        }
        for pair in table.pairs
    ]
    return grids.frame(rows)


def _pair_text(table: RankingTable, pair: Pair | None) -> Text:
    if pair is None:
        return Text("–")
    dagger = "†" if pair.over_recordings.low > 0 or pair.over_recordings.high < 0 else ""
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
    """Captions of the pairs: the test, the number of comparisons, and how little a few seeds can show."""
    if not table.pairs:
        return (f"Nothing is compared until two {labels.plural(table.over)} are complete.",)
    num_pairs, noun = len(table.pairs), labels.label(table.over).noun
    much = "many points" if table.score.is_share else "much"
    number = (
        f"Each entry: by how {much} the column's {noun} exceeds the row's, and in brackets the two-sided p over seeds, "
        f"corrected for {pairs(num_pairs)} by Holm's procedure; bold where it is below 0.05."
    )
    seeds = "the order of clips and the random draws of augmentation"
    alike = "" if table.over == "backbone" else f", insofar as {labels.title(table.over)} does not change them"
    test = f"Test: paired t-test over the seeds, because a seed fixes {seeds} for every {noun}{alike}."
    if other := sum(pair.test != PAIRED for pair in table.pairs):
        test += f" Welch's t-test for {pairs(other)} whose seeds or data rates differ."
    dagger = (
        "†: the 95 % interval of the difference over test recordings excludes 0 (BCa bootstrap, the same recordings "
        "drawn for both, networks held fixed, not corrected)."
    )
    return (number, test, dagger, *power_captions(table.pairs, table.score.is_share))


def power_captions(all_pairs: Sequence[Pair], share: bool) -> tuple[str, ...]:
    """A caption on the smallest difference that the seeds can show, if the pairs have the same number of seeds.

    Args:
        all_pairs: all pairs of the table.
        share: whether their score is a share.
    """
    tested = [pair for pair in all_pairs if not math.isnan(pair.p)]
    paired = [pair for pair in tested if pair.test == PAIRED]
    numbers = {pair.num_seeds[0] for pair in paired}
    if len(numbers) != 1:
        return ("Not distinguishable does not mean equal.",)
    (n,), family = numbers, len(all_pairs)
    alone, among = needed_spreads(n, 1), needed_spreads(n, family)
    spread, points = scale(share) * statistics.median(pair.spread for pair in paired), " points" * share
    digits = 1 if share else 3
    power = (
        f"With n = {n} seeds, {'little' if n < 6 else 'not everything'} can be shown: a single pair needs a difference "
        f"above {alone:.1f} standard deviations of its paired differences, and the clearest of {pairs(family)} one "
        f"above {among:.1f}. At the median deviation of these pairs, {spread:.{digits}f}{points}, these are "
        f"{alone * spread:.{digits}f} and {among * spread:.{digits}f}{points}. Not distinguishable does not mean equal."
    )
    return (power,)


def pairs(number: int) -> str:
    """A count of pairs, such as `1 pair` or `45 pairs`."""
    return f"{number} pair{'s' * (number != 1)}"
