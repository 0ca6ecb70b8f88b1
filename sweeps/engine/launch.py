"""The entry of every study, `main(sweep)`: prints the plan, runs the missing trials, and prints the outcome."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script that stands alone elsewhere must find this `datasets`, and no other

from datasets.engine import cache, fetch, manifest, prepare, splits
from datasets.engine.prepare import Prepared, Source, Wanted
from datasets.engine.refusal import Refusal
from sweeps.engine import estimate
from sweeps.engine.adaptive.looks import LOOK, Rule
from sweeps.engine.code import check_mount, code_state
from sweeps.engine.command.commandline import options_of, study_parser
from sweeps.engine.command.exits import BAD_INPUT, COMPLETE, FAILED, INCOMPLETE, INTERRUPTED, LOCKED
from sweeps.engine.command.options import Options
from sweeps.engine.declared import declaring, lockfile
from sweeps.engine.declared.declaring import PLANNED
from sweeps.engine.display import progress
from sweeps.engine.forecast.budget import Budget
from sweeps.engine.modules import codes
from sweeps.engine.plan import Sweep
from sweeps.engine.report import print_before, print_outcome, print_plan, print_watching
from sweeps.engine.running import cluster, more_seeds, node, rounds
from sweeps.engine.running.tuner import Checks
from sweeps.engine.search.pruning import Judge
from sweeps.engine.search.search import Search
from sweeps.engine.situation import Inputs, Situation, all_wanted, folder_name, trial_tags, wanted_by
from sweeps.engine.small import OTHER_RECORDINGS, pretrainings
from sweeps.engine.store import lock, reconcile, remote
from sweeps.engine.store.optuna_study import check_storage
from sweeps.engine.store.runs import StoreError, read_all
from sweeps.engine.survey import committed, inputs_of, out_of_step, show, unheard
from trainable.device.place import Place
from trainable.result.record import DamagedRecord, Record
from trainable.weights import weights

if TYPE_CHECKING:
    from sweeps.engine.running.drive import Recorder
    from trainable.config import TrialConfig


def main(sweep: Sweep | Search, argv: Sequence[str] | None = None, *others: Sweep | Search) -> None:
    """Runs a sweep or a search from the command line and exits: 0 when all of it is finished, and only then.

    Exits with 2 for input that must be fixed first, 3 when trials are missing, 4 when some failed, 5 when another
    driver runs the same sweep here, 130 when interrupted.

    Args:
        argv: the flags; None for those of the process.
        others: run after it with the same flags, on the same Ray; each only if the one before is complete.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    study = sweep
    signal.signal(signal.SIGTERM, stop)  # what a cluster sends stops a sweep as Ctrl-C does
    try:
        check_mount(getattr(sys.modules["__main__"], "__file__", None))
        with cluster.kept():
            for study in (sweep, *others):
                if code := launch(study, argv):
                    sys.exit(code)
        sys.exit(COMPLETE)
    except Refusal as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        again = shlex.join([sys.executable, *sys.orig_argv[1:]])
        print(f"\nstopped; what is finished is kept, this goes on from the last epochs:\n  {again}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def launch(sweep: Sweep | Search, argv: Sequence[str] | None = None) -> int:
    """Runs a sweep or a search from the command line, and returns the exit code.

    Raises:
        SystemExit: if a flag asks for what cannot be.
        Refusal: if anything must be put right first: corpus, network, checkpoint, budget, store, storage or cluster.
    """
    its_file = sys.modules.get(f"sweeps.{sweep.name}", sys.modules["__main__"])
    parser = study_parser(sweep.name, its_file.__doc__)
    options = options_of(parser.parse_args(argv))
    try:
        plan, rule = _planned(sweep, options)
    except ValueError as error:
        parser.exit(BAD_INPUT, f"{sweep.name}: {error}\n")
    if options.report:
        return _report(sweep.name, options)
    if options.small:
        if options.data_root != parser.get_default("data_root"):
            raise Refusal("--small: invents its recordings; leave out either --small or --data-root")
        options = options.invented((plan.base if isinstance(plan, Search) else plan.trials[0]).corpus)
    return launch_planned(plan, options, rule)


def launch_planned(plan: Sweep | Search, options: Options, rule: Rule | None = None) -> int:
    """Runs a plan, or shows it, and returns the exit code; a rule adds seeds to it.

    Raises:
        Refusal: as `launch`.
    """
    _check_data(_trials(plan), options)
    if rule and not options.why:
        print(f"seeds    one more at a time, {rule}", flush=True)
    if options.dry_run or options.measure or options.why:
        return show(plan, options)
    if not (source := options.source):
        corpus = _trials(plan)[-1].corpus
        raise Refusal(f"--data-root: name the folder that holds {corpus}, or look at the plan with --dry-run")
    with lock.only_driver(options.storage) as alone:
        if not alone:
            print(f"{plan.name}: {lock.refusal(options.storage)}", file=sys.stderr)
            return LOCKED
        with cluster.kept():
            if options.small and (code := _pretrained(plan, options)):
                return code
            if isinstance(plan, Search):
                return _search(plan, source, options)
            return _looked(plan, rule, source, options) if rule else _run(plan, source, options)[0]


def _planned(study: Sweep | Search, options: Options) -> tuple[Sweep | Search, Rule | None]:
    """The sweep or search as the flags change it, and the rule by which seeds are added, if they are.

    Raises:
        ValueError: if a flag's value makes a trial impossible, or a flag asks what is not known before trials have run.
    """
    if isinstance(study, Search):
        flags = {"--budget": options.budget, "--why": options.why, "--until-decided": options.until_decided is not None}
        if asked := [flag for flag, value in flags.items() if value]:
            raise ValueError(f"{asked[0]}: what a search will train is not known before; use --limit")
        return options.planned(study), None
    if options.budget and options.until_decided is not None:
        raise ValueError("--budget: how many seeds --until-decided adds is not known before; use --max-seeds")
    plan = options.planned(study)
    return plan, options.rule(plan)


def _check_data(trials: Sequence[TrialConfig], options: Options) -> None:
    """Refuses corpora and splits that cannot be, and a file of a split that no trial reads."""
    for wanted in all_wanted(trials):
        prepare.check(wanted, options.split_file)
    if (file := options.split_file) and all(trial.split != "published" for trial in trials):
        raise Refusal(f"--split-file {file}: no trial reads it; add --split published, or leave it out")


def _pretrained(plan: Sweep | Search, options: Options) -> int:
    """Runs the trials whose checkpoints a study in miniature starts from; 0 when all of them are finished."""
    before = pretrainings(_trials(plan))
    if not before.trials:
        return COMPLETE
    print_before(before)
    its = options.invented(before.trials[0].corpus, OTHER_RECORDINGS)
    assert its.source
    return _run(before, its.source, its, brief=True, why="")[0]


def _trials(plan: Sweep | Search) -> tuple[TrialConfig, ...]:
    """The trials of a sweep, or the one that a search varies."""
    return (plan.base,) if isinstance(plan, Search) else plan.trials


def _report(name: str, options: Options) -> int:
    """Runs the analysis of the same name as a command; `sweeps` may not import `analysis`."""
    command = [sys.executable, "-m", f"analysis.{name}", *options.as_flags]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode  # noqa: S603


def _search(search: Search, source: Source, options: Options) -> int:
    """Runs the rounds of a search on one Ray."""
    print(search, flush=True)
    check_storage(options.optuna_uri, options.store_uri)
    print_watching(search.name, options)
    code = rounds.run(
        search,
        options.variant,
        lambda plan, judge, display: _run(plan, source, options, judge, brief=True, display=display, why=""),
        options.optuna_uri,
    )
    print_watching(search.name, options)  # now that its runs have an address
    return code


def _looked(plan: Sweep, rule: Rule, source: Source, options: Options) -> int:
    """Runs the sweep, and adds seeds until the rule is content."""

    def more(its: Sweep) -> tuple[int, Situation]:
        first = len(its.trials) == len(plan.trials)
        return _run(its, source, options, brief=not first, why=PLANNED if first else LOOK)

    return more_seeds.run(plan, rule, more)


def _run(
    plan: Sweep,
    source: Source,
    options: Options,
    judge: Judge | None = None,
    brief: bool = False,
    display: Callable[[Situation], rounds.Display] | None = None,
    why: str = PLANNED,
) -> tuple[int, Situation]:
    """Runs what is not done; `why` is told in the sweep's lock, and empty for trials that no lock declares."""
    epochs = _brought(plan, options)
    checkpoints = weights.check(plan.trials, options.weights_dir, options.trials_dir)
    data = {wanted: prepare.prepare(wanted, source, progress.each) for wanted in all_wanted(plan.trials)}
    inputs = {t.key: inputs_of(data[wanted_by(t)], checkpoints[t.key]) for t in plan.trials}
    situation = partial(_situation, plan, data, inputs, options)
    before = unheard(situation(), options)
    if not brief:
        print_plan(before, options)
    declaring.declare(before, options, why)
    budget = estimate.budget_of(before, options)
    failures, stopped, spent = {}, "", None
    if before.to_run:
        outcome = _driven(before, checkpoints, source, options, judge, epochs, budget, display)
        failures, stopped, spent = outcome.failures, outcome.stopped, outcome.spent
    try:
        after = situation()
        if not after.to_run:
            _end_sweep(after, options)
        declaring.note_finished(after, options)
    except StoreError as error:
        print(f"{plan.name}: what trials have committed is safe in {options.storage}, but {error}", file=sys.stderr)
        return INCOMPLETE, before
    code = COMPLETE if not after.to_run else FAILED if failures else INCOMPLETE
    if not brief or code:
        print_outcome(after, options, failures, spent)
    if stopped:
        print(stopped, file=sys.stderr)
    return code, after


def _brought(plan: Sweep, options: Options) -> dict[str, int]:
    """Fetches corpus and committed results from their URIs; returns the epochs trained there, by trial folder."""
    if corpus := options.corpus_store:
        fetch.bring(corpus, progress.each)
    earlier = {t.weights.removeprefix("run:") for t in plan.trials if t.weights.startswith("run:")}
    if not (storage := options.object_store):
        return {}
    lockfile.fetch(storage, plan.name)
    return remote.pull(storage, print, earlier)


def _situation(
    plan: Sweep, data: Mapping[Wanted, Prepared], inputs: Mapping[str, Inputs], options: Options
) -> Situation:
    """The state of the plan, once storage and store agree."""
    by_folder = committed(plan, inputs, options.storage)
    gone = _into_step(by_folder, options)
    records = {r.key: r for folder, r in by_folder.items() if folder not in gone}
    runs = read_all(options.store_uri)
    trials, sweeps = ([r for r in runs if ("key" in r.tags) == own] for own in (True, False))
    now = Situation(plan, options.variant, data, inputs, trials, records, sweeps=sweeps)
    return estimate.predicted(now, options)


def _into_step(records: Mapping[Path, Record], options: Options) -> set[Path]:
    """Finishes the work of a dead driver or after an outage of the store; returns the folders whose records are gone.

    Raises:
        DamagedRecord: if files of committed trials are damaged, when all the others are repaired.
    """
    repairs = out_of_step(records, options.store_uri, options.storage)
    storage = options.object_store
    damaged = {} if storage else reconcile.damaged(records, repairs)  # files at a URI were compared when fetched
    if repairs := [repair for repair in repairs if repair.folder not in damaged]:
        from sweeps.engine.store.store import Store

        store = Store(options.store_uri)
        for repair in repairs:
            print(f"repair   {repair}", flush=True)
        reconcile.apply_all(repairs, store, records, storage)
    if damaged:
        raise DamagedRecord("\n".join(damaged.values()))
    return {r.folder for r in repairs if r.kind == "forget" and r.folder}


def _driven(
    situation: Situation,
    checkpoints: Mapping[str, Path | None],
    source: Source,
    options: Options,
    judge: Judge | None,
    epochs: Mapping[str, int],
    budget: Budget | None,
    display: Callable[[Situation], rounds.Display] | None = None,
) -> Recorder:
    """Runs the trials, and returns what was recorded of them.

    What fails should fail first, and what takes long goes on side by side: Ray starts in a process of its own, and
    workers load PyTorch and check the networks while this process loads the store and resamples audio.
    """
    checks = joined(situation.to_run, checkpoints, options.nice)
    from sweeps.engine.running.drive import drive
    from sweeps.engine.store.store import Store

    store = Store(options.store_uri)
    places = _places(situation, checkpoints, source, options, checks)
    places = {k: replace(p, gives_up=judge) for k, p in places.items()}
    if storage := options.object_store:
        places = node.portable(storage, places, epochs)
    checks.raise_known()
    checked = False

    def ready() -> None:
        nonlocal checked
        if not checked:
            checks.raise_known(None)
            checked = True
            weights.remember(situation.to_run, checkpoints, options.weights_dir, options.trials_dir)

    shown = display(situation) if display else None
    return drive(situation, places, store, options.storage, options.asked, budget, ready, shown)


def joined(trials: Sequence[TrialConfig], checkpoints: Mapping[str, Path | None], nice: int) -> Checks:
    """Starts or joins Ray, and has a worker check the networks; prints so once, even in a search of many rounds."""
    began, is_first = time.monotonic(), not cluster.is_joined()

    def say(line: str) -> None:
        print(f"start    {line}", flush=True)

    if is_first:
        say("Ray on this machine" if cluster.is_own() else "joining the cluster")
    cluster.begin(nice)
    cluster.join(say)
    if is_first:
        say(f"Ray is up after {time.monotonic() - began:.0f} s; opening the store, and workers load PyTorch")
    checks = Checks(trials, checkpoints)
    from sweeps.engine.running import hooks  # noqa: F401 - loads Ray Tune, while the worker loads PyTorch

    return checks


def _places(
    situation: Situation,
    checkpoints: Mapping[str, Path | None],
    source: Source,
    options: Options,
    checks: Checks,
) -> dict[str, Place]:
    """The places of each trial's clips (made now if missing), split, weights and results, by key."""

    def checked(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        for item in progress.each(items, total, what):
            checks.raise_known()  # minutes of resampling need not be waited for
            yield item

    storage, places = options.storage, {}
    common, code = {**code_state(), "storage": reconcile.storage_id(storage)}, codes(situation.to_run)
    for wanted in all_wanted(situation.to_run):
        data, trials = situation.data[wanted], [t for t in situation.to_run if wanted_by(t) == wanted]
        if cluster.is_own():  # every file is decoded once for all rates; on other nodes the first trial builds its own
            prepare.clips(data, [t.data_hz for t in trials], wanted.cut, source, checked)
        split = splits.write(data.split, storage / "splits")
        scan = manifest.write(data.scan, storage / "scans")
        for trial in trials:
            folder = storage / "trials" / folder_name(trial, situation.inputs[trial.key])
            tags = trial_tags(situation, trial, {**common, **code[trial.key].tags})
            clips = cache.entry(data.scan, trial.data_hz, wanted.cut, source.cache_dir)
            start = checkpoints[trial.key]
            places[trial.key] = Place(
                clips, split, start, folder, options.cpus_per_trial, tags, options.hang_after, scan, options.data_uri
            )
    return places


def _end_sweep(situation: Situation, options: Options) -> None:
    """Marks the sweep's run as finished, after a driver was killed or the store was lost."""
    own, mine = situation.own_run, reconcile.storage_id(options.storage)
    if own is None or own.status == "FINISHED" or (own.status == "RUNNING" and own.tags.get("storage") != mine):
        return
    from sweeps.engine.store.store import Store

    store = Store(options.store_uri)
    tags = {**situation.sweep_tags, "storage": mine}
    run_id = store.open_sweep(situation.sweep.name, situation.variant, tags)
    for prepared in situation.data.values():
        store.attach(run_id, splits.write(prepared.split, options.storage / "splits"))
    store.end(run_id, "FINISHED")
