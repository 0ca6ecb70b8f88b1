"""A Ray of this machine's own: in a process that ends with the driver, listening to this machine alone.

`ray.init()` would start one too. But its raylet gives the agent beside it 15 s, which no setting changes
(ray-project/ray#65983), and then kills itself: at load 8 on two cores it does not start. Here the agent's ports are
known before it starts, so that nothing waits for it. `ray.init()` also listens on every interface, and starts a
dashboard, an autoscaler and a log monitor that nobody uses here, which take 7 of the 18 s of CPU of a start.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from datasets.engine.refusal import Refusal

LOOPBACK = "127.0.0.1"
# For the driver, before it loads Ray: keeps the loopback address instead of replacing it by one that others can reach
# (the variable is named after the systems where that is the default).
HERE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
PATIENCE_S = 600  # the limit of Ray's waits, for a busy machine
PATIENT = {
    "RAY_raylet_start_wait_time_s": f"{PATIENCE_S}",
    "RAY_agent_register_timeout_ms": f"{1000 * PATIENCE_S}",
    "RAY_gcs_server_port_wait_time_s": f"{PATIENCE_S}",
    "RAY_gcs_server_request_timeout_seconds": f"{PATIENCE_S}",
    "RAY_worker_register_timeout_seconds": f"{PATIENCE_S}",
    "RAY_health_check_timeout_ms": "60000",
}
SAYS_EVERY_S = 15.0
ENDS_S = 30.0  # the wait for its processes to end
ERRORS = "errors.txt"  # the errors of the process, in the folder where Ray writes
PR_SET_PDEATHSIG = 1
RAY_PORTS_END = 20_000  # Ray gives its workers ports from 10,002 to 19,999
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class RayError(Refusal, RuntimeError):
    """Ray does not start or does not answer; the message gives the reason and the remedy."""


class OwnRay:
    """The process of this Ray, from its start to its end.

    Args:
        nice: the niceness of the workers; with Ray's default of 15, a busy machine gives them next to nothing.
    """

    def __init__(self, nice: int = 0) -> None:
        self.nice = nice
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # for this Ray and its driver; never on disk
        os.environ.update(HERE)
        for name, value in PATIENT.items():
            os.environ.setdefault(name, value)
        self._folder = Path(tempfile.mkdtemp(prefix="soundings-ray-", dir=os.environ.get("RAY_TMPDIR")))
        self._began = time.monotonic()
        with (self._folder / ERRORS).open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "sweeps.engine.running.own_ray", str(os.getpid()), str(self._folder)],
                env={**os.environ, "RAY_worker_niceness": f"{nice}"},
                cwd=Path(__file__).resolve().parents[3],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C is for the driver, which ends this process after cleaning up.
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]),
            )

    def wait(self, say: Callable[[str], None]) -> str:
        """The address of Ray, once it has started; reports a long wait now and then.

        Raises:
            RayError: if it does not start; all of it has been removed by then.
        """
        said_at_s = 0.0
        while (waited := time.monotonic() - self._began) < PATIENCE_S:
            if waited - said_at_s > SAYS_EVERY_S:
                said_at_s = waited
                say(f"Ray is still starting after {waited:.0f} s ({busy()})")
            if self._lines_within(1.0):
                if address := self._process.stdout.readline().strip():  # type: ignore[union-attr]
                    return address
                reason = self.died
                break
        else:
            reason = f"it had not started after {PATIENCE_S} s"
        self.end()
        raise RayError(f"{reason} ({busy()})")

    @property
    def died(self) -> str:
        """A description of what has died of it; empty while all of it lives."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0.1)
            lines = (self._folder / ERRORS).read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else f"its process was ended from outside (exit code {code})"
        return ""

    def end(self) -> None:
        """Ends all its processes, and removes their files."""
        self._process.terminate()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the system then kills what it has started
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _lines_within(self, seconds: float) -> bool:
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], seconds)[0])


