"""The evidence for a claim: differences from the runs of a study, or from the numbers that a paper printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.engine.claims.claim import Claim
from analysis.engine.inference.sides import Contrast, settings, side
from analysis.engine.protocol import Published, PublishedCell
from analysis.engine.stats import Difference, Variance, added
from analysis.engine.tables.cells import Material
from trainable.learning.score import Score


def of_runs(claim: Claim, score: Score, made_of: Material) -> list[Contrast]:
    """The evidence of a study's runs; empty before all of its settings have finished on one test set.

    There is one contrast, of the means of both sides; for a claim of the best, one with each other setting.

    Raises:
        ValueError: if the claim is about settings that the study does not have, or a class that it does not know.
    """
    rows = made_of.rows
    sides = [claim.sides(config.get) for config in rows["config"]]
    first, second = (rows[[side[n] for side in sides]] for n in (0, 1))
    if first.empty or second.empty:
        raise ValueError(f"the claim {claim.text!r} is about settings that sweep {made_of.name} does not have")
    seconds = [second]
    if claim.relation == "best":
        seconds = settings(second)
    ours = side(first, made_of.predictions, score, claim.of_class)
    theirs = [side(group, made_of.predictions, score, claim.of_class) for group in seconds]
    if ours is None or any(its is None or not ours.shares(its) for its in theirs):
        return []
    return [ours.less(its) for its in theirs if its]


def of_printed(claim: Claim, published: Published) -> list[Contrast]:
    """The evidence of printed means, deviations and numbers of seeds; empty where the paper prints none for it."""
    if claim.of_class:
        return []
    first, second = [], []
    for values, cell in published.cells.items():
        setting = {**published.config, **cell.config, **dict(zip(published.axes, values, strict=True))}
        of_first, of_second = claim.sides(setting.__getitem__)
        first += [cell] * of_first
        second += [cell] * of_second
    if not first or not second:
        return []
    seconds = [[cell] for cell in second] if claim.relation == "best" else [second]
    return [_printed(first, others) for others in seconds]


def _printed(first: Sequence[PublishedCell], second: Sequence[PublishedCell]) -> Contrast:
    """Welch's comparison of two means over cells, whose seeds are independent."""
    cells = [*((cell, len(first)) for cell in first), *((cell, len(second)) for cell in second)]
    value = float(np.mean([cell.mean for cell in first]) - np.mean([cell.mean for cell in second]))
    if (fewest := min(cell.n for cell, _ in cells)) < 2:
        return Contrast(Difference(value, math.nan, math.nan), num_seeds=fewest)
    both = added(*(Variance(cell.std**2 / cell.n / count**2, cell.n - 1) for cell, count in cells))
    return Contrast(Difference(value, math.sqrt(both.value) or math.nan, both.dof), num_seeds=fewest)
