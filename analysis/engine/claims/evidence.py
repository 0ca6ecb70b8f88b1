"""The evidence for a claim: a difference from the runs of a study, or from the numbers that a paper printed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from analysis.engine.claims.claim import Claim
from analysis.engine.inference import estimates, influences
from analysis.engine.inference.estimates import Estimate
from analysis.engine.inference.influences import Influence
from analysis.engine.protocol import Published, PublishedCell
from analysis.engine.rows import Predictions
from analysis.engine.stats import Difference
from analysis.engine.tables.cells import Material, same_clips
from trainable.learning.score import Score


@dataclass(frozen=True)
class Contrast:
    """A difference of two sides of a claim: on these recordings, and on recordings to come where that is known."""

    here: Difference  # over seeds
    to_come: Estimate | None = None  # None from printed numbers, which do not tell how recordings differ
    influence: Influence | None = None
    num_seeds: int = 0  # of the side with fewer

    def __neg__(self) -> Contrast:
        """The second side less the first."""
        its, to_come = self.influence, self.to_come
        return dataclasses.replace(
            self,
            here=dataclasses.replace(self.here, value=-self.here.value),
            to_come=dataclasses.replace(to_come, value=-to_come.value) if to_come else None,
            influence=Influence(-its.value, -its.by_group, its.sizes) if its else None,
        )

    def p_above(self, margin: float) -> float:
        """The one-sided p-value of the null that the difference is at most `margin`; NaN where it is unknown.

        It is that on recordings to come, and of printed numbers that on these recordings.
        """
        if self.to_come is None or self.influence is None:
            return float(t.sf((self.here.value - margin) / self.here.error, self.here.dof))
        if self.num_seeds < 2 or math.isnan(self.to_come.error):
            return math.nan
        p = float(t.sf((self.to_come.value - margin) / self.to_come.error, self.to_come.dof))
        if len(self.influence.by_group) > estimates.FEW_GROUPS or self.to_come.value <= margin:
            return p
        moved = dataclasses.replace(self.influence, value=self.influence.value - margin)
        return max(p, estimates.by_signs(moved) / 2)


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
        seconds = _settings(second)
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


@dataclass(frozen=True)
class Side:
    """The mean score of some settings, by seed, and how far groups of recordings move it."""

    scores: Mapping[int, float]
    influence: Influence
    reference: Predictions

    def shares(self, other: Side) -> bool:
        """Whether both were scored on the same clips."""
        return same_clips(self.reference, other.reference)

    def less(self, other: Side) -> Contrast:
        """This side less the other."""
        a, b = (np.array([its.scores[seed] for seed in sorted(its.scores)]) for its in (self, other))
        influence = self.influence - other.influence
        if set(self.scores) == set(other.scores):
            estimate = estimates.estimate(a - b, influence)
        else:
            estimate = estimates.of_unpaired(a, b, influence)
        error = math.sqrt(estimate.seeds.value) if min(len(a), len(b)) > 1 and estimate.seeds.value > 0 else math.nan
        here = Difference(estimate.value, error, estimate.seeds.dof)
        return Contrast(here, estimate, influence, min(len(a), len(b)))


def side(rows: pd.DataFrame, predictions: Mapping[str, Predictions], score: Score, of_class: str = "") -> Side | None:
    """The mean over the settings of some rows; None if a trial has not finished, or they do not share clips and seeds.

    Args:
        rows: the rows of a study's material, several seeds of each setting.
        of_class: the class whose clips alone count; empty for all.

    Raises:
        ValueError: if there is no such class.
    """
    if not all(key in predictions for key in rows["key"]):
        return None
    cells = _settings(rows)
    seeds = [sorted(group["seed"]) for group in cells]
    taken = [[_of_class(predictions[key], of_class) for key in group.sort_values("seed")["key"]] for group in cells]
    reference = taken[0][0]
    if any(its != seeds[0] for its in seeds) or not all(same_clips(reference, its) for cell in taken for its in cell):
        return None
    by_cell = [[score.of(its.logits, its.labels, its.recording) for its in cell] for cell in taken]
    influence = influences.mean([influences.influence(score, cell) for cell in taken])
    return Side(dict(zip(seeds[0], np.mean(by_cell, axis=0), strict=True)), influence, reference)


def _settings(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each setting, which differ by the seed alone."""
    setting = rows["config"].map(lambda config: config.but(seed=1).key)
    return [group for _, group in rows.groupby(setting, sort=False)]


def _of_class(predictions: Predictions, name: str) -> Predictions:
    if not name:
        return predictions
    if name not in predictions.classes:
        raise ValueError(f"a claim is about class {name!r}; the runs know {', '.join(predictions.classes)}")
    kept = predictions.labels == predictions.classes.index(name)
    by_clip: dict[str, Any] = {
        part: getattr(predictions, part)[kept] for part in ("logits", "labels", "recording", "clip")
    }
    return dataclasses.replace(predictions, **by_clip)


def _printed(first: Sequence[PublishedCell], second: Sequence[PublishedCell]) -> Contrast:
    """Welch's comparison of two means over cells, whose seeds are independent."""
    cells = [*((cell, len(first)) for cell in first), *((cell, len(second)) for cell in second)]
    value = float(np.mean([cell.mean for cell in first]) - np.mean([cell.mean for cell in second]))
    parts = [(cell.std**2 / cell.n / count**2, cell.n - 1) for cell, count in cells]
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / dof for variance, dof in parts if dof)
    unknown = not total > 0 or not below
    here = Difference(value, math.nan, math.nan) if unknown else Difference(value, math.sqrt(total), total**2 / below)
    return Contrast(here, num_seeds=min(cell.n for cell, _ in cells))
