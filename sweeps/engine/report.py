"""The text that a sweep prints before and after it runs."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.engine.splits import ROLES
from sweeps.engine import costing
from sweeps.engine.plan import Sweep
from sweeps.engine.situation import wanted_by
from sweeps.engine.store import pages
from trainable.config import CLIPS

if TYPE_CHECKING:
    from sweeps.engine.command.options import Options
    from sweeps.engine.estimate import Spent
    from sweeps.engine.situation import Situation
    from trainable.config import TrialConfig

MAX_LINES = 24


def print_before(pretrainings: Sweep) -> None:
    """Prints how many networks a study in miniature pre-trains first, if it does."""
    if number := len(pretrainings.trials):
        networks = f"{number} small network{'s' * (number > 1)}"
        print(f"before   pre-training of {networks} on other invented recordings", flush=True)


def print_plan(situation: Situation, options: Options, planned: str = "") -> None:
    """Prints the trials, those done and those to run, the data, and where results go.

    Args:
        planned: what a search plans; its trials only stand for those that it will propose.
    """
    sweep, data, to_run = situation.sweep, situation.data, situation.to_run
    say = _Lines()
    say("sweep", sweep.name + (f" with {situation.variant}" if situation.variant else ""))
    say("trials", planned or f"{len(sweep.trials)} planned{_state(situation, options.data_root)}")
    _say_data(say, situation)
    for trial in {t.weights: t for t in sweep.trials}.values():
        say("weights", trial.weights + (f", from {options.weights_dir}" if trial.weights == "published" else ""))
    for reason, number in Counter(situation.refused.values()).items():
        say("refused", f"{number} trial{'s' * (number > 1)}: {reason}")
    for stamp, number in Counter(situation.heard.values()).items():
        say("heard", f"{number} trial{'s' * (number > 1)} start from runs that were trained on: {stamp}")
    size = f"{clip_bytes(situation) / 1e9:.2f} GB at all rates of the plan" if data else "size unknown without a corpus"
    say("clips", f"{options.cache_dir}: {size}")
    say("store", options.store_uri)
    kept = [t for t in to_run if t.score_on == "test"]  # a search keeps numbers alone
    num_bytes = sum(4 * (t.card.num_parameters or 0) * t.width**2 for t in kept)
    least = "at least " * any(t.card.num_parameters is None for t in kept)
    held = f"{least}{num_bytes / 1e9:.2f} GB of kept weights, and 8 times a network for each running trial"
    say("storage", f"{options.remote or options.storage}: {held}")
    for heading, line in costing.plan_lines(situation, options):
        say(heading, line)
    known = len(situation.inputs) == len(sweep.trials)
    lines = [] if planned else _cells(sweep, to_run)
    for line in lines[:MAX_LINES]:
        say("to run" if known else "planned", line)
    if len(lines) > MAX_LINES:
        say("", f"and {len(lines) - MAX_LINES} cells more")
    print(flush=True)


def _state(situation: Situation, data_root: Path | None) -> str:
    """The number of trials that are done, as far as it is known."""
    if not situation.data:
        if not data_root:
            return "; how many are done is unknown: name the corpus with --data-root"
        return f"; how many are done is unknown: {data_root} was not read yet, or has bad files; a run reads it"
    unknown = len(situation.sweep.trials) - len(situation.inputs)
    rest = f"; of {unknown} it is unknown without their checkpoints or corpus" if unknown else ""
    return f", {len(situation.done)} done, {len(situation.to_run) - unknown} to run{rest}"


def _say_data(say: _Lines, situation: Situation) -> None:
    said = set()
    for prepared in situation.data.values():
        corpus, recordings = prepared.scan.corpus, prepared.scan.corpus.recordings
        data = f"{corpus.name} in {corpus.root}: {len(recordings)} recordings of {', '.join(corpus.classes)}"
        for heading, text in (("data", data), *(("", note) for note in prepared.notes)):
            if (data, text) not in said:  # the folds of a cross-validation share theirs
                say(heading, text)
            said.add((data, text))
    for prepared in situation.data.values():
        roles = ", ".join(f"{role} {prepared.counts[role][0]} ({prepared.counts[role][1]} clips)" for role in ROLES)
        say("split", f"{prepared.split.name}: {roles}")


def print_outcome(situation: Situation, options: Options, failures: dict[str, str], spent: Spent | None = None) -> None:
    """Prints what finished, what did not and why, the time beside its prediction, and the command for the table."""
    sweep = situation.sweep
    print(f"\n{len(situation.done)} of {len(sweep.trials)} trials of {sweep.name} are finished")
    for trial in situation.to_run:
        if reason := failures.get(trial.key, "").strip():
            print(f"  {sweep.title(trial)} (key {trial.key}) failed: {reason.splitlines()[-1]}")
    if spent and (line := costing.outcome_line(situation, spent, options)):
        print(f"took:   {line}")
    words = shlex.join([*options.as_flags, *_which_data(situation)])
    print(f"table:  python -m analysis.{sweep.study} {words}".rstrip())
    for heading, way in zip(("runs:", ""), pages.ways(options.store_uri, sweep.name), strict=False):
        print(f"{heading:<8}{way}", flush=True)


def print_watching(name: str, options: Options) -> None:
    """Prints how to watch a search: its trials in MLflow, and its Optuna study."""
    for heading, way in zip(("runs", ""), pages.ways(options.store_uri, name), strict=False):
        print(f"{heading:<9}{way}")
    print(f"study    optuna-dashboard {shlex.quote(options.optuna_uri)}", flush=True)


def _cells(sweep: Sweep, trials: Iterable[TrialConfig]) -> list[str]:
    """Each cell with its seeds."""
    cells = defaultdict(list)
    for trial in trials:
        cells[sweep.cell(trial)].append(trial.seed)
    return [f"{cell}, seed {listed(seeds)}" for cell, seeds in cells.items()]


def listed(seeds: Iterable[int]) -> str:
    """Seeds in order, `1-3, 7` for 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    words = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words)


def clip_bytes(situation: Situation) -> int:
    """The disk space of the plan's clips, at two bytes per sample; splits of the same recordings share their clips."""
    size_of = {}
    for trial in situation.sweep.trials:
        if prepared := situation.data.get(wanted_by(trial)):
            num_clips = sum(clips for _, clips in prepared.counts.values())
            size_of[prepared.scan.sha256, trial.only(CLIPS), trial.data_hz] = 2 * num_clips * trial.num_samples
    return sum(size_of.values())


def _which_data(situation: Situation) -> list[str]:
    """The flag that selects these data, where the same trials have also finished on others."""
    mine = {inputs.data_sha256 for inputs in situation.inputs.values()}
    keys = {t.key for t in situation.sweep.trials}
    others = {r.tags.get("data_sha256") for r in situation.runs if r.key in keys and r.status == "FINISHED"} - mine
    return ["--data", mine.pop()[:12]] if others and len(mine) == 1 else []


class _Lines:
    """A printer of lines under headings; each heading is printed once."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, heading: str, text: str) -> None:
        print(f"{'' if heading == self._last else heading:<9}{text}")
        self._last = heading or self._last
