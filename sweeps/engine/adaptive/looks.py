"""Seeds added until comparisons are decided: after each seed a look, and one more seed for what is still open.

What was seen and asked follows from the scores of the store alone, whenever it is worked out: a sweep that is started
again goes on where it was, and its report comes to the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sweeps.engine.adaptive.contrasts import Contrast, contrasts, key_of, seeds_of, setting, with_seed
from sweeps.engine.adaptive.evalues import LEVEL, e_holm, e_value
from sweeps.engine.plan import Sweep
from trainable.config import TrialConfig

MAX_SEEDS = 20
MOST_SEEDS = 1_000
LOOK = "added after a look, by --until-decided"  # why trials are declared


@dataclass(frozen=True)
class Rule:
    """The rule by which seeds are added, fixed before the first look."""

    contrasts: tuple[Contrast, ...]
    planned: tuple[int, ...]  # the seeds of the first look
    max_seeds: int = MAX_SEEDS
    level: float = LEVEL  # of false decisions, over all contrasts and looks

    def __post_init__(self) -> None:
        if self.max_seeds > MOST_SEEDS:
            raise ValueError(f"--max-seeds {self.max_seeds}: must be at most {MOST_SEEDS:,}")

    def __str__(self) -> str:
        num = len(self.contrasts)
        which = "the pair is" if num == 1 else f"each of {num} pairs is"
        return f"until {which} decided by an E-value of {1 / self.level:g}, or there are {self.max_seeds} seeds"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The planned seeds, and behind them the next integers, as many as the rule may use."""
        after = max(self.planned, default=0) + 1
        return (*self.planned, *range(after, after + max(0, self.max_seeds - len(self.planned))))


@dataclass(frozen=True)
class Decision:
    """The state of one contrast: the difference, and the E-value after the last look at it."""

    contrast: Contrast
    num_seeds: int
    difference: float  # the mean over its seeds; 0 without any
    e: float
    adjusted: float  # the E-value adjusted for all contrasts of the rule
    decided: bool

    def said(self, share: bool) -> str:
        """A line on the contrast.

        Args:
            share: whether the score is a share, which is told in points.
        """
        size = f"{100 * self.difference:+.1f} points" if share else f"{self.difference:+.4f}"
        state = "decided" if self.decided else "not decided"
        return f"{self.contrast.name}: {size}, {state} after {self.num_seeds} seeds (E = {self.adjusted:.3g})"


@dataclass(frozen=True)
class State:
    """The outcome of all looks so far, and the trials that the rule has asked for."""

    decisions: tuple[Decision, ...]
    added: tuple[TrialConfig, ...]  # the trials behind the looks, without the planned ones
    next: tuple[TrialConfig, ...]  # the trials that the next look needs; empty when there is no further look

    @property
    def open(self) -> list[Decision]:
        """The contrasts that are not decided."""
        return [decision for decision in self.decisions if not decision.decided]

    @property
    def num_added(self) -> int:
        """The number of seeds that looks have added."""
        return len(seeds_of(self.added))


def rule_of(sweep: Sweep, field: str = "", max_seeds: int = MAX_SEEDS) -> Rule:
    """The rule for a sweep: its comparisons (`contrasts.contrasts`), and the seeds that it plans.

    Raises:
        ValueError: if there is nothing to compare.
    """
    return Rule(contrasts(sweep, field), tuple(seeds_of(sweep.trials)), max_seeds)


def state_of(rule: Rule, scores: Mapping[str, float]) -> State:
    """Goes through all looks for which there are scores.

    A contrast that is decided stays so, with the E-value that decided it, and asks for no further seed.

    Args:
        rule: the rule.
        scores: the finished trials' scores, by key.
    """
    differences = [contrast.by_seed(scores, rule.seeds) for contrast in rule.contrasts]
    decisions, added = _look(rule, differences, rule.planned), list[TrialConfig]()
    for number in range(len(rule.planned), len(rule.seeds)):
        still = [decision.contrast for decision in decisions if not decision.decided]
        sides = dict.fromkeys(one for contrast in still for one in (*contrast.better, *contrast.than))
        asked = tuple(with_seed(one, rule.seeds[number]) for one in sides)
        if not all(key_of(setting(trial), trial.seed) in scores for trial in asked):
            return State(decisions, tuple(added), asked)
        added += asked
        decisions = _look(rule, differences, rule.seeds[: number + 1], decisions)
    return State(decisions, tuple(added), ())


def lines(rule: Rule, state: State, sweep: Sweep) -> list[str]:
    """The lines that a look prints: the number of decided pairs and the seed that comes next, or all at the end."""
    num = len(state.decisions)
    done = f"{num - len(state.open)} of {num} pair{'s' * (num > 1)} {'are' if num > 1 else 'is'} decided"
    if state.next:
        settings = len(state.next)
        used = len(rule.planned) + state.num_added
        its = f"{settings} setting{'s' * (settings > 1)}"
        return [f"look     {used} seed{'s' * (used > 1)}: {done}; seed {state.next[0].seed} is added for {its}"]
    share = sweep.trials[0].main_score.is_share
    return ["", f"{done}:", *(f"  {decision.said(share)}" for decision in state.decisions), meaning(rule)]


def meaning(rule: Rule) -> str:
    """A sentence on what the decisions are about."""
    return (
        f"E-values allow a look after each seed: at most {100 * rule.level:g} % of such studies have a false decision. "
        "They answer for this test set, not for recordings to come, for which the report has its own verdicts."
    )


def _look(
    rule: Rule,
    differences: Sequence[Mapping[int, float]],
    seeds: Sequence[int],
    before: Sequence[Decision] = (),
) -> tuple[Decision, ...]:
    """The decisions from the differences of some seeds; what was decided before stays."""
    now = [
        _decision(contrast, [by_seed[seed] for seed in seeds if seed in by_seed])
        for contrast, by_seed in zip(rule.contrasts, differences, strict=True)
    ]
    now = [old if old.decided else new for old, new in zip(before or now, now, strict=True)]
    adjusted = e_holm([decision.e for decision in now])
    return tuple(
        old if old.decided else replace(old, adjusted=value, decided=value >= 1 / rule.level)
        for old, value in zip(now, adjusted, strict=True)
    )


def _decision(contrast: Contrast, differences: Sequence[float]) -> Decision:
    """A contrast as it stands alone."""
    e = e_value(differences)
    return Decision(contrast, len(differences), fmean(differences) if differences else 0.0, e, e, False)
