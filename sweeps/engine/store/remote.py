"""A storage that is an object store, for the driver, which alone commits there; `node` is the workers' side.

    weights/FILE                       published checkpoints
    starts/HASH/FILE                   other checkpoints that trials start from
    splits/HASH.csv, scans/HASH.json   the inputs of a sweep's trials
    trials/FOLDER/epoch-0012.pt, ...   a trial's checkpoints, until it is committed
    trials/FOLDER/attempt-1a2b3c4d/    the files of an attempt; record.json comes last, so that only a whole one counts
    trials/FOLDER/record.json          the marker: a copy of the record that counts. Only the driver writes it

The working copy has the same names on every machine, except for the files of committed trials, which are in their usual
folders; a node's trials train in work/. An object store has no locks and no exclusive writes: two drivers on two
machines are not kept apart, and the last marker counts.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from datasets.engine.remote import NUM_AT_ONCE, Gone, Remote, RemoteError
from trainable.device import faults
from trainable.result import record
from trainable.result.record import DamagedRecord, Record

PLACES = ("attempt is here", "attempt is committed here", "trial is marked", "rest is removed", "record is set aside")
FORGOTTEN = "forgotten-"  # the prefix of records that were set aside
Say = Callable[[str], None]
Sizes = Mapping[str, int]  # the sizes in bytes of the files in a trial's folder, by name


def checker(remote: Remote) -> Callable[[Path, Record], str]:
    """Fetches the marked records that are unknown here, and nothing more; changes nothing in the store.

    Returns:
        A function that describes the damage to a committed trial's files in the store, from the trial's local folder
        and its record.
    """
    _identify(remote)
    trials = _trials(remote)
    for name, stored in trials.items():
        folder = remote.local / "trials" / name
        if record.FILE in stored and not (folder / record.FILE).exists() and (counts := _marked(remote, name)):
            _fetch_record(remote, folder, counts)
    return lambda folder, committed: damage(remote, folder.name, committed, trials.get(folder.name, {}))


def damage(remote: Remote, name: str, counts: Record, stored: Sizes) -> str:
    """The damage to a committed result in the store, judged by sizes, one line per file; empty if there is none."""
    top = f"{remote.uri}/trials/{name}"
    remedy = f"put back a copy, or remove {top} and {remote.local / 'trials' / name} and delete its run in MLflow"
    wrong = []
    for file, num_bytes in counts.sizes.items():
        size = stored.get(f"{counts.attempt}/{file}")
        if size != num_bytes:
            state = "is missing" if size is None else f"has {size:,} bytes instead of {num_bytes:,}"
            wrong.append(f"{top}/{counts.attempt}/{file}: {state}; {remedy}: then the trial runs again")
    return "\n".join(wrong)


def pull(remote: Remote, say: Say, start_from: Collection[str] = ()) -> dict[str, int]:
    """Brings the working copy into step with the store, and commits results that a dead driver has not.

    Args:
        remote: the store.
        say: called with a message about each refused attempt.
        start_from: the keys of trials whose weights are needed here too.

    Returns:
        The newest epoch with a checkpoint in the store, by the trial's folder.

    Raises:
        RemoteError: if the store cannot be read or written, or a committed result is gone from it.
        DamagedRecord: if committed results are damaged; names all of them, after all other trials are in step.
    """
    _identify(remote)
    for name, info in remote.files("weights").items():
        path = remote.local / name
        if not path.is_file() or path.stat().st_size != info.num_bytes:
            remote.get(name)
    trials = _trials(remote)
    for path in (remote.local / "trials").glob(f"*/{record.FILE}"):
        trials.setdefault(path.parent.name, {})

    def each(name: str) -> str:
        try:
            settle(remote, name, trials[name], say, with_weights=name.partition("-")[0] in start_from)
        except DamagedRecord as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        if damaged := [lines for lines in pool.map(each, trials) if lines]:
            raise DamagedRecord("\n".join(damaged))
    return {name: newest_epoch(stored) for name, stored in trials.items()}


def settle(remote: Remote, name: str, stored: Sizes, say: Say, with_weights: bool = False) -> Record | None:
    """Settles one trial's committed result, in the working copy too: the marked one, else the first complete attempt.

    Args:
        remote: the store.
        name: the trial's folder.
        stored: the sizes of the files in that folder.
        say: called with a message about each refused attempt.
        with_weights: whether the weights are needed here too.

    Returns:
        The record that counts; None if nothing is committed.

    Raises:
        RemoteError: if the store cannot be read or written, or a committed result is gone from it.
        DamagedRecord: if a committed result is damaged.
    """
    folder = remote.local / "trials" / name
    counts = _marked(remote, name) if record.FILE in stored else None
    mine = _mine(remote, folder, stored, counts)
    if counts is None:
        counts = _mark(remote, folder, mine) if mine else _adopt(remote, folder, stored, say)
    elif mine is None:
        _fetch_record(remote, folder, counts)
    if counts:
        if lines := damage(remote, name, counts, stored):
            raise DamagedRecord(lines)
        _fetch(remote, folder, counts, with_weights)
        rest = [n for n in sorted(stored) if n != record.FILE and not n.startswith((f"{counts.attempt}/", FORGOTTEN))]
        with suppress(RemoteError):  # if it fails, the next start removes them
            remote.delete(f"trials/{name}/{file}" for file in rest)
        faults.reach("rest is removed")
    return counts


def take(remote: Remote, name: str) -> Path:
    """Commits the result of a trial that reports having left it in the store; returns its local folder.

    Raises:
        RemoteError: if the store cannot be read or written.
        DamagedRecord: if the store has no complete result.
    """
    refused: list[str] = []
    if not settle(remote, name, _trials(remote, name)[name], refused.append):
        reason = "; ".join(refused) or "no result is there"
        raise DamagedRecord(f"{remote.uri}: trials/{name}: the trial says that it has finished, but {reason}")
    return remote.local / "trials" / name


def forget(remote: Remote, folder: Path) -> None:
    """Sets a record aside in the store, so that the trial runs again. Its attempt goes first, lest it be adopted."""
    path, name = folder / record.FILE, folder.name
    mine = record.read(folder)
    assert mine
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    remote.put(f"trials/{name}/{FORGOTTEN}{digest}.json", path)
    remote.delete([f"trials/{name}/{mine.attempt}/{record.FILE}"])
    faults.reach("record is set aside")
    remote.delete([f"trials/{name}/{record.FILE}"])


def epoch_of(name: str) -> int:
    """The epoch of a checkpoint file, or of the file of its hash; 0 for other files."""
    match = re.fullmatch(r"(?:epoch|best)-(\d+)\.pt(?:\.sha256)?", name)
    return int(match[1]) if match else 0


def newest_epoch(names: Iterable[str]) -> int:
    """The newest epoch with a checkpoint; 0 if there is none."""
    return max((epoch_of(name) for name in names if name.startswith("epoch-") and name.endswith(".pt")), default=0)


def _identify(remote: Remote) -> None:
    """Gives every working copy of a store the same `.storage-id`, so that a new head knows the runs of a dead one."""
    path = remote.local / ".storage-id"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(hashlib.sha256(remote.uri.encode()).hexdigest()[:32], encoding="ascii")


def _trials(remote: Remote, name: str = "") -> dict[str, dict[str, int]]:
    """The sizes of the files of all trials, or of one, by the trial's folder."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for path, info in remote.files(f"trials/{name}".rstrip("/")).items():
        _, folder, file = [*path.split("/", 2), ""][:3]
        sizes[folder][file] = info.num_bytes
    return sizes


