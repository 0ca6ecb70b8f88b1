"""The two locks: requirements.txt runs studies, requirements-dev.txt adds what tests and lint need."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("datasets", "trainable", "sweeps", "analysis")  # what studies and their reports consist of
RUN, DEV = ("requirements.txt", "requirements-dev.txt")
LOCKS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (RUN, DEV)}


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions of a lock's packages: some have two, for older and for newer Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[^]]*\])?==(\S+)", LOCKS[lock], re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


class TestRequirements:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_every_package_is_locked_by_hash(self, lock: str) -> None:
        """Each has one version and its digests, and there is nothing else in the file."""
        blocks = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", f"{LOCKS[lock]}\n", flags=re.MULTILINE).strip())
        assert len(blocks) == sum(map(len, pinned(lock).values())) > 50
        whole = re.compile(r"\S+==[^\s;]+( ; [^\\]+?)? \\(\n +--hash=sha256:[0-9a-f]{64}( \\)?)+")
        assert [block[:80] for block in blocks if not whole.fullmatch(block)] == []

    @pytest.mark.parametrize("lock", LOCKS)
    def test_no_registry_is_named(self, lock: str) -> None:
        """Whoever installs chooses where from."""
        assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", LOCKS[lock])

    @pytest.mark.parametrize("lock", LOCKS)
    def test_all_that_is_asked_for_is_locked(self, lock: str) -> None:
        """What is asked for and what is locked belong together."""
        text = (ROOT / lock).with_suffix(".in").read_text(encoding="utf-8")
        asked = re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[\w,]+\])?(?:==(\S+))?$", text, re.MULTILINE)
        assert len(asked) >= 10
        for name, version in asked:
            assert all(found.startswith(version.rstrip("*")) for found in pinned(lock)[name])

    @pytest.mark.parametrize("lock", LOCKS)
    def test_what_is_locked_is_installed(self, lock: str) -> None:
        """The tests run with the versions that users get."""
        found = {name: (installed(name), versions) for name, versions in pinned(lock).items()}
        assert {name: both for name, both in found.items() if both[0] not in {*both[1], None}} == {}

    def test_both_locks_agree(self) -> None:
        """A package that both name has the same versions and hashes in both."""
        run, dev = (
            dict(re.findall(r"^(\S+==[^\\]+)((?:\\\n +--hash=\S+ ?)+)", lock, re.MULTILINE)) for lock in LOCKS.values()
        )
        names = {name.partition("==")[0] for name in run} & {name.partition("==")[0] for name in dev}
        of_both = [{p: h.strip() for p, h in lock.items() if p.partition("==")[0] in names} for lock in (run, dev)]
        assert of_both[0] == of_both[1]
        assert len(names) > 10

    def test_studies_need_no_package_of_the_tests(self) -> None:
        """Nodes of a cluster have requirements.txt alone; imports for types are read by mypy only."""
        only_dev = {name.replace("-", "_") for name in {*pinned(DEV)} - {*pinned(RUN)}}
        found = [
            f"{path.relative_to(ROOT)}: {name}"
            for folder in FOLDERS
            for path in sorted((ROOT / folder).rglob("*.py"))
            for name in imports_when_it_runs(ast.parse(path.read_text(encoding="utf-8")))
            if name.partition(".")[0] in only_dev
        ]
        assert found == []


def imports_when_it_runs(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, but for what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        yield from imports_when_it_runs(node)


def installed(name: str) -> str | None:
    """The version of an installed distribution; None where the lock's marker left it out."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
