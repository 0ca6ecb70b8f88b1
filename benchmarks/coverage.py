"""Measures how often the reports' statistics are wrong, by simulations whose truth is known.

    python -m benchmarks.coverage [--simulations N] [--json FILE]

Test sets are drawn as DeepShip's is: recordings of unequal length (lognormal, 55 clips on average), some easy and some
hard, for all networks alike and for each on its own; each seed of a network adds what it does everywhere and what it
does on one recording. All networks are equally good on recordings to come, so that every difference that a test finds
is an error, and every interval should hold the truth in 95 of 100 test sets. The functions are those of the reports.
The peer is the usual practice beside it: a t-test over seeds, or an interval that takes recordings for independent.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats
from scipy.special import expit

from analysis.engine import stats
from analysis.engine.inference import estimates
from analysis.engine.inference.comparisons import Entry, all_pairs
from analysis.engine.inference.influences import Influence, of_sums
from analysis.engine.protocol import read_published
from analysis.engine.stats import Interval
from benchmarks import measured
from benchmarks.measured import Row

NOMINAL = 5.0  # % of errors
SEEDS = (3, 5, 10)
CLIPS_SD = 0.7  # of the logarithm of a recording's clips, whose mean is 55
PER_VESSEL = 3  # recordings


@dataclass(frozen=True)
class World:
    """The causes of right and wrong answers, as standard deviations on the logit scale."""

    ease: float = 1.2  # the logit of a clip of average difficulty
    recording: float = 1.2  # for all networks alike
    network: float = 0.3  # of a recording for one network
    seed: float = 0.03  # of a seed everywhere
    both: float = 0.2  # of a seed on one recording
    vessel: float = 0.0  # the share of `recording`'s variance that the recordings of a vessel have in common

    @functools.cached_property
    def accuracy(self) -> float:
        """The accuracy on recordings to come, the mean over all causes."""
        sd = math.sqrt(self.recording**2 + self.network**2 + self.seed**2 + self.both**2)
        points, weights = np.polynomial.hermite_e.hermegauss(80)
        return float((weights * expit(self.ease + sd * points)).sum() / weights.sum())


@dataclass(frozen=True)
class Drawn:
    """A test set and what networks answer on it."""

    num_clips: np.ndarray  # of each recording
    vessel: np.ndarray  # of each recording
    right: np.ndarray  # networks x seeds x recordings: clips

    def scores(self, network: int) -> np.ndarray:
        """The accuracy of each seed."""
        accuracy: np.ndarray = self.right[network].sum(axis=1) / self.num_clips.sum()
        return accuracy

    def influence(self, network: int, by_vessel: bool = False) -> Influence:
        """The influence of each recording, or of each vessel, on a network's accuracy."""
        group = self.vessel if by_vessel else np.arange(len(self.num_clips))
        sums, sizes = (np.bincount(group, counts) for counts in (self.right[network].mean(axis=0), self.num_clips))
        return of_sums(sums, sizes)

    def entry(self, network: int) -> Entry:
        """The network as the reports compare it."""
        return Entry(f"n{network}", dict(enumerate(self.scores(network))), self.influence(network), 32_000)


def draw(rng: np.random.Generator, world: World, num_recordings: int, num_seeds: int, num_networks: int) -> Drawn:
    """A test set, with networks that are equally good on recordings to come."""
    clips = np.maximum(1, np.round(rng.lognormal(math.log(55) - CLIPS_SD**2 / 2, CLIPS_SD, num_recordings))).astype(int)
    vessel = np.arange(num_recordings) // PER_VESSEL
    shared = math.sqrt(world.vessel) * rng.standard_normal(vessel.max() + 1)[vessel]
    own = math.sqrt(1 - world.vessel) * rng.standard_normal(num_recordings)
    networks, seeds, recordings = num_networks, num_seeds, num_recordings
    logits = (
        world.ease
        + world.recording * (shared + own)
        + world.network * rng.standard_normal((networks, 1, recordings))
        + world.seed * rng.standard_normal((networks, seeds, 1))
        + world.both * rng.standard_normal((networks, seeds, recordings))
    )
    return Drawn(clips, vessel, rng.binomial(clips, expit(logits)))