def _marked(remote: Remote, name: str) -> Record | None:
    """The marked record; None if a kill has truncated the marker, in which case its attempt is adopted again."""
    with tempfile.TemporaryDirectory() as folder, suppress(DamagedRecord, Gone):
        remote.get(f"trials/{name}/{record.FILE}", Path(folder) / record.FILE)
        return _read(Path(folder))
    return None


def _read(folder: Path) -> Record:
    """Reads a record that was fetched from the store.

    Raises:
        DamagedRecord: if it is damaged, or names files elsewhere.
    """
    fetched = record.read(folder)
    assert fetched
    if odd := [name for name in fetched.files if Path(name).name != name]:
        raise DamagedRecord(f"{folder / record.FILE}: names {odd[0]!r}, which is not a file beside it")
    return fetched


def _mine(remote: Remote, folder: Path, stored: Collection[str], counts: Record | None) -> Record | None:
    """The local record, if it is the one that counts, or that this driver chose before it was killed."""
    mine = record.read(folder)
    if mine is None or (counts and counts.sha256 == mine.sha256):
        return mine
    if counts is None and f"{mine.attempt}/{record.FILE}" in stored:
        return mine
    if counts is None and not any(n.startswith(FORGOTTEN) for n in stored):
        gone = f"trials/{folder.name} was committed, and is gone; put it back, or remove {folder}"
        raise RemoteError(f"{remote.uri}: {gone}")
    record.forget(folder)  # another machine's driver has decided otherwise
    return None


