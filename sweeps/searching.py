"""Runs a search: each round is a small sweep, and what a killed search has committed is not evaluated again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sweeps.plan import Sweep
from sweeps.pruning import Judge
from sweeps.search import METRICS, Evaluation, Proposals, Search, best, evaluation, write_study

if TYPE_CHECKING:
    from sweeps.state import Situation
    from trainable.config import TrialConfig

LONGEST_TITLE = 400  # characters of a study's name before its digits; databases of Optuna take 512

# Runs the trials of a sweep that are not done, and returns the exit code and what there is then; a judge, if there is
# one, tells each when to give up.
RunSweep = Callable[[Sweep, Judge | None], tuple[int, "Situation"]]


def run(search: Search, variant: str, run_sweep: RunSweep, optuna_storage: str) -> int:
    """Goes through all rounds, confirms the best on fresh seeds, and says what was found.

    Args:
        variant: the settings that differ from the study's file, in words.
        optuna_storage: the database, as Optuna names it, that the study is written to after every round.

    Returns:
        The exit code: 0 when everything is evaluated and confirmed.
    """
    proposals, title = Proposals(search), ""
    while trials := proposals.ask():
        judge = judge_of(search, proposals.evaluations)
        unique = tuple(dict.fromkeys(trials))  # a search may propose twice what it has proposed
        code, situation = run_sweep(Sweep(search.name, unique), judge)
        if code:
            return code
        first = len(proposals.evaluations)
        found = [_evaluation(search, first + n, trial, situation) for n, trial in enumerate(trials)]
        proposals.tell(found)
        title = title or study_title(search, variant, situation)  # of the first round, which is always the same
        write_study(search, title, proposals.evaluations, optuna_storage)
        for one in found:
            print(f"[{one.number + 1}/{search.num_trials}] {described(search, one)}", flush=True)
    winner = best(search, proposals.evaluations)
    if winner is None:
        print(f"none of {search.num_trials} evaluations went to its end; widen the space, or lower lr")
        return 4
    print(f"best     {described(search, winner)}")
    code, situation = run_sweep(Sweep(search.name, tuple(search.confirmed(winner.config))), None)
    if not code:
        print(confirmed(search, winner, situation))
    return code


def described(search: Search, found: Evaluation) -> str:
    """An evaluation in a line."""
    fields = " ".join(f"{name}={_short(getattr(found.config, name))}" for name in search.space)
    if found.state == "FAIL":
        return f"{fields}: diverged"
    value = found.scores[search.metric] if found.state == "COMPLETE" else found.curve[-1]
    after = f", gave up after epoch {len(found.curve)}" if found.state == "PRUNED" else ""
    return f"{fields}: {search.metric} {value:.4f}{after}"


def confirmed(search: Search, winner: Evaluation, situation: Situation) -> str:
    """How the best does on seeds that did not choose it."""
    records = [situation.records[t.key] for t in situation.sweep.trials if t.key in situation.records]
    again = [r.scores[search.metric] for r in records]
    tested = [r.scores["test_accuracy"] for r in records]
    if not again:
        return "confirmed elsewhere; the report has the numbers"
    mean, test = sum(again) / len(again), sum(tested) / len(tested)
    return (
        f"confirmed on seeds {', '.join(map(str, search.confirm_seeds))}: {search.metric} {mean:.4f}, where the search "
        f"had {winner.scores[search.metric]:.4f}; test accuracy {100 * test:.1f} %"
    )


def study_title(search: Search, variant: str, situation: Situation) -> str:
    """The Optuna study's name: other data, split, weights or space are another study."""
    inputs = sorted({repr(found) for found in situation.inputs.values()})
    digits = hashlib.sha256(repr((search, inputs)).encode()).hexdigest()[:8]
    return f"{search.name} {variant}".strip()[:LONGEST_TITLE] + f" {digits}"


def judge_of(search: Search, evaluations: Sequence[Evaluation]) -> Judge:
    """Who tells the trials of the next round to give up."""
    past = [(e.curve, e.state == "COMPLETE") for e in evaluations if e.curve]
    return Judge(search.pruner, search.direction, METRICS[search.metric][0], past, search.base.epochs)


def _evaluation(search: Search, number: int, trial: TrialConfig, situation: Situation) -> Evaluation:
    """What a trial has committed, here or in another storage, whose store has its scores and no curve."""
    if record := situation.records.get(trial.key):
        return evaluation(search, number, trial, record.scores, record.history)
    run = next(r for r in situation.runs if r.key == trial.key and r.status == "FINISHED")
    return Evaluation(number, trial, {n: v for n, v in run.metrics.items() if math.isfinite(v)}, ())


def _short(value: str | int | float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
