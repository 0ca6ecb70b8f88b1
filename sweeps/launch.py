"""`main(sweep)`: what a study does when it is started. Prints the plan, runs what is missing, says what came of it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script that stands alone elsewhere must find this `datasets`, and no other

from datasets import cache, manifest, prepare, splits
from datasets.corpus import CorpusError
from datasets.prepare import Prepared, Source
from sweeps import cluster, flags, progress, reconcile
from sweeps.cluster import WrongEnvironment
from sweeps.code import StaleMount, check_mount, code_state
from sweeps.placement import Asked
from sweeps.plan import Sweep
from sweeps.reconcile import Repair
from sweeps.report import print_outcome, print_plan
from sweeps.runs import StoreError, read_runs
from sweeps.state import Inputs, Situation, all_wanted, folder_name, trial_tags, wanted_by
from trainable import weights
from trainable.card import BackboneError
from trainable.place import Place
from trainable.record import DamagedRecord, Record
from trainable.weights import MissingWeights, WrongWeights

REFUSALS = (
    BackboneError,
    CorpusError,
    DamagedRecord,
    MissingWeights,
    StaleMount,
    StoreError,
    WrongEnvironment,
    WrongWeights,
)
COMPLETE, BAD_INPUT, INCOMPLETE, FAILED, LOCKED, INTERRUPTED = 0, 2, 3, 4, 5, 130


def main(sweep: Sweep, argv: Sequence[str] | None = None) -> None:
    """Runs a sweep from the command line and exits: 0 when every planned trial is finished, and only then.

    Exits with 2 for input that must be mended first, 3 when trials are missing, 4 when some failed, 5 when another
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


def launch(sweep: Sweep, argv: Sequence[str] | None = None) -> int:
    """The same, returning the exit code.

    Raises:
        SystemExit: if a flag asks for what cannot be.
        BackboneError: if a network does not exist, or cannot take the clips.
        CorpusError: if the corpus must be mended first.
        MissingWeights: if a checkpoint is missing.
        WrongWeights: if a checkpoint is not the one that it should be.
        StoreError: if the store cannot be read or written.
        WrongEnvironment: if a node has other versions than this one.
    """
    parser = argparse.ArgumentParser(prog=f"python -m sweeps.{sweep.name}", description=sys.modules["__main__"].__doc__)
    for add in (flags.add_plan_flags, flags.add_data_flags, flags.add_run_flags, flags.add_store_flags):
        add(parser)
    args = parser.parse_args(argv)
    args.weights_dir = args.weights_dir or args.storage / "weights"
    args.cache_dir = args.cache_dir or args.storage / "cache"
    try:
        plan = flags.planned(sweep, args)
    except ValueError as error:
        parser.exit(BAD_INPUT, f"{sweep.name}: {error}\n")
    source = Source(args.data_root, args.cache_dir, args.split_file, args.bad_files) if args.data_root else None
    if args.report:
        return _report(sweep.name, args)
    if args.dry_run:
        print_plan(_from_memory(plan, source, args), args)
        return COMPLETE
    if source is None:
        raise CorpusError(
            f"--data-root: name the folder that holds {plan.trials[0].corpus}, or look at the plan with --dry-run"
        )
    with flags.only_driver(args.storage) as alone:
        if not alone:
            print(f"{plan.name}: another driver works in {args.storage}; wait for it, or stop it", file=sys.stderr)
            return LOCKED
        return _run(plan, source, args)


