"""Runs a sweep whose seeds are added until its comparisons are decided: each look is followed by a small sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from sweeps.engine.adaptive.contrasts import extended, key_of, setting
from sweeps.engine.adaptive.looks import Rule, lines, state_of
from sweeps.engine.plan import Sweep

if TYPE_CHECKING:
    from sweeps.engine.situation import Situation

# Runs the trials of a sweep that are not done, and returns the exit code and the situation afterwards.
RunSweep = Callable[[Sweep], tuple[int, "Situation"]]


def run(sweep: Sweep, rule: Rule, run_sweep: RunSweep) -> int:
    """Runs the planned trials, looks, and adds seeds as long as the rule asks for them; prints every look.

    Args:
        sweep: the sweep as it is planned.
        rule: the rule by which seeds are added.
        run_sweep: runs the trials of a sweep that are not done.

    Returns:
        The exit code: 0 if all trials that were asked for have finished, whether all is decided or not.
    """
    code, situation = run_sweep(sweep)
    while not code:
        state = state_of(rule, scores_in(situation, rule))
        print("\n".join(lines(rule, state, sweep)), flush=True)
        if not state.next:
            break
        code, situation = run_sweep(extended(sweep, (*state.added, *state.next)))
    return code


def scores_in(situation: Situation, rule: Rule) -> dict[str, float]:
    """The scores of the rule's trials that have finished on the same data, split and weights as those planned."""
    runs = defaultdict(list)
    for run in situation.runs:
        runs[run.key].append(run)
    scores = dict[str, float]()
    for trial in situation.sweep.trials:
        tags, metric = situation.inputs[trial.key].tags, trial.listed_by
        for seed in (trial.seed, *rule.seeds):
            key = key_of(setting(trial), seed)
            if key in scores:
                continue
            if key in situation.records:
                scores[key] = situation.records[key].scores[metric]
            for run in runs[key]:
                if run.status == "FINISHED" and tags.items() <= run.tags.items():
                    scores[key] = run.metrics[metric]
    return scores
