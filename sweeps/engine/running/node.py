"""A trial on a node that shares no disk with the driver: its inputs are fetched, and its results are sent.

`sweeps.engine.store.remote` describes the layout. Nothing that a worker sends counts until the driver has verified all
of it.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from datasets.engine import fetch, manifest
from datasets.engine.remote import Gone, Remote, RemoteError, one_at_a_time
from sweeps.engine.store.remote import FORGOTTEN, Say, epoch_of, newest_epoch
from trainable.config import TrialConfig
from trainable.device import faults
from trainable.device.place import NO_ROOM, Place
from trainable.device.watchdog import beat, each_beats
from trainable.result import record
from trainable.weights import checkpoint, weights

PLACES = ("checkpoint is half sent", "checkpoints are sent", "files are sent", "attempt is sent")
WAITS_S = (1, 2, 4, *[8] * 36)  # five minutes in all, for transfers without which a trial cannot begin or end
LAST_S = 60.0  # the wait for a checkpoint that is being sent when its trial ends

Row = dict[str, float]


def portable(remote: Remote, places: Mapping[str, Place], epochs: Mapping[str, int]) -> dict[str, Place]:
    """The places for any node: their files are in the store, and each trial trains in work/.

    Args:
        remote: the store.
        places: the places of the trials on this machine, by key.
        epochs: the epochs with checkpoints in the store, by the trial's folder.

    Raises:
        RemoteError: if the store cannot be written.
    """
    for path in {path for place in places.values() for path in (place.split, place.scan) if path}:
        remote.put(path.relative_to(remote.local).as_posix())
    stored = {**remote.files("weights"), **remote.files("starts")}
    starts: dict[Path | None, Path | None] = {None: None}
    for path in {place.weights for place in places.values() if place.weights}:
        published = path.is_relative_to(remote.local / "weights")
        start = path if published else remote.local / "starts" / weights.sha256(path)[:16] / path.name
        name = start.relative_to(remote.local).as_posix()
        if name not in stored or stored[name].num_bytes != path.stat().st_size:
            remote.put(name, path)
        starts[path] = start
    return {
        key: replace(
            place,
            weights=starts[place.weights],
            folder=remote.local / "work" / place.folder.name,
            remote=remote.uri,
            epochs=epochs.get(place.folder.name, 0),
        )
        for key, place in places.items()
    }


def storage(place: Place) -> Remote:
    """The store of a place from `portable`."""
    return Remote(place.remote, place.folder.parents[1])


def run(config: TrialConfig, place: Place, report: Callable[[Row], None], say: Say) -> None:
    """Runs `trainable.trial.run`, wherever the corpus and the storage are.

    Args:
        config: the trial.
        place: the place of its files.
        report: called with the numbers of each epoch.
        say: called once with a message if the store takes no checkpoints; training continues.

    Raises:
        RemoteError: if the store is down for longer than `WAITS_S` when the trial begins or ends.
    """
    from trainable import trial  # loads torch

    if not place.remote:
        _bring_corpus(place)
        trial.run(config, place, report)
        return
    remote = storage(place)
    _patiently(lambda: _bring(remote, place))
    _bring_corpus(place)
    with Sender(remote, place.folder, say) as sender:

        def report_and_send(row: Row) -> None:
            report(row)
            sender.epoch()

        trial.run(config, place, report_and_send)
    _patiently(lambda: _send(remote, place.folder))
    faults.reach("attempt is sent")
    shutil.rmtree(place.folder, ignore_errors=True)  # otherwise the results of all trials would fill the nodes' disks


def no_room(place: Place) -> None:
    """Marks that the trial ran out of memory, so that its next attempt, here or elsewhere, halves its batches."""
    (place.folder / NO_ROOM).touch()
    if place.remote:
        with suppress(RemoteError):
            storage(place).put(f"trials/{place.folder.name}/{NO_ROOM}", place.folder / NO_ROOM)


def _bring_corpus(place: Place) -> None:
    if place.corpus and place.scan and not place.clips.exists():
        fetch.bring(Remote(place.corpus, manifest.read(place.scan).corpus.root), each_beats, beat)


def _bring(remote: Remote, place: Place) -> None:
    """Fetches the files of a place that this node lacks, and the trial's newest checkpoints."""
    if place.scan and not (place.clips.exists() and place.scan.exists()):
        remote.get(_name(remote, place.scan))  # again, because the paths of files may have changed
    if not place.split.exists():
        remote.get(_name(remote, place.split))
    if place.weights:
        with one_at_a_time(place.weights, beat):
            _bring_weights(remote, place.weights, place.tags["weights_sha256"])
    _bring_checkpoints(remote, place.folder)


