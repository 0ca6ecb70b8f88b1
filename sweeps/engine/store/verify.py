"""Reads every file of the committed trials again and compares its SHA-256 with that in the trial's record.

    python -m sweeps.engine.store.verify [--storage DIR|URI]

A sweep compares sizes at every start, because that needs no reading. Use this command for certainty: after a disk was
copied, moved or repaired, and before numbers are published. It changes nothing, does not need MLflow, and may run
beside a driver; `python -m sweeps.engine.store.reconcile` makes the same comparison and also repairs the store. For a
storage at a URI, it compares the files on this machine, and the sizes of those at the URI.
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
    """The damage to the files of committed trials, by folder.

    Args:
        records: the records, by the trial's folder.
        partly: whether a file may be missing, because it is at a URI.
    """

    def read(folder: Path) -> str:
        committed = records[folder]
        names = [name for name in committed.files if not partly or (folder / name).exists()]
        return record.damage(folder, committed, names, read=True) if names else ""

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        damages = progress.each(pool.map(read, records), len(records), "reading committed results", "trial")
        return {folder: lines for folder, lines in zip(records, damages, strict=True) if lines}


def readable(folders: Iterable[Path]) -> tuple[dict[Path, Record], list[str]]:
    """The readable records of trials, by folder, and descriptions of the damaged ones."""
    records, problems = {}, []
    for folder in folders:
        try:
            if read := record.read(folder):
                records[folder] = read
        except DamagedRecord as error:
            problems.append(str(error))
    return records, problems


def trial_folders(storage: Path) -> list[Path]:
    """The folders of all trials that are committed in a storage."""
    return sorted(path.parent for path in (storage / "trials").glob(f"*/{record.FILE}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the files that differ from their commit.

    Returns:
        The exit code: 0 if no file differs, 1 if some do, 2 if there is nothing to compare.
    """
    parser = Flags("python -m sweeps.engine.store.verify", __doc__)
    add_store_flags(parser)
    options = options_of(parser.parse_args(argv))
    storage = options.object_store
    try:
        check = remote.checker(storage) if storage else None
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
    problems += [lines for folder, committed in records.items() if check and (lines := check(folder, committed))]
    for problem in problems:
        print(problem)
    print(f"{options.storage}: {len(folders)} committed trials, {len(problems)} damaged")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
