"""Decides whether a trial of a search should give up, by Optuna's pruners, from the curves of earlier rounds.

The curves to compare with are fixed before a trial starts, so that a trial that is killed or starts late still gives
up at the same epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optuna


@dataclass
class Judge:
    """Tells a trial when to give up; it travels to the worker that trains the trial.

    Args:
        pruner: one of `sweeps.engine.search.search.PRUNERS`.
        direction: "maximize" or "minimize".
        column: the number of an epoch that counts.
        past: the curves of earlier evaluations, in order, and whether each was completed.
        epochs: the epochs of a complete trial; ASHA first decides after a seventh of them.
    """

    pruner: str
    direction: Literal["minimize", "maximize"]
    column: str
    past: Sequence[tuple[Sequence[float], bool]]
    epochs: int
    _open: Any = field(default=None, repr=False)  # this trial, in an Optuna study of this process
    _seen: int = 0  # the number of its epochs so far

    def __call__(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Whether to give up after these epochs."""
        if self.pruner == "none" or not history:
            return False
        if self._open is None:
            self._open = self._study().ask()
        gives_up = False
        values = self._best_so_far([row[self.column] for row in history])
        for epoch in range(self._seen + 1, len(history) + 1):
            gives_up = self._says(self._open, epoch, values[epoch - 1])
        self._seen = len(history)
        return gives_up

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None, "_seen": 0}

    def _study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(pruner=self._pruner(), direction=self.direction)
        for curve, ended in self.past:  # replayed in full, because a pruner keeps its own notes in a trial
            trial = study.ask()
            values = self._best_so_far(curve)
            for epoch, value in enumerate(values, 1):
                self._says(trial, epoch, value)
            if ended:
                study.tell(trial, values[-1])
            else:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return study

    def _best_so_far(self, curve: Sequence[float]) -> list[float]:
        """The best value up to each epoch, because the best epoch counts in the end, not the last."""
        return list(itertools.accumulate(curve, max if self.direction == "maximize" else min))

    def _pruner(self) -> optuna.pruners.BasePruner:
        from optuna import pruners

        if self.pruner == "asha":
            return pruners.SuccessiveHalvingPruner(min_resource=math.ceil(self.epochs / 7), reduction_factor=3)
        return pruners.MedianPruner()

    @staticmethod
    def _says(trial: optuna.Trial, epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        return trial.should_prune()