def _bring_weights(remote: Remote, path: Path, sha256: str) -> None:
    if not path.exists() or weights.sha256(path) != sha256:
        remote.get(_name(remote, path))
        if weights.sha256(path) != sha256:
            raise RemoteError(f"{remote.uri}: {_name(remote, path)} is not what the driver sent; start again")


def _bring_checkpoints(remote: Remote, folder: Path) -> None:
    stored = remote.files(f"trials/{folder.name}")
    names = sorted(Path(name).name for name in stored if name.count("/") == 2)
    if any(name.startswith(FORGOTTEN) for name in names):  # local files may be of the result that was set aside
        checkpoint.tidy(folder, keep=set())
        (folder / record.FILE).unlink(missing_ok=True)
    if newest_epoch(names) > newest_epoch(path.name for path in folder.glob("epoch-*.pt")):
        for name in reversed(names):  # a hash before its file
            if epoch_of(name):
                with suppress(Gone):  # another worker that is still alive has replaced it
                    remote.get(f"trials/{folder.name}/{name}", folder / name)
                beat()
    if NO_ROOM in names:
        remote.get(f"trials/{folder.name}/{NO_ROOM}", folder / NO_ROOM)


class Sender:
    """Sends a trial's checkpoints in its own thread, so that a store that is slow or down does not stop training."""

    def __init__(self, remote: Remote, folder: Path, say: Say) -> None:
        self._remote, self._folder, self._say = remote, folder, say
        self._due, self._trouble = threading.Event(), ""
        self._over = self._needless = False  # the trial has ended; nothing more needs to be sent
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)

    def epoch(self) -> None:
        """Notes a new epoch, and reports any trouble with earlier ones."""
        self._due.set()
        if self._trouble:
            self._say(self._trouble)
            self._trouble = ""

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._needless, self._over = kind is None, True
        self._due.set()
        until = time.monotonic() + LAST_S
        while self._thread.is_alive() and time.monotonic() < until:
            beat()
            self._thread.join(1.0)

    def _work(self) -> None:
        has_said = False
        while self._due.wait():
            self._due.clear()
            if (over := self._over) and self._needless:
                return
            try:
                send_checkpoints(self._remote, self._folder)
            except Exception as error:  # whatever it is, training matters more
                if not has_said:
                    self._trouble = f"{error}; training goes on, and checkpoints are sent again after the next epochs"
                has_said = True
            if over:
                return


def send_checkpoints(remote: Remote, folder: Path) -> None:
    """Sends the checkpoints of a folder to the store, and removes older ones only after these have arrived.

    Raises:
        RemoteError: if the store cannot be read or written.
    """
    top = f"trials/{folder.name}"
    stored = {Path(name).name: info.num_bytes for name, info in remote.files(top).items() if name.count("/") == 2}
    local = [path.name for kind in ("best", "epoch") for path in sorted(folder.glob(f"{kind}-*.pt"), reverse=True)]
    with ExitStack() as opened:
        try:  # opens all of them now, because training continues and would remove the next ones
            files = {name: opened.enter_context((folder / name).open("rb")) for n in local for name in (n, _hash(n))}
        except FileNotFoundError:
            return  # replaced at this very moment; the next epoch will send its own
        for name in local:
            if _hash(name) not in stored or stored.get(name) != os.fstat(files[name].fileno()).st_size:
                remote.put_open(f"{top}/{_hash(name)}", files[_hash(name)])
                faults.reach("checkpoint is half sent")
                remote.put_open(f"{top}/{name}", files[name])
    faults.reach("checkpoints are sent")
    newest = newest_epoch(local)
    old = [name for name in sorted(stored) if name not in files and 0 < epoch_of(name) < newest]
    remote.delete(f"{top}/{name}" for name in old)


def _send(remote: Remote, folder: Path) -> None:
    """Sends the attempt's files, and last the record that vouches for them."""
    committed = record.read(folder)
    assert committed
    top = f"trials/{folder.name}/{committed.attempt}"
    for name in committed.files:
        remote.put(f"{top}/{name}", folder / name)
        beat()
    faults.reach("files are sent")
    remote.put(f"{top}/{record.FILE}", folder / record.FILE)


def _patiently(do: Callable[[], None]) -> None:
    """Tries until it succeeds, for a bounded time."""
    for wait_s in WAITS_S:
        beat()
        try:
            return do()
        except Gone:
            raise
        except RemoteError:
            time.sleep(wait_s)
    return do()


def _hash(name: str) -> str:
    return f"{name}.sha256"


def _name(remote: Remote, path: Path) -> str:
    return path.relative_to(remote.local).as_posix()
