"""A storage that is an object store: what a trial leaves there, who commits it, and what a fault does to it.

The store here is in memory and has an object store's manners: no rename, no append, no folders, a listing by prefix.
Trials are real, but for a network that trains in milliseconds. Drivers and nodes have folders of their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import fs

from datasets.engine import cache, fetch, manifest, prepare, splits
from datasets.engine import remote as door
from datasets.engine.prepare import Source, Wanted
from datasets.engine.refusal import Refusal
from datasets.engine.remote import Remote, RemoteError
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine.command import commandline, located
from sweeps.engine.command.options import Options
from sweeps.engine.running import node
from sweeps.engine.store import remote
from tests.sweeps.small import BASE, Small
from trainable import finetune, trial
from trainable.device.place import NO_ROOM, Place
from trainable.learning.learner import Learner
from trainable.result import record
from trainable.result.record import DamagedRecord, Record
from trainable.weights import checkpoint

pytestmark = pytest.mark.slow

URI = "mem://bucket/results"
NAME = "the-trial"  # of its folder, after the key
CONFIG = dataclasses.replace(BASE, epochs=5)


class Objects(fs.FileSystemHandler):
    """An object store in memory, which can be made to fail, and remembers every state that it was in."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.states: list[dict[str, bytes]] = []
        self.fails: Callable[[str, str], bool] = lambda what, name: False

    def asked(self, what: str, name: str) -> None:
        if self.fails(what, name):
            raise OSError(f"AWS Error SLOW_DOWN during {what}: reduce your request rate\nRequestID: 17")

    def changed(self) -> None:
        self.states.append(dict(self.held))

    def get_type_name(self) -> str:
        return "objects"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        self.asked("list", selector.base_dir)
        matching = [(n, data) for n, data in list(self.held.items()) if n.startswith(f"{selector.base_dir}/")]
        return [fs.FileInfo(n, fs.FileType.File, size=len(data), mtime_ns=1) for n, data in matching]

    def open_input_stream(self, path: str) -> pa.NativeFile:
        self.asked("get", path)
        if path not in self.held:
            raise FileNotFoundError(path)
        return pa.BufferReader(self.held[path])

    def open_output_stream(self, path: str, metadata: Any = None) -> pa.NativeFile:
        self.asked("put", path)
        store = self

        class Upload(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    store.held[path] = self.getvalue()
                    store.changed()
                super().close()

        return pa.PythonFile(Upload(), mode="w")

    def delete_file(self, path: str) -> None:
        self.asked("delete", path)
        if self.held.pop(path, None) is None:
            raise FileNotFoundError(path)
        self.changed()

    def unknown(self, *args: Any) -> Any:
        raise NotImplementedError("an object store cannot do that")

    get_file_info = copy_file = create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = unknown
    move = open_append_stream = open_input_file = unknown


@dataclass
class World:
    """A store, the machine of a driver, and nodes."""

    store: Objects
    folder: Path
    place: Place  # as a driver with a folder has it

    def head(self, name: str = "head") -> Remote:
        """The store, seen from the machine of one driver."""
        return Remote(URI, self.folder / name)

    def on(self, name: str) -> Place:
        """The place on a node with its own disk, once the driver has shared it."""
        head = self.head()
        local = {"split": head.local / "splits/s.csv", "scan": head.local / "scans" / self.place.scan.name}  # type: ignore[union-attr]
        for kind, path in local.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(getattr(self.place, kind), path)
        mine = replace(self.place, **local, folder=head.local / "trials" / self.name)  # type: ignore[arg-type]
        (shared,) = node.portable(head, {"": mine}, {}).values()
        moved = {
            kind: self.folder / name / path.relative_to(head.local)
            for kind in ("split", "scan", "weights", "folder")
            if (path := getattr(shared, kind))
        }
        return replace(shared, **moved)

    @property
    def name(self) -> str:
        return f"{CONFIG.key}-{NAME}"

    def there(self) -> set[str]:
        """The names of the trial's files in the store."""
        top = f"bucket/results/trials/{self.name}/"
        return {name.removeprefix(top) for name in self.store.held if name.startswith(top)}

    def kinds(self) -> list[str]:
        """The names of the trial's files, without the parts that differ between attempts."""
        return sorted(n.replace(n.partition("/")[0], "attempt") if "/" in n else n for n in self.there())

    def path(self, name: str) -> str:
        """The path of one of the trial's files in the store."""
        return f"bucket/results/trials/{self.name}/{name}"


FILES = ["best.pt", "best.pt.sha256", "predictions.npz", "record.json"]
COMMITTED = [*(f"attempt/{name}" for name in FILES), "record.json"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The clips and the split of invented ships, and the scan that they were made from."""
    root = tmp_path_factory.mktemp("ships")
    write_deepship(root / "ships", num_per_class=4, seconds=(2, 3), rate_hz=8_000)
    source = Source(root / "ships", root / "cache")
    data = prepare.prepare(Wanted("deepship", (), "recording", CONFIG.clip_s), source)
    prepare.clips(data, [CONFIG.data_hz], CONFIG.clip_s, source)
    clips = cache.entry(data.scan, CONFIG.data_hz, CONFIG.clip_s, root / "cache")
    split, scan = splits.write(data.split, root / "splits"), manifest.write(data.scan, root / "scans")
    return Place(clips, split, None, root / "nowhere", scan=scan)


@pytest.fixture
def world(prepared: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty store, without any patience."""
    store = Objects()
    real, mine = door.opened, (fs.PyFileSystem(store), "bucket/results")
    monkeypatch.setattr(door, "opened", lambda uri: mine if uri.startswith("mem:") else real(uri))
    monkeypatch.setattr(trial, "start_network", Small)
    monkeypatch.setattr(node, "WAITS_S", [0.01] * 9)
    return World(store, tmp_path, prepared)


class Stop(Exception):
    """The end of a worker in the middle of a trial."""


@dataclass
class Heard:
    """The reports of a worker: all epochs, and those that it trained itself."""

    rows: list[dict[str, float]]
    trained: list[int]
    said: list[str]


def work(world: World, on: str, monkeypatch: pytest.MonkeyPatch, until: int = 99) -> Heard:
    """Runs the trial on a node, to its end or until an epoch has been reported."""
    heard, train_epoch = Heard([], [], []), finetune.train_epoch

    def train(learner: Learner, examples: Any, epoch: int, *more: Any) -> Any:
        heard.trained.append(epoch)
        return train_epoch(learner, examples, epoch, *more)

    def report(row: dict[str, float]) -> None:
        heard.rows.append(row)
        if row["epoch"] > until:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "train_epoch", train)
        node.run(CONFIG, world.on(on), report, heard.said.append)
    return heard


def logits(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as stored:
        return np.array(stored["logits"])


def commit(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Record]:
    """Runs and commits a trial, and returns its folder on the head and its record."""
    work(world, "node", monkeypatch)
    folder = remote.take(world.head(), world.name)
    committed = record.read(folder)
    assert committed
    return folder, committed


def pull(world: World, head: str = "head") -> list[str]:
    """Pulls as at a driver's start, and returns the messages."""
    messages: list[str] = []
    remote.pull(world.head(head), messages.append)
    return messages


def test_a_trial_travels_from_a_node_to_the_driver(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has its files, verified; the store has them and only the marker; the node has nothing left."""
    heard = work(world, "node", monkeypatch)
    assert [row["epoch"] for row in heard.rows] == heard.trained == [1, 2, 3, 4, 5]
    assert "record.json" not in world.there()
    folder = remote.take(world.head(), world.name)
    assert world.kinds() == COMMITTED
    committed = record.read(folder)
    assert committed
    record.check_files(folder, committed)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert not (world.folder / "node/work" / world.name).exists()


def test_another_node_goes_on_where_the_first_one_stopped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trains the remaining epochs, only from the store's checkpoint, and ends with the same bits."""
    with pytest.raises(Stop):
        work(world, "first", monkeypatch, until=2)
    shutil.rmtree(world.folder / "first")
    assert work(world, "second", monkeypatch).trained == [4, 5]
    folder = remote.take(world.head(), world.name)
    alone = replace(world.place, folder=tmp_path / "alone")
    trial.run(CONFIG, alone, lambda row: None)
    assert np.array_equal(logits(folder), logits(alone.folder))


def test_at_every_moment_a_whole_checkpoint_is_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the worker is killed after the first checkpoint, one can be resumed from, and never an older one."""
    work(world, "node", monkeypatch)
    newest, changes = [], 0
    for number, state in enumerate(world.store.states):
        if any(name.endswith("predictions.npz") for name in state):
            break
        folder = tmp_path / "states" / str(number)
        folder.mkdir(parents=True)
        for name, data in state.items():
            (folder / Path(name).name).write_bytes(data)
        loaded = checkpoint.latest(folder)
        newest.append(len(loaded["history"]) if loaded else 0)
        changes += 1
    assert newest == sorted(newest)
    assert newest[-1] == CONFIG.epochs
    assert changes > 4


def test_older_checkpoints_are_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has what a folder would have: two epochs and their best weights."""
    with pytest.raises(Stop):
        work(world, "node", monkeypatch, until=3)
    here = world.folder / "node/work" / world.name
    assert {n for n in world.there() if ".pt" in n} == {p.name for p in here.glob("*.pt*")}


def test_a_worker_that_should_be_dead_removes_no_newer_checkpoint(world: World, tmp_path: Path) -> None:
    """Its newest is epoch 2; epoch 5 of the worker that took over stays."""
    for name in ("epoch-0001.pt", "epoch-0005.pt", "best-0005.pt"):
        world.store.held[world.path(name)] = world.store.held[world.path(f"{name}.sha256")] = b"x"
    (folder := tmp_path / world.name).mkdir()
    for name in ("epoch-0002.pt", "best-0002.pt"):
        (folder / name).touch()
        (folder / f"{name}.sha256").touch()
    node.send_checkpoints(world.head(), folder)
    names = ("best-0002.pt", "best-0005.pt", "epoch-0002.pt", "epoch-0005.pt")
    assert world.there() == {*names, *(f"{name}.sha256" for name in names)}


def test_a_store_that_takes_no_checkpoints_stops_no_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message comes, and they are sent with a later epoch."""
    refused: list[str] = []

    def fails(what: str, name: str) -> bool:
        if what == "put" and ".pt" in name and "attempt-" not in name and len(refused) < 2:
            refused.append(name)
            return True
        return False

    world.store.fails = fails
    sent = threading.Event()
    send = node.send_checkpoints

    def sending(*args: Any) -> None:
        try:
            send(*args)
        finally:
            sent.set()

    monkeypatch.setattr(node, "send_checkpoints", sending)
    train_epoch = finetune.train_epoch

    def train(*args: Any) -> Any:
        if args[2] > 1:  # the epoch before has been sent, or not
            assert sent.wait(10)
            sent.clear()
        return train_epoch(*args)

    monkeypatch.setattr(finetune, "train_epoch", train)
    heard = work(world, "node", monkeypatch)
    assert heard.trained == [1, 2, 3, 4, 5]
    assert len(refused) == 2
    (message,) = heard.said
    assert f"{URI}: trials/{world.name}/" in message
    assert "SLOW_DOWN" in message
    assert "training goes on" in message
    assert "RequestID" not in message
    assert any(any("epoch-" in name for name in state) for state in world.store.states)


def test_a_store_that_answers_slowly_stops_no_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All epochs are trained while the first checkpoint is still being sent."""
    go_on = threading.Event()
    trained: list[int] = []

    def fails(what: str, name: str) -> bool:
        if what == "put" and "best-" in name and not go_on.is_set():
            assert go_on.wait(30)
        return False

    def report(row: dict[str, float]) -> None:
        trained.append(int(row["epoch"]))
        if len(trained) == CONFIG.epochs:
            go_on.set()

    world.store.fails = fails
    node.run(CONFIG, world.on("node"), report, lambda line: None)
    assert trained == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["best.pt", "predictions.npz", "record.json"])
def test_a_result_is_sent_again_until_it_has_arrived(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A store that is down when the trial ends is tried again, for a bounded time."""
    refused: list[str] = []

    def fails(what: str, name: str) -> bool:
        if what == "put" and "attempt-" in name and name.endswith(kind) and len(refused) < 3:
            refused.append(name)
            return True
        return False

    world.store.fails = fails
    commit(world, monkeypatch)
    assert len(refused) == 3
    assert world.kinds() == COMMITTED


def test_a_result_that_cannot_be_sent_fails_the_trial_and_is_not_trained_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason has address, file and remedy; the next attempt on that node sends the existing files."""
    world.store.fails = lambda what, name: what == "put" and "attempt-" in name
    with pytest.raises(RemoteError, match=rf"{URI}: trials/.*cannot be written .*SLOW_DOWN.*credentials"):
        work(world, "node", monkeypatch)
    assert not any("attempt-" in name for name in world.there())
    world.store.fails = lambda what, name: False
    heard = work(world, "node", monkeypatch)
    assert heard.trained == []
    assert [row["epoch"] for row in heard.rows] == [1, 2, 3, 4, 5]
    remote.take(world.head(), world.name)
    assert world.kinds() == COMMITTED


def test_a_trial_waits_for_a_store_that_is_down_when_it_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fail at the first unanswered request."""
    asked: list[str] = []
    place = world.on("node")

    def fails(what: str, name: str) -> bool:
        asked.append(name)
        return len(asked) <= 3

    world.store.fails = fails
    node.run(CONFIG, place, lambda row: None, lambda line: None)
    assert len(asked) > 3


@pytest.mark.parametrize("name", ["best.pt", "predictions.npz", "record.json"])
@pytest.mark.parametrize("how", ["flipped", "short", "gone"])
def test_a_damaged_result_is_refused(world: World, monkeypatch: pytest.MonkeyPatch, name: str, how: str) -> None:
    """It does not count, nothing is marked, and it is not tried again; the trial's next result is accepted."""
    work(world, "node", monkeypatch)
    (path,) = (world.path(n) for n in world.there() if n.endswith(name))
    data = world.store.held.pop(path)
    if how != "gone":
        world.store.held[path] = data[:-9] if how == "short" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    with pytest.raises(DamagedRecord, match=f"{URI}: trials/{world.name}: the trial says that it has finished, but"):
        remote.take(world.head(), world.name)
    assert not any(n.endswith("record.json") for n in world.there())
    assert record.read(world.head().local / "trials" / world.name) is None
    assert pull(world) == []
    assert work(world, "node", monkeypatch).trained == []  # its checkpoints were whole
    remote.take(world.head(), world.name)
    assert world.kinds() == COMMITTED


def test_a_whole_result_that_no_driver_has_seen_is_committed_at_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver died before its worker reported: the trial counts, without another epoch."""
    work(world, "node", monkeypatch)
    pull(world)
    folder = world.head().local / "trials" / world.name
    committed = record.read(folder)
    assert committed
    record.check_files(folder, committed)
    assert world.kinds() == COMMITTED


def test_of_two_results_of_one_trial_the_first_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is removed, wherever it came from."""
    work(world, "first", monkeypatch)
    work(world, "second", monkeypatch)
    first, second = sorted({n.partition("/")[0] for n in world.there() if n.startswith("attempt-")})
    folder = remote.take(world.head(), world.name)
    committed = record.read(folder)
    assert committed
    assert committed.attempt == first != second
    assert world.kinds() == COMMITTED
    work(world, "third", monkeypatch)  # a worker that should be dead
    pull(world)
    assert record.read(folder) == committed
    assert world.kinds() == COMMITTED


def test_the_heads_disk_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new head has the record, byte for byte, and the predictions; the weights only on request."""
    folder, committed = commit(world, monkeypatch)
    (lost := world.folder / "lost").mkdir()
    folder.replace(lost / "trial")
    shutil.rmtree(world.head().local)
    before = dict(world.store.held)
    pull(world, "new")
    mine = world.folder / "new/trials" / world.name
    assert (mine / "record.json").read_bytes() == (lost / "trial/record.json").read_bytes()
    assert sorted(path.name for path in mine.iterdir()) == ["predictions.npz", "record.json"]
    record.check_files(mine, committed, ("predictions.npz",))
    remote.pull(world.head("new"), print, [CONFIG.key])
    record.check_files(mine, committed)
    assert world.store.held == before


def test_a_look_changes_nothing_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run knows the committed trials, and neither commits nor removes anything."""
    commit(world, monkeypatch)
    work(world, "late", monkeypatch)
    before = dict(world.store.held)
    remote.checker(world.head("laptop"))
    assert record.read(world.folder / "laptop/trials" / world.name)
    assert world.store.held == before


def test_every_head_is_one_storage_to_mlflow(world: World) -> None:
    """A new head may end the runs of the dead one; another store's head may not."""
    pull(world, "one")
    pull(world, "two")
    remote.pull(Remote(f"{URI}/other", world.folder / "three"), print)
    one, two, three = ((world.folder / name / ".storage-id").read_text() for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize("cut", [0, 40, -1])
def test_a_marker_that_a_kill_has_cut_off_is_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Heads with and without a local copy both do so, with the same record."""
    _, committed = commit(world, monkeypatch)
    intact = world.store.held[world.path("record.json")]
    for head in ("head", "new"):
        world.store.held[world.path("record.json")] = intact[:cut]
        pull(world, head)
        assert world.store.held[world.path("record.json")] == intact
        assert record.read(world.folder / head / "trials" / world.name) == committed


def test_what_was_committed_and_is_gone_is_no_trial_to_run_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An emptied store stops a driver that still has a copy, with a message."""
    folder, _ = commit(world, monkeypatch)
    world.store.held.clear()
    with pytest.raises(RemoteError, match=f"{URI}: trials/{world.name} was committed, and is gone; put it back"):
        pull(world)
    assert record.read(folder)


def test_committed_files_that_are_damaged_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new head accepts only the bytes that the record vouches for."""
    commit(world, monkeypatch)
    (path,) = (world.path(n) for n in world.there() if n.endswith("predictions.npz"))
    world.store.held[path] = b"other"
    with pytest.raises(DamagedRecord, match=r"predictions\.npz"):
        pull(world, "new")


@pytest.mark.parametrize("name", ["best.pt", "best.pt.sha256", "predictions.npz"])
@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_committed_files_there_are_compared_by_size(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, harm: str
) -> None:
    """A look and a start do so, with and without local copies; nothing is fetched for it."""
    folder, committed = commit(world, monkeypatch)
    path = world.path(f"{committed.attempt}/{name}")
    intact = world.store.held.pop(path)
    if harm == "cut":
        world.store.held[path] = intact[:-1]
    expected = (
        rf"{URI}/trials/{world.name}/{committed.attempt}/{name}: (is missing|has .* instead of .*); put back a copy"
    )
    for head in ("head", "new"):
        with pytest.raises(DamagedRecord, match=expected):
            pull(world, head)
        assert re.match(
            expected, remote.checker(world.head(head))(world.folder / head / "trials" / world.name, committed)
        )
    world.store.held[path] = intact
    assert pull(world) == pull(world, "new") == []
    assert remote.checker(world.head())(folder, committed) == ""


def test_a_copy_that_is_cut_here_is_fetched_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has the whole file; a copy of the weights that is not needed here may be missing."""
    folder, committed = commit(world, monkeypatch)
    (folder / "best.pt").unlink()
    for name in ("predictions.npz", "best.pt.sha256"):
        (folder / name).write_bytes(b"cut")
    pull(world)
    record.check_files(folder, committed, ("predictions.npz", "best.pt.sha256"))
    assert not (folder / "best.pt").exists()


class TestSetAside:
    def test_a_trial_that_was_set_aside_runs_again_everywhere(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old result is not adopted again, and neither the old head nor the old node brings it back."""
        folder, first = commit(world, monkeypatch)
        pull(world, "old")
        node_folder = world.folder / "node/work" / world.name
        shutil.copytree(folder, node_folder)  # a node whose word was lost
        remote.forget(world.head(), folder)
        record.forget(folder)
        for head in ("head", "old", "new"):
            assert pull(world, head) == []
            assert record.read(world.folder / head / "trials" / world.name) is None
        assert work(world, "node", monkeypatch).trained == [1, 2, 3, 4, 5]
        again = record.read(remote.take(world.head(), world.name))
        assert again
        assert again.sha256 != first.sha256
        # On a GPU the second result has other bits, and the first one's files lie there still.
        (world.folder / "old/trials" / world.name / "predictions.npz").write_bytes(b"of the first")
        for head in ("old", "new"):
            pull(world, head)
            mine = world.folder / head / "trials" / world.name
            assert record.read(mine) == again
            record.check_files(mine, again, ("predictions.npz",))

    def test_a_kill_in_between_loses_nothing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between two requests the record still counts or is set aside; its copy exists from the first on."""
        folder, committed = commit(world, monkeypatch)
        requests = ("put", "delete", "delete")
        for number in range(len(requests)):
            left = number

            def fails(what: str, name: str) -> bool:
                nonlocal left
                left -= what != "get"
                return left < 0

            world.store.fails = fails
            with pytest.raises(RemoteError):
                remote.forget(world.head(), folder)
            world.store.fails = lambda what, name: False
            pull(world)
            assert record.read(folder) == committed
        remote.forget(world.head(), folder)
        pull(world)
        assert record.read(folder) is None
        (path,) = (n for n in world.there() if n.startswith("forgotten-"))
        assert path in {p.name for p in folder.iterdir()}


class TestNodes:
    def test_a_node_brings_the_split_and_the_scan(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """It builds its own clips from the corpus, which it sees."""
        place = world.on("node")
        missing = replace(place, clips=world.folder / "node/cache/clips" / place.clips.name)
        node.run(CONFIG, missing, lambda row: None, lambda line: None)
        assert place.split.exists()
        assert missing.clips.exists()
        remote.take(world.head(), world.name)

    def test_a_node_brings_the_corpus_to_build_its_clips(self, world: World, tmp_path: Path) -> None:
        """It goes to the place of the driver's scan, even if the storage is a folder that all see."""
        assert world.place.scan
        ships, copy = world.place.scan.parents[1] / "ships", tmp_path / "corpora/ships"
        fetch.bring(Remote(ships.as_uri(), copy))
        data = prepare.prepare(Wanted("deepship", (), "recording", CONFIG.clip_s), Source(copy, tmp_path / "facts"))
        scan = manifest.write(data.scan, tmp_path / "scans")
        shutil.rmtree(copy)
        clips = tmp_path / "cache/clips" / world.place.clips.name
        place = replace(world.place, scan=scan, clips=clips, corpus=ships.as_uri(), folder=tmp_path / "trial")
        node.run(CONFIG, place, lambda row: None, lambda line: None)
        assert clips.exists()
        assert copy.exists()
        assert record.read(place.folder)

    def test_a_checkpoint_to_start_from_is_brought_and_verified(self, world: World, tmp_path: Path) -> None:
        """It may be anywhere on the driver; other bytes are refused, or fetched again."""
        (start := tmp_path / "elsewhere.pt").write_bytes(b"weights")
        digest = node.weights.sha256(start)
        world.place = replace(world.place, weights=start, tags={"weights_sha256": digest})
        place = world.on("node")
        assert place.weights
        node._bring(node.storage(place), place)
        assert place.weights.read_bytes() == b"weights"
        place.weights.write_bytes(b"other")
        node._bring(node.storage(place), place)
        assert place.weights.read_bytes() == b"weights"
        place.weights.unlink()
        (name,) = (n for n in world.store.held if "/starts/" in n)
        world.store.held[name] = b"short"
        with pytest.raises(RemoteError, match="is not what the driver sent"):
            node._bring(node.storage(place), place)

    def test_published_weights_keep_their_name(self, world: World) -> None:
        """They are put into the store by the first driver that has them, and pulled by the next."""
        path = world.head().local / "weights/Cnn14.pth"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"published")
        world.place = replace(world.place, weights=path)
        assert world.on("node").weights == world.folder / "node/weights/Cnn14.pth"
        pull(world, "new")
        assert (world.folder / "new/weights/Cnn14.pth").read_bytes() == b"published"

    def test_half_batches_are_taken_on_every_node(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """One node has run out of memory; the next one knows, until the trial is committed."""
        first = world.on("first")
        first.folder.mkdir(parents=True)
        node.no_room(first)
        commit(world, monkeypatch)
        committed = record.read(world.head().local / "trials" / world.name)
        assert committed
        assert committed.provenance["micro_batches"] == "2"
        assert NO_ROOM not in world.there()


class TestWords:
    def parse(self, *words: str) -> Options:
        parser = argparse.ArgumentParser(exit_on_error=False)
        for add in (commandline.add_plan_flags, commandline.add_data_flags, commandline.add_store_flags):
            add(parser)
        return commandline.options_of(parser.parse_args(words))

    def test_a_uri_has_one_copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the same on every node, however the URI ends; another URI has another copy."""
        monkeypatch.setenv("SOUNDINGS_CACHE_DIR", str(tmp_path))
        options = self.parse("--storage", "s3://bucket/a/", "--data-root", "gs://bucket/corpus")
        assert (options.remote, options.data_uri) == ("s3://bucket/a", "gs://bucket/corpus")
        assert options.storage.parent == tmp_path
        assert options.data_root
        assert options.data_root.parent == tmp_path / "corpora"
        assert self.parse("--storage", "s3://bucket/a").storage == options.storage
        assert self.parse("--storage", "s3://bucket/b").storage != options.storage

    def test_a_folder_is_no_uri(self, tmp_path: Path) -> None:
        """Nothing about it is remote."""
        options = self.parse("--storage", str(tmp_path), "--data-root", "~/DeepShip")
        assert (options.remote, options.data_uri) == ("", "")
        assert (options.storage, options.data_root) == (tmp_path, Path.home() / "DeepShip")
        assert options.object_store is None

    def test_the_environment_may_name_uris(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cluster's file does so; a flag takes precedence."""
        monkeypatch.setenv("SOUNDINGS_STORAGE", "s3://bucket/a")
        monkeypatch.setenv("SOUNDINGS_DATA_ROOT", "s3://bucket/corpus")
        options = self.parse()
        assert (options.remote, options.data_uri) == ("s3://bucket/a", "s3://bucket/corpus")
        assert options.as_flags == []
        options = self.parse("--storage", str(tmp_path))
        assert (options.remote, options.storage) == ("", tmp_path)
        assert options.as_flags == ["--storage", str(tmp_path)]

    def test_a_uri_is_repeated(self) -> None:
        """The commands that a sweep prints contain it."""
        options = self.parse("--storage", "s3://bucket/a")
        assert options.as_flags == ["--storage", "s3://bucket/a"]
        assert self.parse(*options.as_flags) == options

    @pytest.mark.parametrize("word", ["s3://key:hidden@bucket/a", "s3://bucket/a?secret_key=hidden"])
    def test_a_password_is_refused(self, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """That holds on the command line and in the environment, and the message does not repeat it."""
        with pytest.raises(argparse.ArgumentError, match="holds a password") as refused:
            self.parse("--storage", word)
        assert "hidden" not in str(refused.value)
        monkeypatch.setenv("SOUNDINGS_STORAGE", word)
        with pytest.raises(Refusal, match="holds a password"):
            located.default_storage()


def test_a_record_that_leads_out_of_its_folder_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who can write to the store can neither write nor remove files elsewhere on the head."""
    _, committed = commit(world, monkeypatch)
    more = {
        name: {**getattr(committed, name), "../../victim": getattr(committed, name)["best.pt"]}
        for name in ("files", "sizes")
    }
    evil = replace(committed, **more)
    (tmp_path / "evil" / committed.attempt).mkdir(parents=True)
    record.commit(tmp_path / "evil", evil)
    world.store.held[world.path("record.json")] = (tmp_path / "evil/record.json").read_bytes()
    (victim := world.folder / "new/victim").parent.mkdir()
    victim.write_text("mine")
    pull(world, "new")
    assert victim.read_text() == "mine"
    assert record.read(world.folder / "new/trials" / world.name) == committed  # what the attempt says counts
