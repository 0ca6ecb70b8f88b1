"""A Ray of this machine's own: on a busy machine, listening to it alone, and when it does not start or dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.engine.running import own_ray
from sweeps.engine.running.cluster import SHIPPED, snapshot
from sweeps.engine.running.own_ray import free_ports, port_range, why

ROOT = Path(__file__).resolve().parents[2]
LATE = (
    "[2026-11-27 05:12:29,896 C 11754 11754] (raylet) node_manager.cc:3576:  An unexpected system state has occurred. "
    "You have likely discovered a bug in Ray. Check failed: statussetor3576.has_value() Timed out waiting for file "
    "/tmp/ray/session_1/metrics_agent_port_6fa69a32\n*** StackTrace Information ***\n"
)
DISK = "[2026-11-27 05:12:29,896 C 1 1] (raylet) store.cc:70: Check failed: ok No space left on device\n*** Stack\n"

JOINS = """
import json, os, sys
from pathlib import Path
import psutil
from sweeps.engine.running import cluster

said = []
cluster.begin(int(sys.argv[1]))
cluster.join(said.append)
import ray

@ray.remote
def look():
    import trainable
    return os.nice(0), trainable.__file__, sorted(os.listdir(Path(trainable.__file__).parents[1]))

nice, at, shipped = ray.get(look.remote())
everyone = [psutil.Process(), *psutil.Process().children(recursive=True)]
hosts = {c.laddr.ip for p in everyone for c in p.net_connections("inet") if c.status == "LISTEN"}
token = os.environ["RAY_AUTH_TOKEN"]
names = sorted({Path(p.cmdline()[0]).name for p in everyone if p.cmdline()})
cluster.leave()
left = [p.pid for p in everyone[1:] if p.is_running() and p.status() != "zombie"]
print(json.dumps({"nice": nice, "at": at, "shipped": shipped, "hosts": sorted(hosts), "names": names, "left": left,
                  "token": len(token)}))
"""
REFUSED = """
import sys
from sweeps.engine.running import cluster
try:
    cluster.join(print)
except cluster.RayError as error:
    print("RayError:", error)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, because the paths of Ray's sockets may have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def hogs() -> Iterator[None]:
    """Two busy loops on every core."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * len(os.sched_getaffinity(0)))
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def answer(program: str, *words: str, **environment: str) -> str:
    """The last line of a program that succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "RAY_ADDRESS": "local", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.ray
@pytest.mark.usefixtures("hogs")
def test_comes_up_on_a_busy_machine_listens_to_it_alone_and_leaves_nothing(short: Path) -> None:
    """Workers are as nice as they are told; nothing listens elsewhere; processes and files are gone at the end."""
    found = json.loads(answer(JOINS, "3", RAY_TMPDIR=str(short)))
    assert found["nice"] == 3
    assert {host.removeprefix("::ffff:") for host in found["hosts"]} == {"127.0.0.1"}
    assert found["token"] == 64
    assert found["shipped"] == sorted([*SHIPPED, "requirements.txt"])
    assert not Path(found["at"]).is_relative_to(ROOT)
    assert found["left"] == []
    assert list(short.iterdir()) == []


def test_the_reason_is_that_of_the_raylet(tmp_path: Path) -> None:
    """Known reasons are put into words, others are the raylet's own; without one it is empty."""
    log = tmp_path / "raylet.err"
    assert why(log) == ""
    log.write_text(LATE)
    assert why(log) == "its metrics agent did not answer in time"
    log.write_text(DISK)
    assert why(log).endswith("No space left on device")


def test_ports_are_those_that_nobody_else_is_given() -> None:
    """Neither Ray nor the system assigns them to others, because the agents take theirs seconds later."""
    first, last = port_range()
    assert first >= 20_000  # Ray's default for its workers is 10,002 to 19,999
    ports = free_ports(4)
    assert len(set(ports)) == 4
    assert all(first <= port < last for port in ports)
    if last == 65_536:
        pytest.skip("the system gives out nearly all ports by itself: there are none that it would not give to others")
    with socket.socket() as other:
        other.bind((own_ray.LOOPBACK, 0))
        assert not first <= other.getsockname()[1] < last


def test_ports_that_are_taken_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three ports has a listener."""
    with socket.socket() as other:
        other.bind((own_ray.LOOPBACK, free_ports(1)[0]))
        other.listen()
        taken = other.getsockname()[1]
        drawn = [taken, *free_ports(2)]
        monkeypatch.setattr(own_ray.random.SystemRandom, "sample", lambda self, ports, k: drawn)
        assert free_ports(2) == drawn[1:]
        with pytest.raises(OSError, match="is free"):
            free_ports(3)


@pytest.mark.parametrize(("said", "last"), [("32768\t60999\n", 32_768), ("1024\t65535\n", 65_536), ("none", 65_536)])
def test_the_system_says_which_ports_it_gives_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, last: int
) -> None:
    """If it assigns nearly all, or does not say, any above Ray's will do."""
    (tmp_path / "ports").write_text(said)
    monkeypatch.setattr(own_ray, "LOCAL_PORTS", tmp_path / "ports")
    assert port_range() == (20_000, last)


@pytest.mark.slow
def test_a_ray_that_does_not_start_is_tried_again_and_refused_in_words(short: Path) -> None:
    """The names of its sockets are too long here; the files of the attempts are removed."""
    deep = short / ("d" * 100)
    deep.mkdir()
    message = answer(REFUSED, RAY_TMPDIR=str(deep))
    assert message.startswith("RayError: Ray does not start on this machine: ")
    assert "107" in message
    assert "load" in message
    assert message.endswith("nothing is lost")
    assert list(deep.iterdir()) == []


@pytest.mark.slow
def test_an_address_where_nothing_answers_is_refused_soon() -> None:
    """The message is ours: Ray itself waits for minutes, and says little."""
    message = answer(REFUSED, RAY_ADDRESS="127.0.0.1:1")
    remedy = "start the cluster, or unset RAY_ADDRESS to run on this machine"
    assert message == f"RayError: RAY_ADDRESS=127.0.0.1:1: nothing answers there; {remedy}"


def test_only_code_is_shipped(tmp_path: Path) -> None:
    """A corpus in the clone, even in a package's folder, is not copied."""
    root = tmp_path / "clone"
    for name in SHIPPED:
        (root / name / "inner").mkdir(parents=True)
        for path in (name, f"{name}/inner"):
            (root / path / "__init__.py").touch()
    (root / "requirements.txt").touch()
    (root / "trainable" / "inner" / "flops.json").write_text("{}")
    for name in ("data/Tanker/1.wav", "datasets/DeepShip/Tanker/1.py", "datasets/1.wav", "results/mlflow.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(1000))
    folder = snapshot(root, tmp_path / "shipped")
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    code = {f"{name}/{path}" for name in SHIPPED for path in ("__init__.py", "inner/__init__.py")}
    assert copied == {"requirements.txt", "trainable/inner/flops.json", *code}


@pytest.mark.slow
def test_a_driver_loads_no_torch() -> None:
    """Workers load it, side by side with the driver's own imports."""
    program = (
        "import sys\n"
        "from sweeps.engine import launch\n"
        "from sweeps.engine.running import drive, hooks, tuner\n"
        "from sweeps.engine.store import reconcile, store\n"
        "from mlflow import MlflowClient\n"
        "print([m for m in ('torch', 'timm', 'torchaudio', 'torchvision') if m in sys.modules])\n"
    )
    assert answer(program) == "[]"
