"""Files at a URI: copied completely or not at all, named in every error, and never outside their folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs

from datasets.engine import cache, fetch, prepare, remote
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Source, Wanted
from datasets.engine.remote import Gone, Remote, RemoteError
from datasets.synthetic.deepship import write as write_deepship


@pytest.fixture
def tree(tmp_path: Path) -> Remote:
    """A store with three files, and an empty folder."""
    for name, text in {"a": "one", "b/c": "three", "b/d/e": ""}.items():
        (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / name).write_text(text)
    return Remote((tmp_path / "store").as_uri(), tmp_path / "local")


class Store:
    """The real file system, with requests that are counted and can fail."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.before: Callable[[str], None] = lambda name: None

    def __getattr__(self, name: str) -> Any:
        return getattr(fs.LocalFileSystem(), name)

    def open_input_stream(self, path: str) -> Any:
        self.read.append(path)
        self.before(path)
        return fs.LocalFileSystem().open_input_stream(path)


@pytest.fixture
def store(tree: Remote, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of the tree."""
    _, path = fs.FileSystem.from_uri(tree.uri)
    store = Store()
    monkeypatch.setattr(remote, "opened", lambda uri: (store, path))
    return store


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


class TestRemote:
    def test_files_are_listed_below_a_folder(self, tree: Remote) -> None:
        """Files are listed by name with their sizes; a missing folder has none."""
        assert {name: file.num_bytes for name, file in tree.files().items()} == {"a": 3, "b/c": 5, "b/d/e": 0}
        assert set(tree.files("b")) == {"b/c", "b/d/e"}
        assert tree.files("nowhere") == {}

    def test_a_file_goes_there_and_back(self, tree: Remote, tmp_path: Path) -> None:
        """Files are copied to new folders, under the same name or another."""
        (tmp_path / "mine").write_bytes(b"bytes" * 5_000_000)
        tree.put("x/y/z", tmp_path / "mine")
        assert tree.get("x/y/z").read_bytes() == (tmp_path / "mine").read_bytes()
        assert tree.local / "x/y/z" == tree.get("x/y/z")
        tree.get("a", tmp_path / "other")
        assert (tmp_path / "other").read_bytes() == tree.read("a") == b"one"

    def test_what_is_not_there(self, tree: Remote) -> None:
        """Reading a missing file is an error with its name; deleting one is not."""
        for ask in (tree.get, tree.read):
            with pytest.raises(Gone, match=f"{tree.uri}: b/nothing is not there"):
                ask("b/nothing")
        tree.delete(["b/nothing", "b/c"])
        assert set(tree.files()) == {"a", "b/d/e"}
        assert not tree.local.exists() or contents(tree.local) == {}

    def test_a_copy_that_breaks_off_leaves_nothing(self, tree: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        """An interrupted copy leaves no file under any name, and an older file stays."""
        tree.get("a")

        class Broken:
            def __enter__(self) -> Broken:
                self.parts = [b"tw"]
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def read(self, size: int) -> bytes:
                if self.parts:
                    return self.parts.pop()
                raise OSError("curlCode: 56, Failure when receiving data from the peer\nRequest ID: 17")

        opened = SimpleNamespace(open_input_stream=lambda path: Broken())
        monkeypatch.setattr(remote, "opened", lambda uri: (opened, "base"))
        with pytest.raises(RemoteError, match=r"a cannot be read \(curlCode: 56, .* the peer\); check .*credentials"):
            tree.get("a")
        assert contents(tree.local) == {"a": "one"}

    @pytest.mark.parametrize("name", ["../evil", "b/../../evil", "b//c", "./a"])
    def test_a_name_that_leads_elsewhere_is_refused(
        self, tree: Remote, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """An object store accepts any text as a name, so names are checked."""
        infos = [fs.FileInfo(f"base/{name}", fs.FileType.File, size=1, mtime_ns=1)]
        monkeypatch.setattr(
            remote, "opened", lambda uri: (SimpleNamespace(get_file_info=lambda selector: infos), "base")
        )
        with pytest.raises(RemoteError, match="is not the name of a file below a folder; rename or remove it"):
            tree.files()

    @pytest.mark.parametrize("uri", ["ftp://host/folder", "s3:///nothing", "nothing"])
    def test_an_address_that_is_none(self, uri: str, tmp_path: Path) -> None:
        """An invalid address is refused, with the valid forms."""
        with pytest.raises(RemoteError, match=f"{uri}: cannot be used .*; write s3://bucket/folder"):
            Remote(uri, tmp_path).files()


class TestFetch:
    def test_a_corpus_is_the_same_here(self, tmp_path: Path) -> None:
        """The scan of the copy has the hash of the original's scan."""
        write_deepship(tmp_path / "ships", num_per_class=3, seconds=(1, 2), rate_hz=8_000)
        original = Remote((tmp_path / "ships").as_uri(), tmp_path / "copies/ships")
        fetch.bring(original)
        wanted = Wanted("deepship", (), "recording", 1.0)
        scans = [
            prepare.prepare(wanted, Source(root, tmp_path / "cache")).scan
            for root in (tmp_path / "ships", original.local)
        ]
        assert scans[0].sha256 == scans[1].sha256
        assert cache.entry(scans[0], 8_000, 1.0, tmp_path) == cache.entry(scans[1], 8_000, 1.0, tmp_path)

    def test_only_what_differs_is_read(self, tree: Remote, store: Store, tmp_path: Path) -> None:
        """Missing files and those with another size or time are fetched; removed files are deleted here too."""
        fetch.bring(tree)
        assert contents(tree.local) == contents(tmp_path / "store")
        assert len(store.read) == 3
        fetch.bring(tree)
        assert len(store.read) == 3
        (tmp_path / "store/a").write_text("two")  # of the same size
        (tmp_path / "store/new").write_text("new")
        shutil.rmtree(tmp_path / "store/b/d")
        (tree.local / ".a.1a2b3c4d").write_text("half")  # left by a kill
        fetch.bring(tree)
        assert sorted(Path(path).name for path in store.read[3:]) == ["a", "new"]
        assert contents(tree.local) == contents(tmp_path / "store")
        assert not (tree.local / "b/d").exists()

    def test_a_kill_in_between_leaves_no_file_that_looks_whole(self, tree: Remote, store: Store) -> None:
        """After a kill, complete files are not fetched again."""

        def fails(path: str) -> None:
            if path.endswith("c"):
                raise OSError("down")

        store.before = fails
        with pytest.raises(RemoteError, match="b/c cannot be read"):
            fetch.bring(tree)
        assert "b/c" not in contents(tree.local)
        before = len(store.read)
        store.before = lambda name: None
        fetch.bring(tree)
        assert "b/c" in contents(tree.local)
        assert len(store.read) - before < 3

    def test_one_fetches_while_others_wait(self, tree: Remote, store: Store) -> None:
        """If several processes start at once, the others find all files in place."""
        waited: list[int] = []
        store.before = lambda name: time.sleep(0.1)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: fetch.bring(tree, wait=lambda: waited.append(n)), range(4)))
        assert len(store.read) == 3
        assert 0 < len(set(waited)) < 4

    def test_an_empty_corpus_removes_nothing_here(self, tree: Remote, tmp_path: Path) -> None:
        """A wrong address or an emptied bucket does not delete the copy."""
        fetch.bring(tree)
        before = contents(tree.local)
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(CorpusError, match=f"--data-root {tree.uri}: there are no files; check the address"):
            fetch.bring(tree)
        assert contents(tree.local) == before

    def test_a_disk_that_is_too_small_is_said_first(
        self, tree: Remote, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is fetched; the message has both sizes and the remedy."""
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=fetch.SPARE_BYTES + 7))
        with pytest.raises(CorpusError, match=r"needs 0\.00 GB, 0\.20 GB are free; .*SOUNDINGS_CACHE_DIR"):
            fetch.bring(tree)
        assert store.read == []