def family_row(world: World, num_seeds: int, num_recordings: int, num: int) -> Row:
    """The share of tables of ten equal networks in which any of the 45 pairs is told apart."""
    rng, ours, peer = np.random.default_rng(num_seeds), 0, 0
    for _ in range(num):
        drawn = draw(rng, world, num_recordings, num_seeds, 10)
        pairs = all_pairs([drawn.entry(network) for network in range(10)])
        ours += any(pair.told_apart for pair in pairs)
        peer += min(stats.holm([pair.p_here for pair in pairs])) < stats.LEVEL
    much = ", seeds that vary much" if world.seed > World().seed else ""
    case = f"45 equal pairs, any told apart: {num_seeds} seeds, {num_recordings} recordings{much}"
    return _errors(case, ours, peer, num, "t-test over seeds")


def power_row(num: int) -> Row:
    """The share of Table II's pairs that are told apart at three seeds, if its means are the truth."""
    printed = [cell.mean for cell in read_published("deepship_backbones").cells.values()]
    rng, ours, peer = np.random.default_rng(5), 0, 0
    for _ in range(num):
        drawn = draw(rng, World(), 121, 3, len(printed))
        right = np.empty_like(drawn.right)
        for network, accuracy in enumerate(printed):  # all clips of a recording are as much easier or harder
            change = World(ease=_ease(accuracy)).ease - World().ease
            share = np.clip((drawn.right[network] + 0.5) / (drawn.num_clips + 1), 1e-6, 1 - 1e-6)
            right[network] = rng.binomial(drawn.num_clips, expit(np.log(share / (1 - share)) + change))
        made = Drawn(drawn.num_clips, drawn.vessel, right)
        pairs = all_pairs([made.entry(network) for network in range(len(printed))])
        ours += sum(pair.told_apart for pair in pairs)
        peer += sum(p < stats.LEVEL for p in stats.holm([pair.p_here for pair in pairs]))
    share = 100 / (45 * num)
    case = "Table II's pairs told apart: 3 seeds, 121 recordings"
    return Row(case, "%", share * ours, share * peer, "t-test over seeds", note="a share found, not an error")


@functools.cache
def _ease(accuracy: float) -> float:
    """The ease at which a world has an accuracy."""
    eases = np.linspace(-2, 5, 1401)
    return float(eases[np.argmin([abs(World(ease=ease).accuracy - accuracy) for ease in eases])])


def pair_row(num_recordings: int, num: int) -> Row:
    """Misses of the 95 % interval of the difference of two equal networks."""
    rng, ours, peer = np.random.default_rng(num_recordings), 0, 0
    for _ in range(num):
        drawn = draw(rng, World(), num_recordings, 3, 2)
        (pair,) = all_pairs([drawn.entry(0), drawn.entry(1)])
        ours += not holds(pair.to_come, 0.0)
        fixed = drawn.influence(0) - drawn.influence(1)
        half = 1.96 * math.sqrt(fixed.variance)
        peer += abs(fixed.value) > half
    return _errors(f"interval of a pair misses 0: {num_recordings} recordings", ours, peer, num, "networks held fixed")


def cell_row(world: World, num_recordings: int, num: int) -> Row:
    """Misses of the 95 % interval of one network's accuracy, by vessel where recordings of a vessel are alike."""
    rng, ours, peer = np.random.default_rng(num_recordings), 0, 0
    for _ in range(num):
        drawn = draw(rng, world, num_recordings, 3, 1)
        scores, by_vessel = drawn.scores(0), world.vessel > 0
        found = estimates.estimate(scores, drawn.influence(0, by_vessel)).interval(share=True)
        ours += not holds(found, world.accuracy)
        fixed = drawn.influence(0)
        peer += abs(fixed.value - world.accuracy) > 1.96 * math.sqrt(fixed.variance)
    vessels = f", vessels carry {100 * world.vessel:.0f} %" if by_vessel else ""
    case = f"interval of an accuracy of {100 * world.accuracy:.0f} %: {num_recordings} recordings{vessels}"
    return _errors(case, ours, peer, num, "independent recordings")


