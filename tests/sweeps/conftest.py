"""Empty MLflow stores for tests, and Ctrl-C that works."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from sweeps.engine.store.store import Store

SAFE = "/ #+"  # what MLflow reads as it is; only % and ? must be quoted
OpenStore = Callable[..., Store]


@pytest.fixture(autouse=True, scope="session")
def _can_be_interrupted() -> None:
    """In the background of a shell SIGINT is ignored, and so it would be by the drivers that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def open_store(tmp_path: Path, empty_database: Path) -> OpenStore:
    """A function that opens a store of the test's own; the same one again for the same folder."""

    def opened(folder: str = "results") -> Store:
        path = tmp_path / folder / "mlflow.db"
        if not path.exists():
            path.parent.mkdir(parents=True)
            shutil.copy(empty_database, path)
        return Store(f"sqlite:///{quote(str(path), safe=SAFE)}")

    return opened
