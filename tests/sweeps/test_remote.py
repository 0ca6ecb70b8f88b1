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
from datasets.synthetic.corpora import write_deepship
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
        found = [(n, data) for n, data in list(self.held.items()) if n.startswith(f"{selector.base_dir}/")]
        return [fs.FileInfo(n, fs.FileType.File, size=len(data), mtime_ns=1) for n, data in found]

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
    """A store, a driver's machine, and nodes."""

    store: Objects
    folder: Path
    place: Place  # as a driver with a folder has it

    def head(self, name: str = "head") -> Remote:
        """The store, from the machine of one driver."""
        return Remote(URI, self.folder / name)

    def on(self, name: str) -> Place:
        """The place on a node of its own disk, once the driver has shared it."""
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
        """The same without what differs from attempt to attempt."""
        return sorted(n.replace(n.partition("/")[0], "attempt") if "/" in n else n for n in self.there())

    def path(self, name: str) -> str:
        """Of one of the trial's files in the store."""
        return f"bucket/results/trials/{self.name}/{name}"


FILES = ["best.pt", "best.pt.sha256", "predictions.npz", "record.json"]
COMMITTED = [*(f"attempt/{name}" for name in FILES), "record.json"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Clips and a split of invented ships, and the scan that they were made from."""
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
    """A store that is empty, and no patience with it."""
    store = Objects()
    real, mine = door.opened, (fs.PyFileSystem(store), "bucket/results")
    monkeypatch.setattr(door, "opened", lambda uri: mine if uri.startswith("mem:") else real(uri))
    monkeypatch.setattr(trial, "start_network", Small)
    monkeypatch.setattr(node, "WAITS_S", [0.01] * 9)
    return World(store, tmp_path, prepared)


class Stop(Exception):
    """A worker's end in the middle of a trial."""


@dataclass
class Heard:
    """What a worker has reported: all epochs, and those that it trained itself."""

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
    """A trial that ran and was committed: its folder on the head, and its record."""
    work(world, "node", monkeypatch)
    folder = remote.take(world.head(), world.name)
    found = record.read(folder)
    assert found
    return folder, found


def pull(world: World, head: str = "head") -> list[str]:
    """A start of a driver; what it said."""
    said: list[str] = []
    remote.pull(world.head(head), said.append)
    return said


def test_a_trial_travels_from_a_node_to_the_driver(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has its files, verified; the store has them and the marker alone; the node has nothing left."""
    heard = work(world, "node", monkeypatch)
    assert [row["epoch"] for row in heard.rows] == heard.trained == [1, 2, 3, 4, 5]
    assert "record.json" not in world.there()
    folder = remote.take(world.head(), world.name)
    assert world.kinds() == COMMITTED
    found = record.read(folder)
    assert found
    record.check_files(folder, found)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert not (world.folder / "node/work" / world.name).exists()


def test_another_node_goes_on_where_the_first_one_stopped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trains the epochs that are left, from the store's checkpoint alone, and ends with the same bits."""
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
    """Whenever the worker is killed, from the first checkpoint on, one can be resumed from, and never an older one."""
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
    """What is there is what a folder would hold: two epochs and their best weights."""
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
    """It is said once, and they are sent with a later epoch."""
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
    (said,) = heard.said
    assert f"{URI}: trials/{world.name}/" in said
    assert "SLOW_DOWN" in said
    assert "training goes on" in said
    assert "RequestID" not in said
    assert any(any("epoch-" in name for name in state) for state in world.store.states)


def test_a_store_that_answers_slowly_stops_no_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All epochs are trained while the first checkpoint is still under way."""
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
    """A store that is down when the trial ends is asked again, for a bounded time."""
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
    """The reason names address, file and remedy; the next attempt on that node sends what is there."""
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
    """It does not fail at the first request that is not answered."""
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
    """It does not count, nothing is marked, and it is not looked at again; the trial's next result is taken."""
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
    """A driver died before its worker's word came: the trial counts, with no epoch more."""
    work(world, "node", monkeypatch)
    pull(world)
    folder = world.head().local / "trials" / world.name
    found = record.read(folder)
    assert found
    record.check_files(folder, found)
    assert world.kinds() == COMMITTED


def test_of_two_results_of_one_trial_the_first_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is removed, wherever it came from."""
    work(world, "first", monkeypatch)
    work(world, "second", monkeypatch)
    first, second = sorted({n.partition("/")[0] for n in world.there() if n.startswith("attempt-")})
    folder = remote.take(world.head(), world.name)
    found = record.read(folder)
    assert found
    assert found.attempt == first != second
    assert world.kinds() == COMMITTED
    work(world, "third", monkeypatch)  # a worker that should be dead
    pull(world)
    assert record.read(folder) == found
    assert world.kinds() == COMMITTED


def test_the_heads_disk_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new head has the record, byte for byte, and the predictions; the weights only when they are asked for."""
    folder, found = commit(world, monkeypatch)
    (lost := world.folder / "lost").mkdir()
    folder.replace(lost / "trial")
    shutil.rmtree(world.head().local)
    before = dict(world.store.held)
    pull(world, "new")
    mine = world.folder / "new/trials" / world.name
    assert (mine / "record.json").read_bytes() == (lost / "trial/record.json").read_bytes()
    assert sorted(path.name for path in mine.iterdir()) == ["predictions.npz", "record.json"]
    record.check_files(mine, found, ("predictions.npz",))
    remote.pull(world.head("new"), print, [CONFIG.key])
    record.check_files(mine, found)
    assert world.store.held == before


def test_a_look_changes_nothing_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run knows what is committed, and neither commits nor removes."""
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
    """By a head that remembers, and by one that does not; it is the same record."""
    _, found = commit(world, monkeypatch)
    whole = world.store.held[world.path("record.json")]
    for head in ("head", "new"):
        world.store.held[world.path("record.json")] = whole[:cut]
        pull(world, head)
        assert world.store.held[world.path("record.json")] == whole
        assert record.read(world.folder / head / "trials" / world.name) == found


def test_what_was_committed_and_is_gone_is_no_trial_to_run_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was emptied stops the driver, which still has a copy, and says so."""
    folder, _ = commit(world, monkeypatch)
    world.store.held.clear()
    with pytest.raises(RemoteError, match=f"{URI}: trials/{world.name} was committed, and is gone; put it back"):
        pull(world)
    assert record.read(folder)


def test_committed_files_that_are_damaged_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new head takes no other bytes than the record vouches for."""
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
    """By a look and at a start, of a head that has copies and of one that has none; nothing is fetched for it."""
    folder, found = commit(world, monkeypatch)
    path = world.path(f"{found.attempt}/{name}")
    whole = world.store.held.pop(path)
    if harm == "cut":
        world.store.held[path] = whole[:-1]
    said = rf"{URI}/trials/{world.name}/{found.attempt}/{name}: (is missing|has .* instead of .*); put back a copy"
    for head in ("head", "new"):
        with pytest.raises(DamagedRecord, match=said):
            pull(world, head)
        assert re.match(said, remote.checker(world.head(head))(world.folder / head / "trials" / world.name, found))
    world.store.held[path] = whole
    assert pull(world) == pull(world, "new") == []
    assert remote.checker(world.head())(folder, found) == ""


def test_a_copy_that_is_cut_here_is_fetched_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has the whole file; a copy of the weights that is not needed here may be missing."""
    folder, found = commit(world, monkeypatch)
    (folder / "best.pt").unlink()
    for name in ("predictions.npz", "best.pt.sha256"):
        (folder / name).write_bytes(b"cut")
    pull(world)
    record.check_files(folder, found, ("predictions.npz", "best.pt.sha256"))
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
        """Between two of its requests the record still counts, or is set aside; its copy is there from the first on."""
        folder, found = commit(world, monkeypatch)
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
            assert record.read(folder) == found
        remote.forget(world.head(), folder)
        pull(world)
        assert record.read(folder) is None
        (path,) = (n for n in world.there() if n.startswith("forgotten-"))
        assert path in {p.name for p in folder.iterdir()}


class TestNodes:
    def test_a_node_brings_the_split_and_the_scan(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """And builds its own clips from the corpus, which it sees."""
        place = world.on("node")
        missing = replace(place, clips=world.folder / "node/cache/clips" / place.clips.name)
        node.run(CONFIG, missing, lambda row: None, lambda line: None)
        assert place.split.exists()
        assert missing.clips.exists()
        remote.take(world.head(), world.name)

    def test_a_node_brings_the_corpus_to_build_its_clips(self, world: World, tmp_path: Path) -> None:
        """To where the scan has found it on the driver; also when the storage is a folder that all see."""
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
        """Wherever it lies on the driver; what is not the driver's bytes is refused, or fetched again."""
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
        with pytest.raises(RemoteError, match="is not what the driver has sent"):
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
        """One has run out of memory; the next one knows, until the trial is committed."""
        first = world.on("first")
        first.folder.mkdir(parents=True)
        node.no_room(first)
        commit(world, monkeypatch)
        found = record.read(world.head().local / "trials" / world.name)
        assert found
        assert found.provenance["micro_batches"] == "2"
        assert NO_ROOM not in world.there()


class TestWords:
    def parse(self, *words: str) -> Options:
        parser = argparse.ArgumentParser(exit_on_error=False)
        for add in (commandline.add_plan_flags, commandline.add_data_flags, commandline.add_store_flags):
            add(parser)
        return commandline.options_of(parser.parse_args(words))

    def test_a_uri_has_one_copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same on every node, however its end is written; another one's is elsewhere."""
        monkeypatch.setenv("SOUNDINGS_CACHE_DIR", str(tmp_path))
        options = self.parse("--storage", "s3://bucket/a/", "--data-root", "gs://bucket/corpus")
        assert (options.remote, options.data_uri) == ("s3://bucket/a", "gs://bucket/corpus")
        assert options.storage.parent == tmp_path
        assert options.data_root
        assert options.data_root.parent == tmp_path / "corpora"
        assert self.parse("--storage", "s3://bucket/a").storage == options.storage
        assert self.parse("--storage", "s3://bucket/b").storage != options.storage

    def test_a_folder_is_no_uri(self, tmp_path: Path) -> None:
        """Nothing is remote about it."""
        options = self.parse("--storage", str(tmp_path), "--data-root", "~/DeepShip")
        assert (options.remote, options.data_uri) == ("", "")
        assert (options.storage, options.data_root) == (tmp_path, Path.home() / "DeepShip")
        assert options.object_store is None

    def test_the_environment_may_name_uris(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a cluster's file does; a flag overrules it."""
        monkeypatch.setenv("SOUNDINGS_STORAGE", "s3://bucket/a")
        monkeypatch.setenv("SOUNDINGS_DATA_ROOT", "s3://bucket/corpus")
        options = self.parse()
        assert (options.remote, options.data_uri) == ("s3://bucket/a", "s3://bucket/corpus")
        assert options.as_flags == []
        options = self.parse("--storage", str(tmp_path))
        assert (options.remote, options.storage) == ("", tmp_path)
        assert options.as_flags == ["--storage", str(tmp_path)]

    def test_a_uri_is_repeated(self) -> None:
        """In the commands that a sweep prints."""
        options = self.parse("--storage", "s3://bucket/a")
        assert options.as_flags == ["--storage", "s3://bucket/a"]
        assert self.parse(*options.as_flags) == options

    @pytest.mark.parametrize("word", ["s3://key:hidden@bucket/a", "s3://bucket/a?secret_key=hidden"])
    def test_a_password_is_refused(self, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """On the command line and in the environment, and the message does not repeat it."""
        with pytest.raises(argparse.ArgumentError, match="holds a password") as refused:
            self.parse("--storage", word)
        assert "hidden" not in str(refused.value)
        monkeypatch.setenv("SOUNDINGS_STORAGE", word)
        with pytest.raises(Refusal, match="holds a password"):
            located.default_storage()


def test_a_record_that_leads_out_of_its_folder_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write the store can neither write nor remove files elsewhere on the head."""
    _, found = commit(world, monkeypatch)
    more = {
        name: {**getattr(found, name), "../../victim": getattr(found, name)["best.pt"]} for name in ("files", "sizes")
    }
    evil = replace(found, **more)
    (tmp_path / "evil" / found.attempt).mkdir(parents=True)
    record.commit(tmp_path / "evil", evil)
    world.store.held[world.path("record.json")] = (tmp_path / "evil/record.json").read_bytes()
    (victim := world.folder / "new/victim").parent.mkdir()
    victim.write_text("mine")
    pull(world, "new")
    assert victim.read_text() == "mine"
    assert record.read(world.folder / "new/trials" / world.name) == found  # what the attempt says counts
