"""Answers about a plan without running it: a dry run, a measurement, and why a trial will run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.engine import fetch, prepare
from datasets.engine.prepare import Prepared
from datasets.engine.remote import RemoteError
from sweeps.engine import estimate, why
from sweeps.engine.command.exits import COMPLETE, INCOMPLETE
from sweeps.engine.command.options import Options
from sweeps.engine.display import progress
from sweeps.engine.plan import Sweep
from sweeps.engine.report import print_before, print_plan
from sweeps.engine.running import measure
from sweeps.engine.search.search import Search
from sweeps.engine.situation import Inputs, Situation, all_wanted, folder_name, wanted_by
from sweeps.engine.small import pretrainings
from sweeps.engine.store import reconcile, remote
from sweeps.engine.store.reconcile import Repair
from sweeps.engine.store.runs import read_runs
from trainable.result import record
from trainable.result.record import DamagedRecord, Record
from trainable.weights import weights
from trainable.weights.heard import Heard, HeardBefore, heard_of_test, refusal
from trainable.weights.weights import MissingWeights, WrongWeights

if TYPE_CHECKING:
    from trainable.config import TrialConfig


def show(plan: Sweep | Search, options: Options) -> int:
    """Measures the plan's cells if it is asked to, and prints the plan, or why its trials will run.

    Returns:
        Exit code: 0, or 2 if --why names no trial of the plan, 3 if a cell could not be measured.

    Raises:
        CorpusError: for a measurement, if the corpus must be fixed first.
        StoreError: if the store cannot be read.
        DamagedRecord: if a committed trial's record or files are damaged.
        RemoteError: if a storage or corpus at a URI cannot be.
    """
    planned = ""
    if isinstance(plan, Search):
        print(plan)
        planned = f"{plan.num_trials} evaluations and {len(plan.confirm_seeds)} confirmations planned"
        at_once = min(options.max_concurrent or plan.at_once, plan.at_once)
        options = dataclasses.replace(options, max_concurrent=at_once)
        plan = Sweep(plan.name, plan.stand_ins(), study=plan.study)
    refused = _measured(plan, options) if options.measure else {}
    situation = from_memory(plan, options)
    if options.why:
        return why.explain(situation, options.why, options.storage)
    if options.small:
        print_before(pretrainings(plan.trials))
    print_plan(situation, options, planned)
    for cell, reason in refused.items():
        print(f"not measured {cell}: {reason}")
    return INCOMPLETE if refused else COMPLETE


def _measured(plan: Sweep, options: Options) -> dict[str, str]:
    """Measures the plan's cells, and reads the corpus if there is one: the plan must know how many clips it has."""
    if corpus := options.corpus_store:
        fetch.bring(corpus, progress.each)
    if source := options.source:
        for wanted in all_wanted(plan.trials):
            prepare.prepare(wanted, source, progress.each)
    return measure.measure_cells(plan.trials, options.storage, options.asked)


def from_memory(plan: Sweep, options: Options) -> Situation:
    """The situation as far as it is known: no audio is read, and a missing checkpoint is noted, not refused."""
    damage = remote.checker(storage) if (storage := options.object_store) else record.damage
    source = options.source
    if (corpus := options.corpus_store) and not corpus.local.exists():
        source = None
    known = {wanted: prepare.remembered(wanted, source) for wanted in all_wanted(plan.trials)} if source else {}
    data = {wanted: prepared for wanted, prepared in known.items() if prepared}
    inputs, refused = {}, {}
    for trial in plan.trials:
        try:
            checkpoint = weights.locate(trial, options.weights_dir, options.trials_dir)
        except (MissingWeights, WrongWeights) as error:
            if not (options.small and trial.weights.startswith("run:")):  # which a run would pre-train first
                refused[trial.key] = str(error)
        else:
            if prepared := data.get(wanted_by(trial)):
                inputs[trial.key] = inputs_of(prepared, checkpoint)
    records = committed(plan, inputs, options.storage)
    if records:
        repairs = out_of_step(records, options.store_uri, options.storage)
        if damaged := reconcile.damaged(records, repairs, damage):
            raise DamagedRecord("\n".join(damaged.values()))
        forgotten = {r.folder for r in repairs if r.kind == "forget"}
        records = {folder: kept for folder, kept in records.items() if folder not in forgotten}
    runs, by_key = read_runs(options.store_uri), {r.key: r for r in records.values()}
    now = Situation(plan, options.variant, data, inputs, runs, by_key, refused)
    heard = heard_by(now, options)
    against = (
        {} if options.allow_heard else {t.key: refusal(t, heard[t.key]) for t in plan.trials if _is_heard(heard, t)}
    )
    stamps = {key: its.stamp for key, its in heard.items() if key not in against}
    return estimate.predicted(dataclasses.replace(now, refused=refused | against, heard=stamps), options)


def heard_by(situation: Situation, options: Options) -> dict[str, Heard]:
    """The part of its test that each trial's starting weights have heard, by key; trials with none are left out."""

    def fetched(name: str) -> None:
        if storage := options.object_store:
            with suppress(RemoteError):
                storage.get(name)

    known, found = {}, {}
    for trial in (t for t in situation.to_run if t.key in situation.inputs):  # whose checkpoint is here
        if trial.weights.startswith("run:") and (data := situation.data.get(wanted := wanted_by(trial))):
            if (trial.weights, wanted) not in known:  # the seeds of a cell share theirs
                known[trial.weights, wanted] = heard_of_test(trial, data, options.trials_dir, fetched)
            found[trial.key] = known[trial.weights, wanted]
    return {key: its for key, its in found.items() if its.stamp}


def unheard(situation: Situation, options: Options) -> Situation:
    """The situation with the stamps of trials whose starting weights have heard some of their tests.

    Raises:
        HeardBefore: if any have, and the flags do not allow it.
    """
    heard = heard_by(situation, options)
    against = dict.fromkeys(refusal(t, heard[t.key]) for t in situation.to_run if _is_heard(heard, t))
    if against and not options.allow_heard:
        raise HeardBefore("\n".join(against))
    return dataclasses.replace(situation, heard={key: its.stamp for key, its in heard.items()})


def _is_heard(heard: Mapping[str, Heard], trial: TrialConfig) -> bool:
    return trial.key in heard and bool(heard[trial.key].both)


def committed(plan: Sweep, inputs: Mapping[str, Inputs], storage: Path) -> dict[Path, Record]:
    """The records that the plan's trials have committed on these inputs, by folder."""
    trials = storage / "trials"
    there = {path.name for path in trials.iterdir()} if trials.is_dir() else set()  # or 10,000 files are looked for
    names = (folder_name(t, inputs[key]) for t in plan.trials if (key := t.key) in inputs)
    return reconcile.committed(trials / name for name in names if name in there)


def out_of_step(records: Mapping[Path, Record], store_uri: str, storage: Path) -> list[Repair]:
    """The repairs that bring the store and the committed records into step."""
    return reconcile.out_of_step(records, store_uri, reconcile.storage_id(storage))


def inputs_of(data: Prepared, checkpoint: Path | None) -> Inputs:
    """The hashes of a trial's inputs."""
    return Inputs(data.scan.sha256, data.split.sha256, weights.sha256(checkpoint) if checkpoint else "none")