def _mark(remote: Remote, folder: Path, counts: Record) -> Record:
    """Commits in the store a result that has been verified and committed here."""
    remote.put(f"trials/{folder.name}/{record.FILE}")
    faults.reach("trial is marked")
    record.put_in_place(folder, counts)
    return counts


def _adopt(remote: Remote, folder: Path, stored: Collection[str], say: Say) -> Record | None:
    """Commits the first complete attempt, by name, and removes earlier ones that turn out to be damaged."""
    attempts = sorted(n.partition("/")[0] for n in stored if n.startswith(record.ATTEMPT) and n.endswith(record.FILE))
    for attempt in attempts:
        try:
            fetched = _download(remote, folder, attempt)
        except DamagedRecord as error:
            say(f"refused, and removed: {error}")
            shutil.rmtree(folder / attempt)
            remote.delete([f"trials/{folder.name}/{attempt}/{record.FILE}"])
            continue
        faults.reach("attempt is here")
        counts = record.commit(folder, fetched)
        faults.reach("attempt is committed here")
        return _mark(remote, folder, counts)
    return None


def _download(remote: Remote, folder: Path, attempt: str) -> Record:
    """Downloads and verifies the files of an attempt.

    Raises:
        DamagedRecord: if the attempt is incomplete, or of another trial.
    """
    part, top = folder / attempt, f"trials/{folder.name}/{attempt}"
    shutil.rmtree(part, ignore_errors=True)
    remote.get(f"{top}/{record.FILE}", part / record.FILE)
    fetched = _read(part)
    if fetched.attempt != attempt or not folder.name.startswith(f"{fetched.key}-"):
        raise DamagedRecord(f"{part}: holds {fetched.attempt} of trial {fetched.key}")
    _get_all(remote, top, part, fetched.files)
    record.check_files(part, fetched)
    return fetched


def _fetch_record(remote: Remote, folder: Path, counts: Record) -> None:
    for name in counts.files:  # remains of a record that was set aside
        (folder / name).unlink(missing_ok=True)
    remote.get(f"trials/{folder.name}/{record.FILE}")


def _fetch(remote: Remote, folder: Path, counts: Record, with_weights: bool) -> None:
    """Fetches missing or truncated files of a committed result; the weights, which are large, only on request."""
    needed = [n for n in counts.files if with_weights or ".pt" not in n or (folder / n).exists()]
    if missing := [n for n in needed if not (folder / n).exists() or (folder / n).stat().st_size != counts.sizes[n]]:
        _get_all(remote, f"trials/{folder.name}/{counts.attempt}", folder, missing)
        record.check_files(folder, counts, missing)


def _get_all(remote: Remote, top: str, folder: Path, names: Collection[str]) -> None:
    for name in names:
        with suppress(Gone):  # the check of its hash will report it
            remote.get(f"{top}/{name}", folder / name)
