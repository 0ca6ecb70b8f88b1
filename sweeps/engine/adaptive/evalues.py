"""E-values of paired differences, which may be looked at after every seed: a t-test that stays valid."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.05  # of false decisions, in a whole family of comparisons and over all looks
SPREAD = 4.0  # g, the prior variance of the mean difference, in variances of a difference
ROUNDING = 1e-12  # of scores; differences that agree to it show no spread


def e_value(differences: Sequence[float], g: float = SPREAD) -> float:
    """E-value against the null that the mean difference is 0, from the differences of the first n seeds.

    Under the null, an E-value reaches 1/level at any of all looks with a probability of at most the level, if the
    differences are independent and normal. Their variance need not be known: it has the right-Haar prior, and the mean,
    in standard deviations, a normal one with variance g under the alternative.

        E = (1 + n g)^(-1/2) [(1 + t^2 / (n - 1)) / (1 + t^2 / ((1 + n g) (n - 1)))]^(n/2),  t = sqrt(n) mean / sd

    Returns:
        At least 0; 1, which says nothing, for one seed, and for seeds that all agree: no spread is not certainty.

    Source:
        Lai 1976, Annals of Statistics 4, 265-280; Perez-Ortiz et al. 2024, Annals of Statistics 52, 1410-1432.
    """
    n = len(differences)
    if n < 2 or max(differences) - min(differences) < ROUNDING:
        return 1.0
    mean = math.fsum(differences) / n
    share = n * mean**2 / math.fsum((difference - mean) ** 2 for difference in differences)  # t^2 / (n - 1)
    odds = (1 + share) / (1 + share / (1 + n * g))
    return math.exp(0.5 * (n * math.log(odds) - math.log1p(n * g)))


def e_holm(values: Sequence[float]) -> list[float]:
    """E-values of a family, adjusted so that the chance of any false one at 1/level or above is at most the level.

    Each is the smallest mean of any set of hypotheses that contains it: its own with some of the smallest others. All
    that Holm's procedure rejects for 1/E as p-values is rejected, and more.

    Source:
        Vovk and Wang 2021, Annals of Statistics 49, 1736-1754, Algorithm 1.
    """
    rising = sorted(range(len(values)), key=values.__getitem__)
    adjusted = list(values)
    for place, i in enumerate(rising):
        total = values[i]
        for size, other in enumerate((j for rank, j in enumerate(rising) if rank != place), 2):
            total += values[other]
            adjusted[i] = min(adjusted[i], total / size)
    return adjusted
