"""Two sides of a question, each the mean score of some settings, and the difference between them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from analysis.engine.inference import estimates, influences
from analysis.engine.inference.estimates import Estimate
from analysis.engine.inference.influences import ROUNDING, Influence
from analysis.engine.rows import Predictions
from analysis.engine.stats import UNKNOWN, Difference, Interval, Variance
from analysis.engine.tables.cells import same_clips
from trainable.config import CHANCE
from trainable.learning.score import Score


@dataclass(frozen=True)
class Contrast:
    """A difference of two sides of a claim: on these recordings, and on recordings to come where that is known."""

    here: Difference  # over seeds
    to_come: Estimate | None = None  # None from printed numbers, which do not tell how recordings differ
    influence: Influence | None = None
    num_seeds: int = 0  # of the side with fewer
    unit: str = "recording"  # what the test set is a sample of

    def __neg__(self) -> Contrast:
        """The second side less the first."""
        its, to_come = self.influence, self.to_come
        return dataclasses.replace(
            self,
            here=dataclasses.replace(self.here, value=-self.here.value),
            to_come=dataclasses.replace(to_come, value=-to_come.value) if to_come else None,
            influence=Influence(-its.value, -its.by_group, its.sizes) if its else None,
        )

    @property
    def interval95(self) -> Interval:
        """The 95 % interval on recordings to come; NaN where it is unknown, as with one seed."""
        return UNKNOWN if self.to_come is None or self.num_seeds < 2 else self.to_come.interval()

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


@dataclass(frozen=True)
class Side:
    """The mean score of some settings, by seed, and how far groups of recordings move it."""

    scores: Mapping[int, float]
    influence: Influence
    reference: Predictions

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(list(self.scores.values())))

    def shares(self, other: Side) -> bool:
        """Whether both were scored on the same clips."""
        return same_clips(self.reference, other.reference)

    def less(self, other: Side) -> Contrast:
        """This side less the other."""
        paired = set(self.scores) == set(other.scores)
        found = contrast(self.scores, other.scores, self.influence - other.influence, paired)
        return dataclasses.replace(found, unit=self.reference.cluster_unit)


def contrast(first: Mapping[int, float], second: Mapping[int, float], influence: Influence, paired: bool) -> Contrast:
    """The difference of two mean scores, which are given by seed.

    Args:
        influence: of the difference.
        paired: whether a seed is the same on both sides; else the seeds are independent.
    """
    a, b = (np.array([scores[seed] for seed in sorted(scores)]) for scores in (first, second))
    if (fewest := min(len(a), len(b))) < 2:
        value = float(a.mean() - b.mean())
        unknown = Variance(math.nan, math.nan)
        return Contrast(Difference(value, math.nan, math.nan), Estimate(value, unknown, unknown), influence, fewest)
    estimate = estimates.estimate(a - b, influence) if paired else estimates.of_unpaired(a, b, influence)
    # Seeds that all agree, apart from rounding, show no spread at all; a t-test would take that for certainty.
    agree = np.ptp(a - b) < ROUNDING if paired else max(np.ptp(a), np.ptp(b)) < ROUNDING
    error = math.nan if agree else math.sqrt(estimate.seeds.value)
    return Contrast(Difference(estimate.value, error, estimate.seeds.dof), estimate, influence, fewest)


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
    cells = settings(rows)
    seeds = [sorted(group["seed"]) for group in cells]
    taken = [[_of_class(predictions[key], of_class) for key in group.sort_values("seed")["key"]] for group in cells]
    reference = taken[0][0]
    if any(its != seeds[0] for its in seeds) or not all(same_clips(reference, its) for cell in taken for its in cell):
        return None
    by_cell = [[score.of(its.logits, its.labels, its.recording) for its in cell] for cell in taken]
    influence = influences.mean([influences.influence(score, cell) for cell in taken])
    return Side(dict(zip(seeds[0], np.mean(by_cell, axis=0), strict=True)), influence, reference)


def settings(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each setting, which differ by the seed alone."""
    setting = rows["config"].map(lambda config: config.all_but(CHANCE))
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
    groups = {group: values[kept] for group, values in predictions.groups.items()}
    file = None if predictions.file is None else predictions.file[kept]
    return dataclasses.replace(predictions, **by_clip, groups=groups, seen={}, file=file)
