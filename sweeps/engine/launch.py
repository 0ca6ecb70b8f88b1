"""`main(sweep)`: what a study does when it is started. Prints the plan, runs what is missing, says what came of it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script that stands alone elsewhere must find this `datasets`, and no other

from datasets.engine import cache, fetch, manifest, prepare, splits
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Prepared, Source, Wanted
from datasets.engine.remote import Remote, RemoteError
from sweeps.engine import options, progress
from sweeps.engine.code import StaleMount, check_mount, code_state
from sweeps.engine.forecast import estimate
from sweeps.engine.forecast.budget import Budget, NoBudget
from sweeps.engine.modules import codes
from sweeps.engine.plan import Sweep
from sweeps.engine.report import print_outcome, print_plan, print_watching
from sweeps.engine.running import cluster, node
from sweeps.engine.running.cluster import WrongEnvironment
from sweeps.engine.running.own_ray import RayError
from sweeps.engine.running.tuner import Checks
from sweeps.engine.search import rounds
from sweeps.engine.search.optuna_study import check_storage
from sweeps.engine.search.pruning import Judge
from sweeps.engine.search.search import Search
from sweeps.engine.situation import Inputs, Situation, all_wanted, folder_name, trial_tags, wanted_by
from sweeps.engine.store import lock, reconcile, remote
from sweeps.engine.store.runs import StoreError, read_all
from sweeps.engine.survey import committed, inputs_of, look, out_of_step, study_parser
from trainable.device.place import Place
from trainable.network.card import BackboneError
from trainable.result.record import DamagedRecord, Record
from trainable.weights import weights
from trainable.weights.weights import MissingWeights, WrongWeights

if TYPE_CHECKING:
    from sweeps.engine.running.drive import Recorder
    from trainable.config import TrialConfig

REFUSALS = (
    BackboneError,
    CorpusError,
    DamagedRecord,
    MissingWeights,
    NoBudget,
    RayError,
    RemoteError,
    StaleMount,
    StoreError,
    WrongEnvironment,
    WrongWeights,
)
COMPLETE, BAD_INPUT, INCOMPLETE, FAILED, LOCKED, INTERRUPTED = 0, 2, 3, 4, 5, 130


def main(sweep: Sweep | Search, argv: Sequence[str] | None = None) -> None:
    """Runs a sweep or a search from the command line and exits: 0 when all of it is finished, and only then.

    Exits with 2 for input that must be fixed first, 3 when trials are missing, 4 when some failed, 5 when another
    driver runs the same sweep here, 130 when interrupted.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # what a cluster sends stops a sweep as Ctrl-C does
    try:
        check_mount(getattr(sys.modules["__main__"], "__file__", None))
        sys.exit(launch(sweep, argv))
    except REFUSALS as error:
        print(f"{sweep.name}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        again = shlex.join([sys.executable, *sys.argv])
        print(f"\nstopped; what is finished is kept, this goes on from the last epochs:\n  {again}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def launch(sweep: Sweep | Search, argv: Sequence[str] | None = None) -> int:
    """The same, returning the exit code.

    Raises:
        SystemExit: if a flag asks for what cannot be.
        BackboneError: if a network does not exist, or cannot take the clips.
        CorpusError: if the corpus must be fixed first.
        MissingWeights, WrongWeights: if a checkpoint is missing, or not the one that it should be.
        NoBudget: if what the trials take is not known, and they may not take more than so much.
        StoreError: if the store cannot be read or written.
        RemoteError: if a storage or corpus at a URI cannot be.
        WrongEnvironment: if a node has other versions than this one.
        RayError: if Ray does not start, or does not answer.
    """
    parser = study_parser(sweep.name, sys.modules["__main__"].__doc__)
    args = parser.parse_args(argv)
    args.weights_dir = args.weights_dir or args.storage / "weights"
    args.cache_dir = args.cache_dir or args.storage / "cache"
    if isinstance(sweep, Search) and (flag := "--budget" if args.budget else "--why" if args.why else ""):
        parser.exit(BAD_INPUT, f"{sweep.name}: {flag}: what a search will train is not known before; use --limit\n")
    try:
        plan = options.planned(sweep, args)
    except ValueError as error:
        parser.exit(BAD_INPUT, f"{sweep.name}: {error}\n")
    source = Source(args.data_root, args.cache_dir, args.split_file, args.bad_files) if args.data_root else None
    if args.report:
        return _report(sweep.name, args)
    for wanted in all_wanted((plan.base,) if isinstance(plan, Search) else plan.trials):
        prepare.check(wanted, args.split_file)
    if args.dry_run or args.probe or args.why:
        return look(plan, source, args)
    if source is None:
        raise CorpusError(
            f"--data-root: name the folder that holds {wanted.corpus}, or look at the plan with --dry-run"
        )
    with lock.only_driver(args.storage) as alone:
        if not alone:
            print(f"{plan.name}: {lock.refusal(args.storage)}", file=sys.stderr)
            return LOCKED
        return _search(plan, source, args) if isinstance(plan, Search) else _run(plan, source, args)[0]


def _search(search: Search, source: Source, args: argparse.Namespace) -> int:
    """Runs the rounds of a search on one Ray."""
    print(search, flush=True)
    check_storage(options.optuna_uri(args), options.store_uri(args))
    print_watching(search.name, args)
    with cluster.kept():
        code = rounds.run(
            search,
            options.variant(args),
            lambda plan, judge, display: _run(plan, source, args, judge, brief=True, display=display),
            options.optuna_uri(args),
        )
    print_watching(search.name, args)  # now that its runs have an address
    return code


def _report(name: str, args: argparse.Namespace) -> int:
    """Runs the analysis of the same name, which may not be imported here: it stands above the sweeps."""
    command = [sys.executable, "-m", f"analysis.{name}", *options.as_flags(args)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode  # noqa: S603


def _run(
    plan: Sweep,
    source: Source,
    args: argparse.Namespace,
    judge: Judge | None = None,
    brief: bool = False,
    display: Callable[[Situation], rounds.Display] | None = None,
) -> tuple[int, Situation]:
    epochs = _brought(plan, args)
    checkpoints = weights.check(plan.trials, args.weights_dir, args.storage / "trials")
    data = {wanted: prepare.prepare(wanted, source, progress.each) for wanted in all_wanted(plan.trials)}
    inputs = {t.key: inputs_of(data[wanted_by(t)], checkpoints[t.key]) for t in plan.trials}

    def situation() -> Situation:
        return _situation(plan, data, inputs, args)

    before = situation()
    if not brief:
        print_plan(before, args)
    budget = estimate.budget_of(before, args)
    failures, stopped, spent = {}, "", None
    if before.to_run:
        outcome = _driven(before, checkpoints, source, args, judge, epochs, budget, display)
        failures, stopped, spent = outcome.failures, outcome.stopped, outcome.spent
    try:
        after = situation()
        if not after.to_run:
            _end_sweep(after, args)
    except StoreError as error:
        print(f"{plan.name}: what trials have committed is safe in {args.storage}, but {error}", file=sys.stderr)
        return INCOMPLETE, before
    code = COMPLETE if not after.to_run else FAILED if failures else INCOMPLETE
    if not brief or code:
        print_outcome(after, args, failures, spent)
    if stopped:
        print(stopped, file=sys.stderr)
    return code, after


def _situation(
    plan: Sweep, data: Mapping[Wanted, Prepared], inputs: Mapping[str, Inputs], args: argparse.Namespace
) -> Situation:
    """What is done of the plan, once storage and store are in step."""
    found = committed(plan, inputs, args.storage)
    gone = _into_step(found, args)
    records = {r.key: r for folder, r in found.items() if folder not in gone}
    runs = read_all(options.store_uri(args))
    trials, sweeps = ([r for r in runs if ("key" in r.tags) == own] for own in (True, False))
    now = Situation(plan, options.variant(args), data, inputs, trials, records, sweeps=sweeps)
    return estimate.predicted(now, args)


def _end_sweep(situation: Situation, args: argparse.Namespace) -> None:
    """Has the sweep's run show that all is finished, where its driver was killed, or the store was lost."""
    own, mine = situation.own_run, reconcile.storage_id(args.storage)
    if own is None or own.status == "FINISHED" or (own.status == "RUNNING" and own.tags.get("storage") != mine):
        return
    from sweeps.engine.store.store import Store

    store = Store(options.store_uri(args))
    tags = {**situation.sweep_tags, "storage": mine}
    run_id = store.open_sweep(situation.sweep.name, situation.variant, tags)
    for prepared in situation.data.values():
        store.attach(run_id, splits.write(prepared.split, args.storage / "splits"))
    store.end(run_id, "FINISHED")


def _driven(
    situation: Situation,
    checkpoints: Mapping[str, Path | None],
    source: Source,
    args: argparse.Namespace,
    judge: Judge | None,
    epochs: Mapping[str, int],
    budget: Budget | None,
    display: Callable[[Situation], rounds.Display] | None = None,
) -> Recorder:
    """What came of the trials that are to run.

    What fails should fail first, and what takes long goes on side by side: Ray starts in a process of its own, and
    workers load PyTorch and check the networks while this process loads the store and resamples audio.
    """
    with cluster.kept():
        checks = joined(situation.to_run, checkpoints, args)
        from sweeps.engine.running.drive import drive
        from sweeps.engine.store.store import Store

        store = Store(options.store_uri(args))
        places = _places(situation, checkpoints, source, args, checks)
        places = {k: replace(p, gives_up=judge) for k, p in places.items()}
        if storage := options.remote(args):
            places = node.share(storage, places, epochs)
        checks.raise_known()
        checked = False

        def ready() -> None:
            nonlocal checked
            if not checked:
                checks.raise_known(None)
                checked = True
                weights.remember(situation.to_run, checkpoints, args.weights_dir, args.storage / "trials")

        shown = display(situation) if display else None
        return drive(situation, places, store, args.storage, options.asked(args), budget, ready, shown)


def joined(trials: Sequence[TrialConfig], checkpoints: Mapping[str, Path | None], args: argparse.Namespace) -> Checks:
    """Has Ray up, and a worker of it at the check of the networks; says so, but in the rounds of a search only once."""
    began, is_first = time.monotonic(), not cluster.is_joined()

    def say(line: str) -> None:
        print(f"start    {line}", flush=True)

    if is_first:
        say("Ray on this machine" if cluster.is_own() else "joining the cluster")
    cluster.begin(args.nice)
    cluster.join(say)
    if is_first:
        say(f"Ray is up after {time.monotonic() - began:.0f} s; opening the store, and workers load PyTorch")
    checks = Checks(trials, checkpoints)
    from sweeps.engine.running import hooks  # noqa: F401 - loads Ray Tune, while the worker loads PyTorch

    return checks


def _brought(plan: Sweep, args: argparse.Namespace) -> dict[str, int]:
    """Fetches what lies at a URI: corpus, and what is committed; the epochs trained there, by the trial's folder."""
    if args.data_uri:
        fetch.bring(Remote(args.data_uri, args.data_root), progress.each)
    earlier = {t.weights.removeprefix("run:") for t in plan.trials if t.weights.startswith("run:")}
    return remote.pull(storage, print, earlier) if (storage := options.remote(args)) else {}


def _into_step(records: Mapping[Path, Record], args: argparse.Namespace) -> set[Path]:
    """Repairs what a dead driver or an outage of the store has left undone; the folders whose records are gone.

    Raises:
        DamagedRecord: if files of committed trials are damaged, when all the others are repaired.
    """
    found = out_of_step(records, args)
    storage = options.remote(args)
    damaged = {} if storage else reconcile.damaged(records, found)  # what is at a URI was compared when it was fetched
    if found := [repair for repair in found if repair.folder not in damaged]:
        from sweeps.engine.store.store import Store

        store = Store(options.store_uri(args))
        for repair in found:
            print(f"repair   {repair}", flush=True)
        reconcile.apply_all(found, store, records, storage)
    if damaged:
        raise DamagedRecord("\n".join(damaged.values()))
    return {r.folder for r in found if r.kind == "forget" and r.folder}


def _places(
    situation: Situation,
    checkpoints: Mapping[str, Path | None],
    source: Source,
    args: argparse.Namespace,
    checks: Checks,
) -> dict[str, Place]:
    """Where each trial finds its clips (made now where missing), split and weights, and leaves its own, by key."""

    def checked(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        for item in progress.each(items, total, what):
            checks.raise_known()  # minutes of resampling need not be waited for
            yield item

    storage, places = args.storage, {}
    common, code = {**code_state(), "storage": reconcile.storage_id(storage)}, codes(situation.to_run)
    for wanted in all_wanted(situation.to_run):
        data, trials = situation.data[wanted], [t for t in situation.to_run if wanted_by(t) == wanted]
        if cluster.is_own():  # every file is decoded once for all rates; on other nodes the first trial builds its own
            prepare.clips(data, [t.data_hz for t in trials], wanted.clip_s, source, checked)
        split = splits.write(data.split, storage / "splits")
        scan = manifest.write(data.scan, storage / "scans")
        for trial in trials:
            folder = storage / "trials" / folder_name(trial, situation.inputs[trial.key])
            tags = trial_tags(situation, trial, {**common, **code[trial.key].tags})
            clips = cache.entry(data.scan, trial.data_hz, wanted.clip_s, source.cache_dir)
            start = checkpoints[trial.key]
            places[trial.key] = Place(
                clips, split, start, folder, args.cpus_per_trial, tags, args.hang_after, scan, args.data_uri
            )
    return places
