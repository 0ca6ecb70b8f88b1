"""Simulates seeds that are added until a comparison is decided: how often falsely, and after how many seeds.

    python -m benchmarks.adaptive [--repeats 20000] [--looks 100] [--json FILE]

Differences of paired seeds are drawn with a known mean, and looked at after every seed from the third on, by the
project's own functions and by a t-test at 5 % that takes every look for the only one. A family is four settings with
the same true score, whose six pairs share the settings' scores, and stops for each pair by itself. Scores of few clips
are whole numbers of clips, which are neither normal nor all different.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.measured import Row, at_most, parser, show
from sweeps.engine.adaptive.contrasts import Contrast
from sweeps.engine.adaptive.evalues import LEVEL, e_value
from sweeps.engine.adaptive.looks import Rule, state_of
from sweeps.recipes.mohammadi import RATES

FIRST = 3  # seeds at the first look, as studies plan them
GOALS = {4: 5, 3: 5.5, 2: 7, 1: 14}  # the effect in standard deviations of a difference: seeds needed, at most
NETWORKS = 4  # of a family
CLIPS = 40  # of a small test set
Test = Callable[[Sequence[float]], bool]


def decided_after(differences: Sequence[float], test: Test) -> int:
    """The number of seeds at the first look that decides; 0 if none does."""
    return next((n for n in range(FIRST, len(differences) + 1) if test(differences[:n])), 0)


def by_e_value(differences: Sequence[float]) -> bool:
    """Whether the E-value of one pair decides."""
    return e_value(differences) >= 1 / LEVEL


def by_t_test(num_looks: int) -> Test:
    """The t-test at 5 % that is repeated at every look as if it were the only one."""
    critical = {n: critical_t(n - 1) for n in range(FIRST, num_looks + 1)}

    def test(differences: Sequence[float]) -> bool:
        values = np.asarray(differences)
        error = values.std(ddof=1) / len(values) ** 0.5
        return bool(abs(values.mean()) > critical[len(values)] * error)

    return test


def critical_t(dof: int) -> float:
    """The 97.5 % quantile of Student's t, by integration of its density; to 0.001 from 2 degrees of freedom on."""
    angle = np.linspace(0, np.pi / 2, 200_001)[:-1]  # t = sqrt(dof) tan(angle), which has no tail
    density = np.cos(angle) ** (dof - 1)
    share = np.cumsum(density) / density.sum()
    return float(np.sqrt(dof) * np.tan(angle[np.searchsorted(share, 0.95)]))


def false_families(
    draw: Callable[[np.random.Generator, int], np.ndarray], repeats: int, looks: int, seed: int
) -> float:
    """The share of families of equal settings in which any pair is decided, by the rule of `--until-decided`.

    Args:
        draw: draws the scores of a family, by setting and seed.
        repeats: the number of families.
        looks: the number of seeds at the last look.
        seed: of the draws.
    """
    settings = [RATES.but(epochs=number, seed=0) for number in range(1, NETWORKS + 1)]
    pairs = [Contrast(f"{a.epochs} {b.epochs}", (a,), (b,)) for a, b in itertools.combinations(settings, 2)]
    rule, rng = Rule(tuple(pairs), tuple(range(1, FIRST + 1)), looks), np.random.default_rng(seed)
    keys = [[RATES.but(epochs=one.epochs, seed=number).key for number in rule.seeds] for one in settings]
    false = 0
    for _ in range(repeats):
        scores = dict(zip(functools.reduce(operator.iadd, keys, []), draw(rng, looks).ravel().tolist(), strict=True))
        false += len(state_of(rule, scores).open) < len(pairs)
    return false / repeats


def normal(rng: np.random.Generator, looks: int) -> np.ndarray:
    """Scores of equal settings that are normal, in standard deviations."""
    return rng.standard_normal((NETWORKS, looks))


def counted(rng: np.random.Generator, looks: int) -> np.ndarray:
    """Scores of equal settings that recognise each clip of a small test set with a probability of 0.9."""
    return rng.binomial(CLIPS, 0.9, (NETWORKS, looks)) / CLIPS


def rows(repeats: int, looks: int) -> list[Row]:
    """All rows of the table."""
    rng = np.random.default_rng(0)
    null = rng.standard_normal((repeats, looks))
    false, naive = (
        np.mean([decided_after(one, test) > 0 for one in null.tolist()]) for test in (by_e_value, by_t_test(looks))
    )
    pair = f"false decisions of a pair, looks to {looks} seeds"
    table = [at_most(pair, "%", float(100 * false), 3, peer=float(100 * naive), peer_name="t-test")]
    families = max(1, repeats // 20)
    for name, draw in (("a family of 6 pairs", normal), (f"the same with scores of {CLIPS} clips", counted)):
        share = 100 * false_families(draw, families, min(looks, 20), seed=1)
        table.append(at_most(f"false decisions in {name}, to 20 seeds", "%", share, 100 * LEVEL))
    for effect, goal in GOALS.items():
        needed = [decided_after(one, by_e_value) or looks for one in (null + effect).tolist()]
        table.append(at_most(f"seeds for an effect of {effect} sd, mean", "seeds", float(np.mean(needed)), goal))
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument("--repeats", type=int, default=20_000, help="simulated comparisons; a twentieth of families")
    command.add_argument("--looks", type=int, default=100, help="seeds at the last look")
    args = command.parse_args(argv)
    show(rows(args.repeats, args.looks), args)


if __name__ == "__main__":
    main()
