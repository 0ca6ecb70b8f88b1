"""A tree of files at a URI (s3://, gs://, file://), and its copy on this machine. The only file that loads pyarrow.

An object store holds whole objects under names. It cannot rename or extend them, and an interrupted write may leave an
object that is too short. So callers do not trust a file for its name: they keep hashes, and write the file that vouches
for the others last.
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
# Names in a query: tokens, passwords, keys, and signatures that let anybody read the address (presigned, SAS).
SECRET_WORD = re.compile(r"token|passw|pwd|secret|key|credential|auth|signature|^sig$", re.IGNORECASE)
# Logins that are no secret: a user of a database whose server asks for the password, and `anonymous`, which pyarrow
# takes as "no login" for Google Cloud.
NO_SECRET_USER = re.compile(r"(postgresql|mysql|mariadb|oracle|mssql)(\+\w+)?://[^/?#:@]+@|gs://anonymous@")
NUM_AT_ONCE = 8  # parallel requests: each waits for the network, not for this machine


class RemoteError(Refusal, RuntimeError):
    """A store that cannot be reached, read or written; the message names the address, the file and the remedy."""


class Gone(RemoteError):
    """A file that does not exist in the store."""


class Found(NamedTuple):
    """The size and time of a file, from a listing."""

    num_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Remote:
    """Files below a URI, and the folder on this machine with copies of some of them under the same names."""

    uri: str
    local: Path

    def files(self, under: str = "") -> dict[str, Found]:
        """Every file in the folder `under`, or every file if `under` is empty.

        Raises:
            RemoteError: if the store does not answer, or if a name points outside the folder.
        """
        with self._named(under or "all that it holds", "listed"):
            from pyarrow import fs

            store, base = opened(self.uri)
            top = f"{base}/{under}".rstrip("/")
            infos = store.get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
        files = {i.path[len(base) + 1 :]: Found(i.size, i.mtime_ns) for i in infos if i.is_file}
        if escaping := [name for name in files if not {"", ".", ".."}.isdisjoint(name.split("/"))]:
            raise RemoteError(
                f"{self.uri}: {escaping[0]!r} is not the name of a file below a folder; rename or remove it"
            )
        return files

    def read(self, name: str) -> bytes:
        """The bytes of a small file.

        Raises:
            Gone: if it does not exist.
            RemoteError: if it cannot be read.
        """
        return b"".join(self._chunks(name))

    def get(self, name: str, path: Path | None = None) -> Path:
        """Copies a file to this machine, completely or not at all.

        Args:
            path: the destination; None for the same name below `local`.

        Raises:
            Gone: if it does not exist.
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
        """Copies a file from this machine to the store, over any file of that name.

        Args:
            path: the file to copy; None for the file of the same name below `local`.

        Raises:
            RemoteError: if it cannot be written.
        """
        with (path or self.local / name).open("rb") as file:
            self.put_open(name, file)

    def put_open(self, name: str, file: BinaryIO) -> None:
        """Copies an open file to the store, over any file of that name; the open file may have been unlinked.

        Raises:
            RemoteError: if it cannot be written.
        """
        with self._named(name, "written"):
            store, base = opened(self.uri)
            with _created(store, f"{base}/{name}") as out:
                shutil.copyfileobj(file, out, CHUNK_BYTES)

    def delete(self, names: Iterable[str]) -> None:
        """Removes files in order; files that do not exist are skipped.

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
    def _named(self, name: str, action: str) -> Iterator[None]:
        """Turns any error of a store into one that names the file, the action (a participle) and the remedy."""
        try:
            yield
        except RemoteError:
            raise
        except FileNotFoundError as error:
            raise Gone(f"{self.uri}: {name} is not there ({_first_line(error)})") from None
        except Exception as error:  # each store has its own kinds
            raise RemoteError(
                f"{self.uri}: {name} cannot be {action} ({_first_line(error)}); check the address, the network and "
                "the credentials in the environment, and start again"
            ) from None


def check_address(uri: str, instead: str) -> None:
    """Refuses a malformed address, or one that holds a secret; the message does not repeat the secret.

    Args:
        instead: the remedy: where the secret is read from.

    Raises:
        Refusal: with what is wrong with the address.
    """
    if UNWRITABLE.search(uri):
        raise Refusal(f"{shown(uri.partition(':')[0])}:...: an address has no control characters and is in UTF-8")
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise Refusal(f"the address cannot be read ({error}); write scheme://host/path") from None
    # Without a scheme urlsplit finds no host, so the text is searched for "@"; the path of a file may contain one.
    login = "@" in parts.netloc or (not parts.netloc and parts.scheme != "sqlite" and re.match("[^/?#]*@", parts.path))
    names = [name for text in (parts.query, parts.fragment) for name, _ in parse_qsl(text.replace(";", "&"), True)]
    if (login and not NO_SECRET_USER.match(uri)) or any(map(SECRET_WORD.search, names)):
        raise Refusal(f"the address holds a password, a token or a signature; leave it out: {instead}")


@lru_cache(maxsize=8)
def opened(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it without a trailing slash.

    Raises:
        RemoteError: if no file system is known for the URI.
    """
    from pyarrow import fs  # imported here because it takes half a second, which a plan should not wait for

    try:
        store, path = fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:
        examples = "s3://bucket/folder, gs://bucket/folder, file:///folder"
        raise RemoteError(f"{uri}: cannot be used ({_first_line(error)}); write {examples}") from None
    return store, path.rstrip("/")


@contextmanager
def one_at_a_time(path: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps other processes on this machine out of the block for the same path; this only saves work.

    Args:
        wait: called every half second while another process is in the block.
    """
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
    """Opens a file for writing; creates its folder where a store has folders."""
    try:
        return store.open_output_stream(path)
    except FileNotFoundError:
        store.create_dir(str(PurePosixPath(path).parent), recursive=True)
        return store.open_output_stream(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
