"""What the tables of a study of backbones say in words: counts, p-values, and what stands for what."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from analysis.engine.backbones.backbones import Backbone, BackboneTable
from analysis.engine.comparisons import PAIRED, Pair, needed_spreads
from analysis.engine.protocol import words
from analysis.engine.wording import main_captions

CLASS_CAPTION = (
    "Macro-F1: the mean F1 score of the classes. Recall of a class: the share of its test clips that are named right. "
    "Both in percent, mean ± sample standard deviation (ddof 1) over seeds."
)
CONFUSION_CAPTION = (
    "Rows: the true class. Columns: what its test clips were taken for, in percent of the class, mean ± sample "
    "standard deviation (ddof 1) over seeds; a row adds up to 100."
)


def short(backbone: Backbone) -> str:
    """The name without its family, for where its type is told otherwise."""
    return backbone.name.rpartition("/")[2]


def count(number: int | None) -> str:
    """A number of parameters with three digits, such as 79.7 M; an en dash where it is unknown."""
    if number is None:
        return "–"
    scale, unit = (1_000_000, "M") if number >= 999_500 else (1_000, "k")
    digits = 3 - len(f"{number / scale:.0f}")
    return f"{number / scale:.{digits}f} {unit}"


def p_value(p: float) -> str:
    """Such as 0.31, 0.012 or <0.001."""
    if math.isnan(p):
        return "unknown"
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def against_best(table: BackboneTable, backbone: Backbone) -> str:
    """What the comparison with the highest mean shows; an en dash for an incomplete network."""
    if not backbone.complete:
        return "–"
    pair = table.pair(table.ranked[0], backbone)
    if pair is None:
        return "best" if table.complete else "best so far"
    p = p_value(pair.p_holm)
    return f"{'lower' if pair.told_apart else 'not distinguishable'}, p {f'= {p}' if p[0].isdigit() else p}"


def backbone_captions(table: BackboneTable) -> tuple[str, ...]:
    """What the compact table prints, and what else than the network is not the same for all."""
    best = f"Against the best: by the pairs below, p corrected for {pairs(len(table.pairs))}."
    parameters = "Parameters: those that were trained, the new classifier included."
    return (*main_captions(table), *[best] * bool(table.pairs), parameters, *differing_captions(table))


def differing_captions(table: BackboneTable) -> tuple[str, ...]:
    """One line on the fields that differ between networks; none if all are alike."""
    parts = []
    for field, values in table.differing.items():
        common = max(values, key=lambda value: len(values[value]))
        others = [f"{words([value])} for {_those(table, names)}" for value, names in values.items() if value != common]
        parts.append(f"{field} ({words([common])}; {'; '.join(others)})")
    return (f"Not the same for all networks: {', '.join(parts)}.",) if parts else ()


def _those(table: BackboneTable, names: tuple[str, ...]) -> str:
    """The names, or the type whose networks they all are."""
    family = {backbone.family for backbone in table.cells if backbone.name in names}
    whole = {backbone.name for backbone in table.cells if backbone.family in family}
    if len(family) == 1 and whole == set(names) and len(names) > 1:
        return f"every {family.pop()}"
    return ", ".join(names)


def pair_captions(table: BackboneTable) -> tuple[str, ...]:
    """Which test, for how many comparisons, and how little few seeds can show."""
    if not table.pairs:
        return ("Nothing is compared before two backbones are complete.",)
    num_pairs = len(table.pairs)
    number = (
        "Each field: by how many points the column's network lies above the row's, and in brackets the two-sided p "
        f"over seeds, corrected for {pairs(num_pairs)} by Holm's procedure; bold where it is below 0.05."
    )
    seeds = "the order of clips and the draws of augmentation"
    test = f"Test: paired t over the seeds, because a seed fixes {seeds} for every network."
    if other := sum(pair.test != PAIRED for pair in table.pairs):
        test += f" Welch's for {pairs(other)} without the same seeds or data rate."
    dagger = (
        "†: the 95 % interval of the difference over test recordings (BCa bootstrap, the same recordings drawn for "
        "both, networks held fixed, not corrected) excludes 0."
    )
    return (number, test, dagger, *power_captions(table.pairs))


def power_captions(found: Sequence[Pair]) -> tuple[str, ...]:
    """The smallest difference that seeds can show, where pairs share a number of seeds."""
    known = [pair for pair in found if not math.isnan(pair.p)]
    paired = [pair for pair in known if pair.test == PAIRED]
    numbers = {pair.num_seeds[0] for pair in paired}
    if len(numbers) != 1:
        return ("Not distinguishable does not mean equal.",)
    (n,), family = numbers, len(found)
    alone, among = needed_spreads(n, 1), needed_spreads(n, family)
    spread = 100 * statistics.median(pair.spread for pair in paired)
    power = (
        f"With n = {n} seeds {'little' if n < 6 else 'not all'} can be shown: a single pair needs a difference above "
        f"{alone:.1f} standard deviations of its paired differences, the clearest of {pairs(family)} one above "
        f"{among:.1f}. At the median deviation of these pairs, {spread:.1f} points, that is {alone * spread:.1f} and "
        f"{among * spread:.1f} points. Not distinguishable does not mean equal."
    )
    return (power,)


def pairs(number: int) -> str:
    """`1 pair`, `45 pairs`."""
    return f"{number} pair{'s' * (number != 1)}"
