"""Compares the results of a sweep with its lock, or runs the sweep elsewhere from the lock alone and compares then.

    python -m sweeps.reproduce results/locks/STUDY.lock
    python -m sweeps.reproduce STUDY.lock --data-root DIR --storage DIR

The first compares what is in --storage, the second runs what is missing there before. Every declared trial must be
there, on the same data, split and weights, made by the same code, with the same scores: on the machine that made them
they are equal in every digit. On another they may differ by little; --within says what is equal enough.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from sweeps.engine import launch
from sweeps.engine.command import commandline
from sweeps.engine.command.commandline import folder, options_of, points
from sweeps.engine.command.exits import BAD_INPUT, INTERRUPTED
from sweeps.engine.command.options import Options
from sweeps.engine.declared import lockfile, verification
from sweeps.engine.declared.lockfile import BadLock
from sweeps.engine.running import cluster
from sweeps.engine.store.runs import read_runs

SAME, DIFFERENT = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Compares the results with the lock, after running what is missing if there are data; prints what differs.

    Returns:
        The exit code: 0 if nothing differs, 1 if something does, 2 for input that must be fixed first; that of the
        sweep if it did not finish.
    """
    parser = Flags("python -m sweeps.reproduce", __doc__, usage="%(prog)s LOCK [FLAG ...]")
    parser.add_argument("lock", type=folder, help="the lock, locks/NAME.lock in the storage of the sweep")
    parser.add_argument(
        "--within", type=points, default=0.0, metavar="POINTS", help="main scores so near are equal (%(default)g)"
    )
    commandline.add_data_flags(parser)
    commandline.add_run_flags(parser)
    commandline.add_store_flags(parser)
    args = parser.parse_args(argv)
    options = options_of(args)
    try:
        return reproduce(args.lock, options, args.within / 100)
    except Refusal as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return INTERRUPTED


def reproduce(path: Path, options: Options, within: float) -> int:
    """Runs what is missing if there are data, and compares; returns the exit code.

    Raises:
        Refusal: if the lock, the data or the results must be fixed first.
    """
    lock = lockfile.read(path)
    if not lock.declared:
        raise BadLock(f"{path}: declares nothing; name the lock of a sweep, locks/NAME.lock in its storage")
    sweep = verification.sweep_of(lock)
    print(f"lock     {path}: {len(sweep.trials)} trials of {sweep.name}, {len(lock.scores)} with scores")
    for line in verification.surroundings(lock, sweep):
        print(f"note     {line}", flush=True)
    if options.data_root:
        with cluster.kept():
            if code := launch.launch_planned(sweep, options):
                return code
    if options.dry_run:
        return SAME
    found = verification.differences(lock, sweep, options.storage, read_runs(options.store_uri), within)
    for line in found:
        print(line)
    print(f"{options.storage}: {'differs from' if found else 'is as'} the lock")
    return DIFFERENT if found else SAME


if __name__ == "__main__":
    sys.exit(main())
