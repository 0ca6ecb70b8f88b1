"""A table's history: what was declared before its trials ran, what came later, and the finished seeds it leaves out."""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from analysis.engine.mixed import HASHES
from analysis.engine.rows import finished_runs
from analysis.engine.tables.cells import Table
from sweeps.engine.adaptive import looks
from sweeps.engine.adaptive.contrasts import extended, seeds_of, setting, settings, with_seed
from sweeps.engine.adaptive.looks import LOOK, Rule, State
from sweeps.engine.command.options import Options
from sweeps.engine.declared import lockfile
from sweeps.engine.declared.lockfile import Declared, Lock, lock_path
from sweeps.engine.plan import Sweep
from sweeps.engine.report import listed
from sweeps.engine.store.runs import Run
from trainable.config import TrialConfig

AnyTable = TypeVar("AnyTable", bound=Table)
UNKNOWN = (
    "Nothing is known of what was declared before these trials ran: their storage has no lock of this sweep "
    "(locks/{name}.lock)."
)
BY_HAND = (
    "Tests and intervals over seeds take the number of seeds as fixed beforehand; it was not, so that they are too "
    "certain. Seeds that --until-decided adds are counted with their looks."
)
WITH_LOOKS = "Tests and intervals over seeds elsewhere in this report take the number of seeds as fixed beforehand."


@dataclass(frozen=True)
class History:
    """The sweep with the seeds that looks have added, and what its tables must say of its past."""

    sweep: Sweep
    left_out: str  # the finished seeds that its tables leave out; empty if there are none
    sentences: tuple[str, ...]
    lock: Lock

    def stamped(self, table: AnyTable) -> AnyTable:
        """A table whose captions tell the history."""
        return dataclasses.replace(table, left_out=self.left_out, history=self.sentences)

    def note_report(self, options: Options, about: Mapping[str, Any]) -> None:
        """Adds a report to the lock, if there is one, unless the last was alike: whoever reads it has looked.

        Args:
            options: the flags.
            about: the choices of the report, such as its margin.
        """
        seeds = seeds_of(self.sweep.trials)
        about = {**about, "variant": options.variant, "seeds": seeds, "trials": len(self.sweep.trials)}
        last = {n: value for n, value in (self.lock.reported or ({},))[-1].items() if n != "date"}
        if not self.lock.declared or last == about:
            return
        path = lock_path(options.storage, self.sweep.name)
        try:
            lockfile.append(path, lockfile.reported_entry(about))
        except OSError as error:
            print(f"{path}: this report is not noted there ({error.strerror})", file=sys.stderr)


def history_of(sweep: Sweep, options: Options, runs: Sequence[Run], data: str) -> History:
    """The history of a sweep as the flags plan it.

    Args:
        sweep: the sweep.
        options: the flags.
        runs: what the store holds.
        data: first digits of the data or split hash that runs must have; empty for any.

    Raises:
        ValueError: if --until-decided has nothing to compare.
        BadLock: if its lock cannot be read.
    """
    rule = options.rule(sweep)
    lock = lockfile.read(lock_path(options.storage, sweep.name))
    sentences: list[str] = []
    if rule:
        state = looks.state_of(rule, _scores(sweep, rule, runs, data))
        sweep = extended(sweep, state.added)
        sentences += _decided(rule, state, sweep)
    sentences += told(lock, sweep, options.variant) if lock.declared else [UNKNOWN.format(name=sweep.name)]
    return History(sweep, left_out(sweep, runs, data), tuple(sentences), lock)


def with_added_seeds(sweep: Sweep, options: Options, runs: Sequence[Run], data: str) -> Sweep:
    """The sweep with the seeds that looks have added, if the flags ask for them.

    Raises:
        ValueError: if --until-decided has nothing to compare.
    """
    rule = options.rule(sweep)
    return extended(sweep, looks.state_of(rule, _scores(sweep, rule, runs, data)).added) if rule else sweep


def left_out(sweep: Sweep, runs: Sequence[Run], data: str = "") -> str:
    """A sentence on the finished seeds of the sweep's settings that are not in it; empty if there are none.

    Only trials on the same data, split and weights as those of the sweep count.
    """
    planned = {setting(trial): set[int]() for trial in sweep.trials}
    for trial in sweep.trials:
        planned[setting(trial)].add(trial.seed)
    stored = {
        int(seed) for run in runs if run.status == "FINISHED" and (seed := run.params.get("seed", "")).isdecimal()
    }
    others = {with_seed(one, seed): one for one, its in planned.items() for seed in stored - its}
    found = finished_runs(Sweep(sweep.name, tuple(others)), runs, data) if others else {}
    inputs = defaultdict(set)
    mine = finished_runs(sweep, runs, data)
    for trial in sweep.trials:
        if run := mine.get(trial.key):
            inputs[setting(trial)].add(_hashes(run))
    missing: dict[TrialConfig, list[int]] = defaultdict(list)
    for trial, one in others.items():
        if (run := found.get(trial.key)) and (not inputs[one] or _hashes(run) in inputs[one]):
            missing[one].append(trial.seed)
    by_seeds: dict[tuple[int, ...], int] = defaultdict(int)
    for seeds in missing.values():
        by_seeds[tuple(sorted(seeds))] += 1
    parts = [f"{_seeds(seeds)} of {_of(number, len(planned))}" for seeds, number in by_seeds.items()]
    return f"Left out, although finished in the store: {'; '.join(parts)}." if parts else ""


