"""A storage that is an object store, as the driver sees it, which alone commits there; `node` is the workers' side.

    weights/FILE                       published checkpoints
    starts/HASH/FILE                   other checkpoints that trials start from
    splits/HASH.csv, scans/HASH.json   what the trials of a sweep read
    trials/FOLDER/epoch-0012.pt, ...   a trial's checkpoints, until it is committed
    trials/FOLDER/attempt-1a2b3c4d/    what an attempt left; its record.json came last, so it is whole or does not count
    trials/FOLDER/record.json          the marker: a copy of the record that counts. One process writes it, the driver

The working copy has these names on every machine, but for the files of committed trials, which lie where a folder has
them; work/ is where a node's trials train. A store gives no locks, and no writes that are exclusive: two drivers on two
machines are not kept apart, and what the last of them marks counts.
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
FORGOTTEN = "forgotten-"  # with which the names of records begin that were set aside
Say = Callable[[str], None]
Sizes = Mapping[str, int]  # bytes of the files in a trial's folder, by name


def checker(remote: Remote) -> Callable[[Path, Record], str]:
    """Fetches the records that are marked there and not known here, and nothing more; changes nothing there.

    Returns:
        What is wrong there with the files of a committed trial; it is given the trial's folder here, and its record.
    """
    _identify(remote)
    trials = _trials(remote)
    for name, there in trials.items():
        folder = remote.local / "trials" / name
        if record.FILE in there and not (folder / record.FILE).exists() and (counts := _marked(remote, name)):
            _fetch_record(remote, folder, counts)
    return lambda folder, its: damage(remote, folder.name, its, trials.get(folder.name, {}))


def damage(remote: Remote, name: str, counts: Record, there: Sizes) -> str:
    """What is wrong with a committed result there, as far as sizes tell, a line for each file; empty if nothing is."""
    top = f"{remote.uri}/trials/{name}"
    remedy = f"put back a copy, or remove {top} and {remote.local / 'trials' / name} and delete its run in MLflow"
    wrong = []
    for file, num_bytes in counts.sizes.items():
        found = there.get(f"{counts.attempt}/{file}")
        if found != num_bytes:
            what = "is missing" if found is None else f"has {found:,} bytes instead of {num_bytes:,}"
            wrong.append(f"{top}/{counts.attempt}/{file}: {what}; {remedy}: then the trial runs again")
    return "\n".join(wrong)


def pull(remote: Remote, say: Say, start_from: Collection[str] = ()) -> dict[str, int]:
    """Brings the working copy into step with what is committed there, and commits what a dead driver has not.

    Args:
        say: told of what was refused.
        start_from: keys of trials whose weights are needed here too.

    Returns:
        Epochs whose checkpoints are there, by the trial's folder.

    Raises:
        RemoteError: as `settle`.
        DamagedRecord: the same, when all the other trials are in step; names all that is damaged.
    """
    _identify(remote)
    for name, found in remote.files("weights").items():
        path = remote.local / name
        if not path.is_file() or path.stat().st_size != found.num_bytes:
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
    return {name: newest_epoch(there) for name, there in trials.items()}


def settle(remote: Remote, name: str, there: Sizes, say: Say, with_weights: bool = False) -> Record | None:
    """One trial's committed result, in the working copy too: what is marked, or else the first attempt that is whole.

    Args:
        there: the files in the trial's folder.

    Raises:
        RemoteError: if the store cannot be read or written, or what was committed is gone from it.
        DamagedRecord: if what was committed is damaged.
    """
    folder = remote.local / "trials" / name
    counts = _marked(remote, name) if record.FILE in there else None
    mine = _mine(remote, folder, there, counts)
    if counts is None:
        counts = _mark(remote, folder, mine) if mine else _adopt(remote, folder, there, say)
    elif mine is None:
        _fetch_record(remote, folder, counts)
    if counts:
        if lines := damage(remote, name, counts, there):
            raise DamagedRecord(lines)
        _fetch(remote, folder, counts, with_weights)
        rest = [n for n in sorted(there) if n != record.FILE and not n.startswith((f"{counts.attempt}/", FORGOTTEN))]
        with suppress(RemoteError):  # then at the next start
            remote.delete(f"trials/{name}/{file}" for file in rest)
        faults.reach("rest is removed")
    return counts


def take(remote: Remote, name: str) -> Path:
    """Commits what a trial says that it has left in the store; the folder of its result here.

    Raises:
        RemoteError: if the store cannot be read or written.
        DamagedRecord: if no whole result is there.
    """
    refused: list[str] = []
    if not settle(remote, name, _trials(remote, name)[name], refused.append):
        told = "; ".join(refused) or "no result is there"
        raise DamagedRecord(f"{remote.uri}: trials/{name}: the trial says that it has finished, but {told}")
    return remote.local / "trials" / name


def forget(remote: Remote, folder: Path) -> None:
    """Sets a record aside there, so that the trial runs again. Its attempt goes first: it must not be adopted again."""
    path, name = folder / record.FILE, folder.name
    mine = record.read(folder)
    assert mine
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    remote.put(f"trials/{name}/{FORGOTTEN}{digest}.json", path)
    remote.delete([f"trials/{name}/{mine.attempt}/{record.FILE}"])
    faults.reach("record is set aside")
    remote.delete([f"trials/{name}/{record.FILE}"])


def epoch_of(name: str) -> int:
    """The epoch of a checkpoint's file, or of its hash's; 0 for other files."""
    found = re.fullmatch(r"(?:epoch|best)-(\d+)\.pt(?:\.sha256)?", name)
    return int(found[1]) if found else 0


def newest_epoch(names: Iterable[str]) -> int:
    """The newest epoch that has a checkpoint; 0 if none has."""
    return max((epoch_of(name) for name in names if name.startswith("epoch-") and name.endswith(".pt")), default=0)


def _identify(remote: Remote) -> None:
    """Gives every working copy of one store the same `.storage-id`: a new head must know the dead one's runs."""
    path = remote.local / ".storage-id"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(hashlib.sha256(remote.uri.encode()).hexdigest()[:32], encoding="ascii")