def equal_cells(rng: np.random.Generator) -> list[stats.Difference]:
    """The differences of eighteen cells of three seeds from published ones that are equally good."""
    here, there = rng.normal(0.7, 0.01, (2, 18, 3))
    return [
        stats.welch(a.mean(), a.std(ddof=1), 3, b.mean(), b.std(ddof=1), 3) for a, b in zip(here, there, strict=True)
    ]


def verdict_row(num: int) -> Row:
    """Tables of 18 cells, equal to the published ones, with any "different"."""
    rng, ours, peer = np.random.default_rng(18), 0, 0
    for _ in range(num):
        both = equal_cells(rng)
        ours += "different" in stats.verdicts(both, 0.02)
        peer += any(difference.p < stats.LEVEL for difference in both)
    return _errors("18 cells equal to the published, any different: 3 seeds", ours, peer, num, "not corrected")


def luck_row(num_seeds: int, num: int) -> Row:
    """A searched value without selection that lies beyond what its confirmation allows."""
    rng, ours, peer = np.random.default_rng(num_seeds), 0, 0
    for _ in range(num):
        searched, *confirmed = rng.normal(0.7, 0.01, 1 + num_seeds)
        error, t = float(np.std(confirmed, ddof=1)), float(scipy_stats.t.ppf(0.975, num_seeds - 1))
        drop = searched - float(np.mean(confirmed))
        ours += drop > t * error * math.sqrt(1 + 1 / num_seeds)
        peer += drop > t * error / math.sqrt(num_seeds)
    case = f"a value that nothing selected is called lucky: {num_seeds} seeds"
    return _errors(case, ours, peer, num, "interval of the mean")


def holds(interval: Interval, truth: float) -> bool:
    """Whether an interval holds the truth; one that is unknown claims nothing."""
    return math.isnan(interval.low) or interval.low <= truth <= interval.high


def _errors(case: str, ours: int, peer: int, num: int, peer_name: str) -> Row:
    """A row whose goal is 5 %, within two standard errors of the simulation."""
    allowed = NOMINAL + 200 * math.sqrt(0.05 * 0.95 / num)
    its, theirs = 100 * ours / num, 100 * peer / num
    return Row(
        case, "%", its, theirs, peer_name, goal=f"<= {NOMINAL:g} %", met=bool(its <= allowed), note=f"{num} test sets"
    )


def rows(num: int) -> Iterable[Row]:
    """All rows.

    Args:
        num: the number of test sets that are drawn for a row; a fifth for those of 45 pairs.
    """
    few = max(2, num // 5)
    parts: Sequence[Callable[[], Row]] = [
        *(functools.partial(family_row, World(), n, size, few) for n, size in itertools.product(SEEDS, (30, 121))),
        functools.partial(family_row, World(seed=0.3), 3, 121, few),
        functools.partial(power_row, few),
        *(functools.partial(pair_row, size, num) for size in (12, 30, 121)),
        *(functools.partial(cell_row, World(ease), size, num) for size in (12, 30, 121) for ease in (1.2, 3.0)),
        *(functools.partial(cell_row, World(vessel=share), 120, num) for share in (0.3, 0.7)),
        functools.partial(verdict_row, num),
        *(functools.partial(luck_row, n, num) for n in SEEDS),
    ]
    for part in parts:
        row = part()
        print(f"{row.case}: {measured.number(row.ours)} {row.unit}", flush=True)
        yield row


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the test sets, and prints the table."""
    parser = measured.parser(__doc__)
    parser.add_argument(
        "--simulations", type=int, default=2_000, metavar="N", help="test sets for a row (default: 2000)"
    )
    args = parser.parse_args(argv)
    measured.show(list(rows(args.simulations)), args)


if __name__ == "__main__":
    main()
