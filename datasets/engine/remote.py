"""A tree of files at a URI (s3://, gs://, file://), and its copy on this machine. The only file that loads pyarrow.

An object store holds whole objects under names: it renames nothing and adds to nothing, and a write that is cut off may
leave an object that is too short. So callers believe nothing by its name: they keep hashes, and put last what vouches
for the rest.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from datasets.engine.corpus import UNWRITABLE, shown
from datasets.engine.refusal import Refusal

CHUNK_BYTES = 8 << 20
# Of a query: tokens, passwords, keys, and what signs an address so that whoever has it may read (presigned, SAS).
SECRET_WORD = re.compile(r"token|passw|pwd|secret|key|credential|auth|signature|^sig$", re.IGNORECASE)
# Names of users: a database's server asks for the password, and `anonymous` is how pyarrow's Google Cloud has no login.
NO_SECRET_USER = re.compile(r"(postgresql|mysql|mariadb|oracle|mssql)(\+\w+)?://[^/?#:@]+@|gs://anonymous@")
NUM_AT_ONCE = 8  # requests under way: one waits for the network, not for this machine


class RemoteError(Refusal, RuntimeError):
    """A store that cannot be reached, read or written; the message names address, file and remedy."""


class Gone(RemoteError):
    """A file that is not there."""


class Found(NamedTuple):
    """What a listing says of a file."""

    num_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Remote:
    """Files below a URI, and the folder of this machine that holds copies of some under the same names."""

    uri: str
    local: Path

    def files(self, under: str = "") -> dict[str, Found]:
        """Every file whose name begins with the folder `under`, or every file.

        Raises:
            RemoteError: if the store does not answer, or a name leads out of its folder.
        """
        with self._named(under or "all that it holds", "listed"):
            from pyarrow import fs

            store, base = opened(self.uri)
            top = f"{base}/{under}".rstrip("/")
            infos = store.get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
        found = {i.path[len(base) + 1 :]: Found(i.size, i.mtime_ns) for i in infos if i.is_file}
        if odd := [name for name in found if not {"", ".", ".."}.isdisjoint(name.split("/"))]:
            raise RemoteError(f"{self.uri}: {odd[0]!r} is no name of a file below a folder; rename or remove it")
        return found

    def read(self, name: str) -> bytes:
        """The bytes of a small file.

        Raises:
            Gone: if there is none.
            RemoteError: if it cannot be read.
        """
        return b"".join(self._chunks(name))

    def get(self, name: str, path: Path | None = None) -> Path:
        """Copies a file to this machine, whole or not at all.

        Args:
            path: where to; under its own name if None.

        Raises:
            Gone: if there is none.
            RemoteError: if it cannot be read.
        """
        path = path or self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with part.open("wb") as file:
                for chunk in self._chunks(name):
                    file.write(chunk)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def put(self, name: str, path: Path | None = None) -> None:
        """Copies a file of this machine there, over one that has the name.

        Args:
            path: what to copy; the file of the same name here if None.

        Raises:
            RemoteError: if it cannot be written.
        """
        with (path or self.local / name).open("rb") as file:
            self.put_open(name, file)

    def put_open(self, name: str, file: BinaryIO) -> None:
        """The same of a file that is open, and may have lost its name meanwhile."""
        with self._named(name, "written"):
            store, base = opened(self.uri)
            with _created(store, f"{base}/{name}") as out:
                shutil.copyfileobj(file, out, CHUNK_BYTES)

    def delete(self, names: Iterable[str]) -> None:
        """Removes files, in order; one that is not there is none to remove.

        Raises:
            RemoteError: if one cannot be removed.
        """
        for name in names:
            with self._named(name, "removed"):
                store, base = opened(self.uri)
                try:
                    store.delete_file(f"{base}/{name}")
                except FileNotFoundError:
                    continue

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._named(name, "read"):
            store, base = opened(self.uri)
            source = store.open_input_stream(f"{base}/{name}")
        with source:
            while True:
                with self._named(name, "read"):
                    chunk = source.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _named(self, name: str, what: str) -> Iterator[None]:
        """Whatever a store raises, as one error that says what to do."""
        try:
            yield
        except RemoteError:
            raise
        except FileNotFoundError as error:
            raise Gone(f"{self.uri}: {name} is not there ({_first_line(error)})") from None
        except Exception as error:  # each store has its own
            raise RemoteError(
                f"{self.uri}: {name} cannot be {what} ({_first_line(error)}); look at the address, the network and "
                "the credentials in the environment, and start again"
            ) from None


def check_address(uri: str, instead: str) -> None:
    """Refuses an address that cannot be one, or that holds what nobody else may know; it is not repeated.

    Args:
        instead: where a secret is read from.

    Raises:
        Refusal: saying what is wrong with it.
    """
    if UNWRITABLE.search(uri):
        raise Refusal(f"{shown(uri.partition(':')[0])}:...: an address has no control characters and is in UTF-8")
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise Refusal(f"the address cannot be read ({error}); write scheme://host/path") from None
    # As text, because without a scheme nothing is a host; the path of a file may have the sign in it.
    login = "@" in parts.netloc or (not parts.netloc and parts.scheme != "sqlite" and re.match("[^/?#]*@", parts.path))
    names = [name for text in (parts.query, parts.fragment) for name, _ in parse_qsl(text.replace(";", "&"), True)]
    if (login and not NO_SECRET_USER.match(uri)) or any(map(SECRET_WORD.search, names)):
        raise Refusal(f"the address holds a password, a token or a signature; leave it out: {instead}")


@lru_cache(maxsize=8)
def opened(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it without a slash at its end.

    Raises:
        RemoteError: if there is none for it.
    """
    from pyarrow import fs  # here: half a second that a plan need not wait

    try:
        store, path = fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:
        known = "s3://bucket/folder, gs://bucket/folder, file:///folder"
        raise RemoteError(f"{uri}: cannot be used ({_first_line(error)}); write {known}") from None
    return store, path.rstrip("/")


@contextmanager
def one_at_a_time(path: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps other processes of this machine from the same block for the same path, which saves work and no more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait()
                time.sleep(0.5)
            except OSError:  # a disk without locks
                break
            else:
                break
        yield


def _created(store: Any, path: str) -> Any:
    """A file to be written; where a store has folders, in one that is there."""
    try:
        return store.open_output_stream(path)
    except FileNotFoundError:
        store.create_dir(str(PurePosixPath(path).parent), recursive=True)
        return store.open_output_stream(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