def _trials(remote: Remote, name: str = "") -> dict[str, dict[str, int]]:
    """The files of all trials, or of one, by the trial's folder."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for path, its in remote.files(f"trials/{name}".rstrip("/")).items():
        _, folder, file = [*path.split("/", 2), ""][:3]
        found[folder][file] = its.num_bytes
    return found


def _marked(remote: Remote, name: str) -> Record | None:
    """The record that is marked; None if a kill has cut the marker off: then its attempt is adopted once more."""
    with tempfile.TemporaryDirectory() as folder, suppress(DamagedRecord, Gone):
        remote.get(f"trials/{name}/{record.FILE}", Path(folder) / record.FILE)
        return _read(Path(folder))
    return None


def _read(folder: Path) -> Record:
    """A record that has come from the store.

    Raises:
        DamagedRecord: if it is damaged, or names files elsewhere.
    """
    found = record.read(folder)
    assert found
    if odd := [name for name in found.files if Path(name).name != name]:
        raise DamagedRecord(f"{folder / record.FILE}: names {odd[0]!r}, which is no file beside it")
    return found


def _mine(remote: Remote, folder: Path, there: Collection[str], counts: Record | None) -> Record | None:
    """The record here, if it is the one that counts, or that this driver chose before it was killed."""
    mine = record.read(folder)
    if mine is None or (counts and counts.sha256 == mine.sha256):
        return mine
    if counts is None and f"{mine.attempt}/{record.FILE}" in there:
        return mine
    if counts is None and not any(n.startswith(FORGOTTEN) for n in there):
        gone = f"trials/{folder.name} was committed, and is gone; put it back, or remove {folder}"
        raise RemoteError(f"{remote.uri}: {gone}")
    record.forget(folder)  # another machine's driver has decided otherwise
    return None


def _mark(remote: Remote, folder: Path, counts: Record) -> Record:
    """Commits there what is committed here, and was verified before that."""
    remote.put(f"trials/{folder.name}/{record.FILE}")
    faults.reach("trial is marked")
    record.put_in_place(folder, counts)
    return counts


def _adopt(remote: Remote, folder: Path, there: Collection[str], say: Say) -> Record | None:
    """Commits the first attempt that is whole, by name, and removes those before it that only say so."""
    whole = sorted(n.partition("/")[0] for n in there if n.startswith(record.ATTEMPT) and n.endswith(record.FILE))
    for attempt in whole:
        try:
            found = _download(remote, folder, attempt)
        except DamagedRecord as error:
            say(f"refused, and removed: {error}")
            shutil.rmtree(folder / attempt)
            remote.delete([f"trials/{folder.name}/{attempt}/{record.FILE}"])
            continue
        faults.reach("attempt is here")
        counts = record.commit(folder, found)
        faults.reach("attempt is committed here")
        return _mark(remote, folder, counts)
    return None


def _download(remote: Remote, folder: Path, attempt: str) -> Record:
    """An attempt's files, verified.

    Raises:
        DamagedRecord: if it is not whole, or of another trial.
    """
    part, there = folder / attempt, f"trials/{folder.name}/{attempt}"
    shutil.rmtree(part, ignore_errors=True)
    remote.get(f"{there}/{record.FILE}", part / record.FILE)
    found = _read(part)
    if found.attempt != attempt or not folder.name.startswith(f"{found.key}-"):
        raise DamagedRecord(f"{part}: holds {found.attempt} of trial {found.key}")
    _get_all(remote, there, part, found.files)
    record.check_files(part, found)
    return found


def _fetch_record(remote: Remote, folder: Path, counts: Record) -> None:
    for name in counts.files:  # those of a record that was set aside
        (folder / name).unlink(missing_ok=True)
    remote.get(f"trials/{folder.name}/{record.FILE}")


def _fetch(remote: Remote, folder: Path, counts: Record, with_weights: bool) -> None:
    """What is missing or cut here of a committed result; the weights, which are large, only when they are asked for."""
    wanted = [n for n in counts.files if with_weights or ".pt" not in n or (folder / n).exists()]
    if missing := [n for n in wanted if not (folder / n).exists() or (folder / n).stat().st_size != counts.sizes[n]]:
        _get_all(remote, f"trials/{folder.name}/{counts.attempt}", folder, missing)
        record.check_files(folder, counts, missing)


def _get_all(remote: Remote, there: str, folder: Path, names: Collection[str]) -> None:
    for name in names:
        with suppress(Gone):  # which the check of its hash says
            remote.get(f"{there}/{name}", folder / name)
