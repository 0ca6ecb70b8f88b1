"""The hosts of the other tests here: they are isolated, end at once, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import hosts as made
from tests.cluster.hosts import ROOT, Hosts, missing
from tests.cluster.launched import until

LACKS = missing()
on_hosts = pytest.mark.skipif(bool(LACKS), reason=f"no hosts on this machine: {LACKS}")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts."""
    with Hosts(tmp_path, 2) as hosts:
        yield hosts


@on_hosts
def test_a_host_is_a_machine_of_its_own(hosts: Hosts) -> None:
    """It has its own name, home, /tmp, memory and processes; packages and the shared folder are common to all."""
    hosts.on(0, "touch ~/mine /tmp/mine /dev/shm/mine; sleep 60 > /dev/null 2>&1 & disown")
    (hosts.folder / "ours").touch()
    for number in (0, 1):
        assert hosts.on(number, "hostname").stdout == f"host{number}\n"
        assert bool(hosts.on(number, "ls ~/mine && ls /tmp/mine /dev/shm/mine && pgrep sleep").stdout) is (number == 0)
        assert hosts.on(number, f"ls {hosts.folder}/ours && {sys.executable} --version").returncode == 0
        assert hosts.on(number, f"ls {ROOT}/sweeps").returncode != 0


@on_hosts
def test_a_host_that_loses_power_does_not_say_goodbye(hosts: Hosts) -> None:
    """Its peers notice nothing, not even a closed connection."""
    serve = "import socket, time; s = socket.create_server(('', 7000)); c, _ = s.accept(); time.sleep(60)"
    hosts.on(0, f"{sys.executable} -c {serve!r} > /dev/null 2>&1 & disown")
    assert until(lambda: ":7000" in hosts.on(0, "ss -Hltn").stdout, timeout_s=120)
    listen = (
        f"import socket; c = socket.create_connection(({hosts.address(0)!r}, 7000)); print('on', flush=True); c.recv(1)"
    )
    client = subprocess.Popen([*hosts.at_desk, sys.executable, "-c", listen], stdout=subprocess.PIPE, text=True)
    with client:
        assert client.stdout
        assert client.stdout.readline() == "on\n"
        hosts.kill(0)
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(timeout=2)
        assert hosts.on(1, "true").returncode == 0
        hosts.end()  # with the desk, and so the client on it


@on_hosts
def test_a_new_machine_has_the_old_address_and_nothing_else(hosts: Hosts) -> None:
    """Its home and /tmp are empty, and it answers at once."""
    hosts.on(0, "touch ~/mine /tmp/mine")
    hosts.kill(0)
    assert hosts.on(0, "true").returncode != 0
    hosts.bring_up(0)
    assert hosts.on(0, "hostname").stdout == "host0\n"
    assert hosts.on(0, "ls ~/mine || ls /tmp/mine").returncode != 0


@on_hosts
def test_nothing_is_left_of_a_run_that_was_killed(tmp_path: Path) -> None:
    """Not even SIGKILL leaves a process or a network behind, without anybody to clean up."""
    program = (
        "import sys, time; from pathlib import Path; from tests.cluster.hosts import Hosts\n"
        f"with Hosts(Path({str(tmp_path)!r}), 2) as hosts: print(hosts.desk.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        network = Path(f"/proc/{run.stdout.readline().strip()}/ns/net").readlink()
        processes = [
            path.parent.parent.name for path in Path("/proc").glob("[0-9]*/ns/net") if path.readlink() == network
        ]
        assert processes
        run.kill()
    assert until(lambda: not any(Path(f"/proc/{pid}/ns/net").exists() for pid in processes), timeout_s=120)
    assert " desk: " not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout


def test_what_a_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for skipping tests names the package, or the permission."""
    monkeypatch.setattr(shutil, "which", lambda tool: None if "sshd" in tool else tool)
    assert missing() == "not installed: openssh-server"
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in missing()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(made, "BRIDGE", ("false",))
    assert "not permitted" in missing()
