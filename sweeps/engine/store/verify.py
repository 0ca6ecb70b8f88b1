"""Reads every file of the committed trials again and compares its SHA-256 with what the trial's record says.

    python -m sweeps.engine.store.verify [--storage DIR|URI]

A sweep compares sizes at every start, because that costs no reading. Start this when more than that must be known:
after a disk was copied, moved or repaired, and before numbers are published. It changes nothing, needs no MLflow, and
may run beside a driver; `python -m sweeps.engine.store.reconcile` compares the same and repairs the store as well. Of a
storage at a URI it compares the files that are on this machine, and the sizes of those that are there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets.engine.remote import RemoteError
from datasets.engine.scan import NUM_THREADS
from datasets.engine.words.flags import Flags
from sweeps.engine.command.commandline import add_store_flags, options_of
from sweeps.engine.display import progress
from sweeps.engine.store import remote
from trainable.result import record
from trainable.result.record import DamagedRecord, Record


def damaged(records: Mapping[Path, Record], partly: bool = False) -> dict[Path, str]:
    """What is wrong with the files of committed trials, by folder.

    Args:
        partly: whether a file may be missing, because it is at a URI.
    """

    def read(folder: Path) -> str:
        its = records[folder]
        names = [name for name in its.files if not partly or (folder / name).exists()]
        return record.damage(folder, its, names, read=True) if names else ""

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = progress.each(pool.map(read, records), len(records), "reading committed results", "trial")
        return {folder: lines for folder, lines in zip(records, found, strict=True) if lines}


def readable(folders: Iterable[Path]) -> tuple[dict[Path, Record], list[str]]:
    """The records of trials, by folder, and what is wrong with those that are damaged."""
    found, problems = {}, []
    for folder in folders:
        try:
            if read := record.read(folder):
                found[folder] = read
        except DamagedRecord as error:
            problems.append(str(error))
    return found, problems


def trial_folders(storage: Path) -> list[Path]:
    """The folders of all trials that are committed in a storage."""
    return sorted(path.parent for path in (storage / "trials").glob(f"*/{record.FILE}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what is not as it was committed.

    Returns:
        Exit code: 0 if every file is, 1 if not, 2 if there is nothing to compare.
    """
    parser = Flags("python -m sweeps.engine.store.verify", __doc__)
    add_store_flags(parser)
    options = options_of(parser.parse_args(argv))
    storage = options.object_store
    try:
        there = remote.checker(storage) if storage else None
    except RemoteError as error:
        print(error, file=sys.stderr)
        return 2
    if not (folders := trial_folders(options.storage)):
        print(
            f"--storage {options.storage}: no trial has been committed there; name the folder of a sweep",
            file=sys.stderr,
        )
        return 2
    records, problems = readable(folders)
    problems += damaged(records, partly=storage is not None).values()
    problems += [lines for folder, its in records.items() if there and (lines := there(folder, its))]
    for problem in problems:
        print(problem)
    print(f"{options.storage}: {len(folders)} committed trials, {len(problems)} damaged")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