def _report(name: str, args: argparse.Namespace) -> int:
    """Runs the analysis of the same name, which may not be imported here: it stands above the sweeps."""
    command = [sys.executable, "-m", f"analysis.{name}", *flags.as_flags(args)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode  # noqa: S603


def _run(plan: Sweep, source: Source, args: argparse.Namespace) -> int:
    checkpoints = weights.check(plan.trials, args.weights_dir, args.storage / "trials")
    data = {wanted: prepare.prepare(wanted, source, progress.each) for wanted in all_wanted(plan.trials)}
    inputs = {t.key: _inputs(data[wanted_by(t)], checkpoints[t.key]) for t in plan.trials}

    def situation() -> Situation:
        committed = _committed(plan, inputs, args.storage)
        gone = _into_step(committed, args)
        records = {r.key: r for folder, r in committed.items() if folder not in gone}
        return Situation(plan, flags.variant(args), data, inputs, read_runs(flags.store_uri(args)), records)

    before = situation()
    print_plan(before, args)
    failures, stopped = {}, ""
    if before.to_run:
        from sweeps.drive import drive
        from sweeps.store import Store
        from trainable.networks import check_starts

        # Before the audio is resampled: what fails should fail first.
        store = Store(flags.store_uri(args))
        check_starts(before.to_run, checkpoints)
        places = _places(before, checkpoints, source, args)
        outcome = drive(before, places, store, args.storage, _asked(args))
        failures, stopped = outcome.failures, outcome.stopped
    try:
        after = situation()
    except StoreError as error:
        print(f"{plan.name}: what trials have committed is safe in {args.storage}, but {error}", file=sys.stderr)
        return INCOMPLETE
    print_outcome(after, args, failures)
    if stopped:
        print(stopped, file=sys.stderr)
    return COMPLETE if not after.to_run else FAILED if failures else INCOMPLETE


def _asked(args: argparse.Namespace) -> Asked:
    return Asked(args.max_concurrent, args.cpus_per_trial, args.gpus_per_trial, args.gpu_memory_gb, args.accelerator)


def _committed(plan: Sweep, inputs: Mapping[str, Inputs], storage: Path) -> dict[Path, Record]:
    """What the plan's trials have committed on these inputs, by folder."""
    known = [t for t in plan.trials if t.key in inputs]
    return reconcile.committed(storage / "trials" / folder_name(t, inputs[t.key]) for t in known)


def _out_of_step(records: Mapping[Path, Record], args: argparse.Namespace) -> list[Repair]:
    """What the store must be told, or tells, of what was committed."""
    return reconcile.out_of_step(records, flags.store_uri(args), reconcile.storage_id(args.storage))


def _into_step(records: Mapping[Path, Record], args: argparse.Namespace) -> set[Path]:
    """Repairs what a dead driver or an outage of the store has left undone; the folders whose records are gone."""
    if not (found := _out_of_step(records, args)):
        return set()
    from sweeps.store import Store

    store = Store(flags.store_uri(args))
    for repair in found:
        print(f"repair   {repair}", flush=True)
    reconcile.apply_all(found, store, records)
    return {r.folder for r in found if r.kind == "forget" and r.folder}


def _places(
    situation: Situation, checkpoints: Mapping[str, Path | None], source: Source, args: argparse.Namespace
) -> dict[str, Place]:
    """Where each trial finds its clips (made now where missing), split and weights, and leaves its own, by key."""
    storage, places = args.storage, {}
    common = {**code_state(), "storage": reconcile.storage_id(storage)}
    for wanted in all_wanted(situation.to_run):
        data, trials = situation.data[wanted], [t for t in situation.to_run if wanted_by(t) == wanted]
        if cluster.is_own():  # every file is decoded once for all rates; on other nodes the first trial builds its own
            prepare.clips(data, [t.data_hz for t in trials], wanted.clip_s, source, progress.each)
        split = splits.write(data.split, storage / "splits")
        scan = manifest.write(data.scan, storage / "scans")
        for trial in trials:
            folder = storage / "trials" / folder_name(trial, situation.inputs[trial.key])
            tags = trial_tags(situation, trial, common)
            clips = cache.entry(data.scan, trial.data_hz, wanted.clip_s, source.cache_dir)
            places[trial.key] = Place(
                clips, split, checkpoints[trial.key], folder, args.cpus_per_trial, tags, args.hang_after, scan
            )
    return places


def _from_memory(plan: Sweep, source: Source | None, args: argparse.Namespace) -> Situation:
    """What a dry run can say: no audio is read, and a missing checkpoint is said, not refused."""
    known = {wanted: prepare.remembered(wanted, source) for wanted in all_wanted(plan.trials)} if source else {}
    data = {wanted: prepared for wanted, prepared in known.items() if prepared}
    inputs = {}
    for trial in plan.trials:
        if wanted_by(trial) in data:
            with suppress(MissingWeights, WrongWeights):
                checkpoint = weights.locate(trial, args.weights_dir, args.storage / "trials")
                inputs[trial.key] = _inputs(data[wanted_by(trial)], checkpoint)
    records = _committed(plan, inputs, args.storage)
    if records:
        forgotten = {r.folder for r in _out_of_step(records, args) if r.kind == "forget"}
        records = {folder: found for folder, found in records.items() if folder not in forgotten}
    runs = read_runs(flags.store_uri(args))
    return Situation(plan, flags.variant(args), data, inputs, runs, {r.key: r for r in records.values()})


def _inputs(data: Prepared, checkpoint: Path | None) -> Inputs:
    return Inputs(data.scan.sha256, data.split.sha256, weights.sha256(checkpoint) if checkpoint else "none")
