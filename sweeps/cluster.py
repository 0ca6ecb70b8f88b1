"""The Ray cluster: joins the one of this machine or starts one, and says what it has room for."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# For Ray, before it is loaded: no usage report, no log files nor table of Tune's own, and our own way to stop.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
NOT_SHIPPED = [
    ".git",
    ".venv",
    "results",
    "docs",
    "tests",
    ".hypothesis",
    *(f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")),
]


class LostCluster(RuntimeError):
    """Ray has gone, and nothing can run."""


def join() -> None:
    """Joins the cluster of this machine, or starts one. Workers import a snapshot of the code as it is now.

    A worker's memory comes from one arena, not from one a thread: each trial is a thread, and what the last one freed
    stayed taken (5.1 GB at the demo's peak).
    """
    os.environ |= QUIET
    import ray

    environment = {"working_dir": str(ROOT), "excludes": NOT_SHIPPED, "env_vars": {"MALLOC_ARENA_MAX": "1"}}
    stop = signal.getsignal(signal.SIGTERM)
    try:
        _join(ray, environment)
    finally:
        signal.signal(signal.SIGTERM, stop)  # Ray puts its own in place, which exits with 15 and says nothing


def _join(ray: Any, environment: dict[str, Any]) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": environment}
    # On the head of a cluster its launcher has left this file. Elsewhere a Ray that runs is another sweep's, and would
    # take this one with it when it ends.
    on_head = (Path.home() / "ray_bootstrap_config.yaml").exists()
    address = os.environ.get("RAY_ADDRESS", "auto" if on_head else "local")
    here = {"include_dashboard": False} if address == "local" else {}
    ray.init(address=address, **here, **quiet)


def leave() -> None:
    """Leaves the cluster, or ends the one that `join` started."""
    import ray

    ray.shutdown()


def check_alive() -> None:
    """Looks whether the node of this process is still there: without it Tune waits for ever.

    Raises:
        LostCluster: if it is not.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    if not any(node["Alive"] for node in ray.nodes() if node["NodeID"] == here):
        raise LostCluster("Ray's own process on this machine (its raylet) has died; what trials have trained is kept")


def shares() -> tuple[dict[str, float], int]:
    """What a trial takes of the cluster, and how many there is room for."""
    import ray

    cluster = ray.cluster_resources()
    share = {"cpu": 1.0, "gpu": 1.0} if cluster.get("GPU", 0) >= 1 else {"cpu": 1.0}
    return share, max(1, int(min(cluster.get(kind.upper(), 0) / amount for kind, amount in share.items())))