def told(lock: Lock, sweep: Sweep, variant: str) -> list[str]:
    """Sentences on what the lock declared of a sweep's trials, when, and what of it the sweep leaves out."""
    rest = {trial.key: trial for trial in sweep.trials}
    groups: dict[tuple[str, str], list[_Part]] = defaultdict(list)  # of one reason and day, and there are few of them
    for entry in lock.declared:
        if trials := [rest.pop(key) for key in entry.trials if key in rest]:
            groups[entry.why, _day(entry.date)].append(_Part(entry, trials))
    said = [_entries(parts, lock) for parts in groups.values()]
    if rest:
        said.append(f"Not declared in this storage: {_trials([*rest.values()])}.")
    entries = [part.entry for parts in groups.values() for part in parts]
    return [
        *said,
        *_not_shown(lock, {trial.key for trial in sweep.trials}, variant),
        *_margins(lock),
        *_caution(entries),
    ]


class _Part(NamedTuple):
    """The trials of a table that one entry declared."""

    entry: Declared
    trials: list[TrialConfig]


def _entries(parts: Sequence[_Part], lock: Lock) -> str:
    """A sentence on trials that were declared on one day for one reason."""
    first, trials = parts[0].entry, [trial for part in parts for trial in part.trials]
    already = sum(part.entry.already for part in parts)
    late = f", when {already} of the trials declared then had finished already" if already else ""
    if first is lock.declared[0]:
        return f"Declared on {_day(first.date)}{late or ', before any of them had finished'}: {_trials(trials)}."
    reports = [report["date"] for report in lock.reported if report["date"] <= first.date]
    seen = f" and after a report of {_day(reports[0])}" if reports else ""
    how = ", one by one by --until-decided" if first.why == LOOK else ""
    earlier = f"after {first.finished_before} of the trials declared before had finished{seen}"
    return f"Added on {_day(first.date)}, {earlier}{how}{late}: {_trials(trials)}."


def _not_shown(lock: Lock, shown: Collection[str], variant: str) -> list[str]:
    """Sentences on declared trials that are not in the table, and on other variants of the sweep."""
    variants = {entry.about["variant"] for entry in lock.declared} - {variant}
    mine = {k: its for entry in lock.declared if entry.about["variant"] == variant for k, its in entry.trials.items()}
    seeds = [its["seed"] for key, its in mine.items() if key not in shown]
    said = [f"Of {len(mine)} declared trials, {len(seeds)} are not in this table ({_seeds(seeds)})."] if seeds else []
    others = f"{len(variants)} other variant{'s' * (len(variants) > 1)}"
    return [*said, *[f"The lock also declares {others} of this sweep, with other settings."] * bool(variants)]


def _margins(lock: Lock) -> list[str]:
    """A sentence on reports with several margins, which may have been chosen by their results."""
    margins = dict.fromkeys(report["margin_points"] for report in lock.reported if "margin_points" in report)
    if len(margins) < 2:
        return []
    return [f"Reports have been written with margins of {' and '.join(f'{margin:g}' for margin in margins)} points."]


def _caution(entries: Iterable[Declared]) -> list[str]:
    """A sentence on tests that do not know of looks, where there were any."""
    later = [entry.why for entry in entries if entry.finished_before or entry.already]
    return [WITH_LOOKS if {*later} == {LOOK} else BY_HAND] if later else []


def _decided(rule: Rule, state: State, sweep: Sweep) -> list[str]:
    """Sentences on the looks: each contrast, and what the decisions are about."""
    share = sweep.trials[0].main_score.is_share
    added = _seeds(seeds_of(state.added)) if state.added else "no seed"
    more = " The next look is not complete." if state.next else ""
    return [
        f"Seeds were added after looks ({added}), {rule}.{more}",
        *(f"{decision.said(share)}." for decision in state.decisions),
        looks.meaning(rule),
    ]


def _scores(sweep: Sweep, rule: Rule, runs: Sequence[Run], data: str) -> dict[str, float]:
    """The scores of all trials that the rule may ask for, by key."""
    possible = extended(sweep, [with_seed(one, seed) for one in settings(sweep) for seed in rule.seeds])
    found = finished_runs(possible, runs, data)
    return {t.key: found[t.key].metrics[t.listed_by] for t in possible.trials if t.key in found}


def _trials(trials: Sequence[TrialConfig]) -> str:
    number = len({setting(trial) for trial in trials})
    return f"{_seeds(seeds_of(trials))} of {number} setting{'s' * (number > 1)}"


def _seeds(seeds: Iterable[int]) -> str:
    seeds = set(seeds)
    return f"seed{'s' * (len(seeds) > 1)} {listed(seeds)}"


def _of(number: int, total: int) -> str:
    if number == total:
        return {1: "the setting", 2: "both settings"}.get(total, f"all {total} settings")
    return f"{number} of {total} settings"


def _hashes(run: Run) -> tuple[str, ...]:
    return tuple(run.tags.get(name, "") for name in HASHES)


def _day(date: datetime) -> str:
    return f"{date:%Y-%m-%d}"
