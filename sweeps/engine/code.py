"""The commit that runs, and whether files differ from it. The code behind a trial's numbers is in `modules.py`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from datasets.engine.refusal import Refusal

ROOT = Path(__file__).resolve().parents[2]
COMMIT_TAGS = ("git_commit", "git_dirty")  # the result of `code_state`
CODE_TAGS = (*COMMIT_TAGS, "code_sha256", "code_modules")  # the tags of a trial
LAUNCHED = Path.home() / "ray_bootstrap_config.yaml"  # the cluster's own file, which Ray's launcher puts on its head


class StaleMount(Refusal, ValueError):
    """A study that differs from the one in the repository that it would run with."""


def check_mount(script: str | None) -> None:
    """Refuses a study that `ray submit` has copied to a cluster with an older or newer repository.

    Raises:
        StaleMount: names the files that differ, and the command that refreshes the mount.
    """
    if script is None or not LAUNCHED.exists():  # not a cluster of Ray's launcher
        return
    copy, mounted = Path(script).resolve(), ROOT / "sweeps" / Path(script).name
    if copy != mounted and not (mounted.exists() and mounted.read_bytes() == copy.read_bytes()):
        raise StaleMount(
            f"{copy} was submitted, but the cluster's repository has {'another' if mounted.exists() else 'no'} "
            f"{mounted}; bring it up to date and submit again:\n  ray up --no-restart CLUSTER.yaml"
        )


def code_state() -> dict[str, str]:
    """Returns the commit that runs, and whether files differ from it; "unknown" outside a repository."""

    def git(*words: str) -> str:
        answer = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return answer.stdout.strip()

    try:
        return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {"git_commit": "unknown", "git_dirty": "unknown"}
