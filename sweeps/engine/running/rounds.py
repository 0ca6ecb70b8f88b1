"""Runs a search: each round is a small sweep, and the committed trials of a killed search are not evaluated again."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sweeps.engine.display.standing import shown
from sweeps.engine.plan import Sweep
from sweeps.engine.search.pruning import Judge
from sweeps.engine.search.search import Evaluation, Proposals, Search, best, evaluation
from sweeps.engine.store.mirror import PATIENCE_S, Mirror
from sweeps.engine.store.optuna_study import Study, write_study
from sweeps.engine.store.runs import StoreError
from trainable.config import TrialConfig

if TYPE_CHECKING:
    from sweeps.engine.situation import Situation
    from trainable.result.record import Record

LONGEST_TITLE = 400  # characters of a study's name before its digits; Optuna's databases take 512

# Runs the trials of a sweep that are not done, and returns the exit code and the situation afterwards. A judge, if
# there is one, tells each trial when to give up. The function that makes a display is called if trials are to run.
RunSweep = Callable[[Sweep, Judge | None, "Callable[[Situation], Display] | None"], tuple[int, "Situation"]]


def run(search: Search, variant: str, run_sweep: RunSweep, optuna_storage: str) -> int:
    """Goes through all rounds, confirms the best with fresh seeds, and prints the results.

    Args:
        search: the search.
        variant: the settings that differ from the study's file, in words.
        run_sweep: runs the trials of a sweep.
        optuna_storage: the database for the study, as Optuna names it; the study is written after every round.

    Returns:
        The exit code: 0 if everything is evaluated and confirmed.
    """
    proposals, title = Proposals(search), ""
    while trials := proposals.ask():
        judge = judge_of(search, proposals.evaluations)
        first = len(proposals.evaluations)
        display = partial(_displayed, search, title, variant, optuna_storage, first, trials)
        code, situation = run_sweep(search.sweep(trials), judge, display)
        if code:
            return code
        evaluations = [_evaluation(search, first + n, trial, situation) for n, trial in enumerate(trials)]
        proposals.tell(evaluations)
        title = title or study_title(search, variant, situation)  # from the first round, which is always the same
        write_study(search, title, proposals.evaluations, optuna_storage)
        for evaluated in evaluations:
            print(f"[{evaluated.number + 1}/{search.num_trials}] {described(search, evaluated)}", flush=True)
    winner = best(search, proposals.evaluations)
    if winner is None:
        print(f"none of {search.num_trials} evaluations completed; widen the space, or lower lr")
        return 4
    print(f"best     {described(search, winner)}")
    code, situation = run_sweep(search.sweep(search.confirmed(winner.config)), None, None)
    if not code:
        print(confirmed(search, winner, situation))
    return code


class Display:
    """Shows a round in its Optuna study while it runs.

    It works in its own thread, so that a database that is slow or locked does not stop trials. Anything that does not
    arrive is written after the round, from the committed trials.

    Args:
        search: the search.
        title: the title of the study.
        storage: the database of the study, as Optuna names it.
        first: the number of the first evaluation.
        trials: the trials of the round, in the order of their numbers.
    """

    def __init__(self, search: Search, title: str, storage: str, first: int, trials: Sequence[TrialConfig]) -> None:
        self._search, self._where = search, (title, storage)
        self._numbers = defaultdict[str, list[int]](list)  # by key: a search may propose a trial again
        for number, trial in enumerate(trials, first):
            self._numbers[trial.key].append(number)
        self._study: Study | None = None  # only the thread touches it
        self._mirror = Mirror(print)
        self._tell(lambda study: study.propose(first, trials))

    def started(self, key: str) -> None:
        """Shows that a trial has begun."""
        for number in self._numbers[key]:
            self._tell(partial(Study.started, number=number))

    def epoch(self, key: str, row: Mapping[str, float]) -> None:
        """Shows a completed epoch of a trial."""
        for number in self._numbers[key]:
            self._tell(partial(Study.epoch, number=number, row=row))

    def finished(self, committed: Record) -> None:
        """Shows a committed result."""
        config = TrialConfig.of(committed.config)
        ended = [
            evaluation(self._search, n, config, committed.scores, committed.history)
            for n in self._numbers[committed.key]
        ]
        self._tell(partial(Study.ended, evaluations=ended))

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Ends the round; waits for the last writes for a limited time."""
        self._tell(Study.rest)
        self._mirror.close(patience_s)

    def _tell(self, write: Callable[[Study], None]) -> None:
        self._mirror.tell(partial(self._write, write))

    def _write(self, write: Callable[[Study], None]) -> None:
        title, storage = self._where
        try:
            self._study = self._study or Study(self._search, title, storage)
            write(self._study)
        except Exception as error:  # whatever Optuna, SQLAlchemy or the network raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(f"--optuna {storage}: cannot be written ({reason})") from error


def described(search: Search, evaluated: Evaluation) -> str:
    """One line about an evaluation."""
    fields = " ".join(f"{name}={_short(evaluated.config.get(name))}" for name in search.space)
    if evaluated.state == "FAIL":
        return f"{fields}: diverged"
    value = evaluated.scores[search.metric] if evaluated.state == "COMPLETE" else evaluated.curve[-1]
    after = f", gave up after epoch {len(evaluated.curve)}" if evaluated.state == "PRUNED" else ""
    return f"{fields}: {search.metric} {value:.4f}{after}"


def confirmed(search: Search, winner: Evaluation, situation: Situation) -> str:
    """A sentence on how the best does with seeds that did not choose it."""
    records = [situation.records[t.key] for t in situation.sweep.trials if t.key in situation.records]
    values = [r.scores[search.metric] for r in records]
    main = search.base.main_score
    tested = [r.scores[f"test_{main.name}"] for r in records]
    if not values:
        return "confirmed elsewhere; the report has the numbers"
    mean, test = sum(values) / len(values), sum(tested) / len(tested)
    return (
        f"confirmed with seeds {', '.join(map(str, search.confirm_seeds))}: {search.metric} {mean:.4f}, against "
        f"{winner.scores[search.metric]:.4f} in the search; test {main.title} {shown(main, test)}"
    )


def study_title(search: Search, variant: str, situation: Situation) -> str:
    """The name of the Optuna study: other data, another split, other weights or another space make another study."""
    inputs = sorted({repr(hashes) for hashes in situation.inputs.values()})
    digits = hashlib.sha256(repr((search, inputs)).encode()).hexdigest()[:8]
    return f"{search.name} {variant}".strip()[:LONGEST_TITLE] + f" {digits}"


def judge_of(search: Search, evaluations: Sequence[Evaluation]) -> Judge:
    """The judge that tells the trials of the next round when to give up."""
    past = [(e.curve, e.state == "COMPLETE") for e in evaluations if e.curve]
    return Judge(search.pruner, search.direction, search.of_epoch, past, search.base.epochs)


def _displayed(
    search: Search,
    title: str,
    variant: str,
    storage: str,
    first: int,
    trials: Sequence[TrialConfig],
    situation: Situation,
) -> Display:
    return Display(search, title or study_title(search, variant, situation), storage, first, trials)


def _evaluation(search: Search, number: int, trial: TrialConfig, situation: Situation) -> Evaluation:
    """The evaluation of a committed trial; from another storage it has scores and no curve."""
    if record := situation.records.get(trial.key):
        return evaluation(search, number, trial, record.scores, record.history)
    run = next(r for r in situation.runs if r.key == trial.key and r.status == "FINISHED")
    return Evaluation(number, trial, {n: v for n, v in run.metrics.items() if math.isfinite(v)}, ())


def _short(value: str | int | float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
