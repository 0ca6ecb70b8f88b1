"""Which tests run beside which: those that start Ray one after another, and of all others the longest files first.

Two real Rays at once on two cores give each other load 9, at which starts take minutes and hosts time out. The files
that start Ray take longest of all, so that the other workers only take what cores they leave.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.shapes import check_shapes

ROOT = Path(__file__).resolve().parents[1]
STARTS_RAY = re.compile(r"pytest\.mark\.(ray|cluster)\b")
NICE = 5  # of the others: a third of the time that Ray's worker has
LONGEST = (  # of the files that start no Ray; they begin first, so that no worker is left alone with one at the end
    "tests/sweeps/test_chaos.py",
    "tests/trainable/test_parallel.py",
    "tests/sweeps/test_outage.py",
    "tests/sweeps/test_runs.py",
)

settings.register_profile("any machine", deadline=None)  # a busy one takes seconds for an example
settings.load_profile("any machine")
check_shapes()  # here, before a test imports what is checked


@cache
def starts_ray(file: str) -> bool:
    """Whether a file of tests, by its path in the repository, starts Ray."""
    return bool(STARTS_RAY.search((ROOT / file).read_text(encoding="utf-8")))


class RayApart(LoadFileScheduling):
    """Gives a worker a file at a time, and all files that start Ray to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "those that start Ray" if starts_ray(file) else file


@pytest.hookimpl(optionalhook=True)  # also where xdist is turned off
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> RayApart | None:
    """Takes the place of `--dist loadfile`; whoever asks for another distribution gets that."""
    return RayApart(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray's files come first, then the longest of the others; within a file the tests keep their order."""

    def place(item: pytest.Item) -> int:
        file = item.path.relative_to(ROOT).as_posix()
        if starts_ray(file):
            return 0
        return 1 + (LONGEST.index(file) if file in LONGEST else len(LONGEST))

    items.sort(key=place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Of several workers, those that do not start Ray leave it the cores."""
    if "PYTEST_XDIST_WORKER" in os.environ and not starts_ray(item.path.relative_to(ROOT).as_posix()):
        step_back()


@cache
def step_back() -> None:
    """Makes this process nicer, once."""
    os.nice(NICE)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an MLflow store with tables and no runs, to be copied: making the tables takes seconds."""
    from sweeps.engine.store.store import Store

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Store(f"sqlite:///{path}")
    return path