def busy() -> str:
    """The load of this machine, in words."""
    return f"load {os.getloadavg()[0]:.0f} on {len(os.sched_getaffinity(0))} cores"


def why(raylet_err: Path) -> str:
    """The reason in a raylet's error file; empty if there is none."""
    with suppress(OSError):
        first = (raylet_err.read_text(errors="replace").strip().splitlines() or [""])[0]
        if late := re.search(r"Timed out waiting for file \S*/(\w+?)_port_", first):
            return f"its {late[1].replace('_', ' ')} did not answer in time"
        return re.sub(r"^\[.*?\] \(raylet\) \S+ *|An unexpected system state.*?Check failed: ", "", first)[:300]
    return ""


def free_ports(num: int) -> list[int]:
    """Ports that are free, and that neither the system nor Ray assigns to others in the meantime.

    Seconds pass before Ray's agents take them, and in these this Ray and others open dozens of ports that the system
    chooses. An agent that finds its port taken ends the raylet, after the start seemed to succeed.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(*port_range()), k=1_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            ports.append(port)
        if len(ports) == num:
            return ports
    raise OSError(f"none of 1,000 ports of {LOOPBACK} is free")


def port_range() -> tuple[int, int]:
    """The first port above those of Ray's workers, and the first above it that the system assigns by itself."""
    first, last = RAY_PORTS_END, 65_536
    with suppress(OSError, ValueError):
        lowest = int(LOCAL_PORTS.read_text().split()[0])
        if lowest - first > 2_000:  # if the system assigns nearly all, there is nothing to avoid
            last = lowest
    return first, last


def serve(driver: int, folder: Path) -> None:
    """Starts Ray, prints its address, and stays until it is told to end, or the driver or a part of Ray dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Ray's processes die with this one in the same way
    if os.getppid() != driver:
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    node = _started(folder)
    print(node.gcs_address, flush=True)
    try:
        while True:
            signal.pause()
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=True)


def _started(folder: Path) -> Any:
    """Starts Ray's processes by Ray's own class, as neither `ray.init` nor `ray start` passes on all these settings."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, persist_port  # type: ignore[attr-defined]

    agent, pages, environments, metrics = free_ports(4)

    class Lean(Node):
        def start_api_server(self, **settings: Any) -> None:
            """Starts nothing: nobody looks at a dashboard of this Ray."""

        def start_raylet(self, *args: Any, **settings: Any) -> None:
            """Writes the port that the raylet takes only from a file, and starts the raylet."""
            persist_port(self._session_dir, self._node_id, DASHBOARD_AGENT_LISTEN_PORT_NAME, pages)
            super().start_raylet(*args, **settings)
            threading.Thread(target=_watch, args=(self,), daemon=True).start()

    return Lean(
        RayParams(
            node_ip_address=LOOPBACK,
            temp_dir=str(folder),
            gcs_server_port=0,
            metrics_agent_port=agent,
            dashboard_agent_listen_port=pages,
            runtime_env_agent_port=environments,
            metrics_export_port=metrics,
            include_dashboard=False,
            include_log_monitor=False,  # type: ignore[arg-type]  # says str, means bool
            no_monitor=True,
        ),
        head=True,
        shutdown_at_exit=False,
        spawn_reaper=True,
        ray_init_cluster=True,
    )


def _watch(node: Any) -> None:
    """Ends this process, and with it all of Ray, as soon as a part of Ray has died, so that nothing waits for it."""
    while True:
        for kind, processes in [*node.all_processes.items()]:
            if any(info.process.poll() is not None for info in processes):
                reason = why(Path(node.get_logs_dir_path()) / "raylet.err") if kind == "raylet" else ""
                print(f"Ray's {kind} has died" + (f": {reason}" if reason else ""), file=sys.stderr, flush=True)
                os._exit(1)
        time.sleep(0.2)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
