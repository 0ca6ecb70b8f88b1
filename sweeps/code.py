"""Which code runs: its commit, whether files differ from it, and a hash of what the numbers depend on."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE_TAGS = ("git_commit", "git_dirty", "code_sha256")  # what `code_state` says
NUMBERS = ("datasets", "trainable")  # the folders whose code makes a trial's numbers


def code_state() -> dict[str, str]:
    """The commit that runs, whether files differ from it ("unknown" outside a repository), and the numbers' hash."""
    return {**_commit(), "code_sha256": code_sha256(ROOT)}


def code_sha256(root: Path) -> str:
    """SHA-256 over the names and bytes of the files that a trial's numbers depend on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in NUMBERS for path in (root / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _commit() -> dict[str, str]:
    def git(*words: str) -> str:
        answer = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return answer.stdout.strip()

    try:
        return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {"git_commit": "unknown", "git_dirty": "unknown"}
