"""Machines of a cluster, on one machine: what `ray up` needs is hosts that it reaches by SSH, and these are such hosts.

Each has its own network, processes, mounts, name, home folder, /tmp, /run and /dev/shm, and an sshd; all share the disk
that is otherwise there, as the installed packages and a folder that stands for the file system of a cluster. The desk,
where a person types `ray up`, is made in the same way. All of it lies within one namespace: its addresses and names are
nobody else's, so any number of runs go on beside each other, and it vanishes with this process, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
TMP = Path("/tmp")
INSTALLED = (Path(sys.prefix), Path(sys.base_prefix))  # the packages, and their Python
DESK = "10.99.0.1"
SPACES = ("--net", "--mount", "--pid")
BRIDGE = ("ip", "link", "add", "desk", "type", "bridge")
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "ss": "iproute2", "rsync": "rsync"}
TOOLS |= {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "/usr/sbin/sshd": "openssh-server"}
# What every machine does first. It says that it is up, and lives until its standard input is closed: by this process,
# or by the kernel when this process dies. The kernel then kills all else that runs on it.
LIVE = """
set -eu
read -r pid _ </proc/self/stat
mount -t proc proc /proc
{mounts}
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir /run/sshd
cd /
{start}
echo "$pid"
read -r || true
"""
SSHD = """
PidFile none
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
MaxStartups 100
"""


def missing() -> str:
    """The reason why this machine cannot have such hosts; empty if it can."""
    if lacks := sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)}):
        return f"not installed: {', '.join(lacks)}"
    if os.geteuid() != 0:
        return "only root may make namespaces with networks in them"
    probe = ["unshare", *SPACES, "--uts", "--ipc", "--fork", "--mount-proc", *BRIDGE]
    tried = subprocess.run(probe, capture_output=True, text=True)
    return f"namespaces are not permitted here (CAP_SYS_ADMIN): {tried.stderr.strip()}" if tried.returncode else ""


@dataclass
class Machine:
    """A running host: its first process, and the id of that process outside."""

    process: subprocess.Popen[str]
    pid: int

    def end(self) -> None:
        """Ends the machine with everything on it, at once."""
        self.process.communicate(timeout=30)


@dataclass
class Hosts:
    """As many hosts as asked for, and a desk from which they are reached: `with Hosts(folder, 3) as hosts: ...`.

    Args:
        folder: for what belongs to them; they all see it, as they would see a shared file system.
        count: how many hosts.
    """

    folder: Path
    count: int = 3
    machines: dict[int, Machine] = field(default_factory=dict)  # those that run, by number
    boots: Counter[str] = field(default_factory=Counter)  # how often each was started

    def __enter__(self) -> Hosts:
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        (self.folder / "sshd_config").write_text(SSHD.format(folder=self.folder), encoding="utf-8")
        network = f"ip link set lo up; {shlex.join(BRIDGE)}; ip addr add {DESK}/24 dev desk; ip link set desk up"
        self.desk = self._machine("desk", ["unshare", *SPACES, "--fork"], network, masked=(HOME, TMP))
        try:
            for number in range(self.count):
                self.bring_up(number)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Ends all of them, and the desk."""
        for machine in (*self.machines.values(), self.desk):
            machine.end()

    def bring_up(self, number: int) -> None:
        """Starts a host as a new machine: it keeps its name and address, and its folders are empty."""
        name = f"host{number}"
        cable = f"""ip netns add {name}
            ip link add {name} type veth peer name eth0 netns {name} address 02:00:00:00:00:{number:02x}
            ip link set {name} master desk up; ip -n {name} link set lo up
            ip -n {name} addr add {self.address(number)}/24 dev eth0; ip -n {name} link set eth0 up"""
        subprocess.run([*self.at_desk, "bash", "-euc", cable], check=True)
        spaces = ["ip", "netns", "exec", name, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork"]
        start = f"hostname {name}; /usr/sbin/sshd -f {self.folder}/sshd_config"
        self.machines[number] = self._machine(name, [*self.at_desk, *spaces], start, masked=(HOME, TMP, ROOT))

    def kill(self, number: int) -> None:
        """Ends a host as a power cut does: first its network, so that nobody notices its end, then everything on it."""
        subprocess.run([*self.at_desk, "ip", "link", "delete", f"host{number}"], check=True)
        self.machines.pop(number).end()
        subprocess.run([*self.at_desk, "ip", "netns", "delete", f"host{number}"], check=True)

    def home(self, number: int) -> Path:
        """A host's home folder, seen from this machine."""
        return self._own(f"host{number}") / HOME.name

    def address(self, number: int) -> str:
        """The address of a host for the others."""
        return f"10.99.0.{10 + number}"

    @property
    def at_desk(self) -> list[str]:
        """The words before a command that is to run at the desk."""
        return ["nsenter", f"--target={self.desk.pid}", *SPACES]

    def on(self, number: int, command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs a command on a host, by SSH, with what its ~/.bashrc sets."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
        ssh = ["ssh", "-i", str(self.folder / "key"), *(f"-o{option}" for option in options), self.address(number)]
        words = [*self.at_desk, *ssh, f"source ~/.bashrc; {command}"]
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)

    def _own(self, name: str) -> Path:
        return self.folder / f"{name}.{self.boots[name]}"

    def _machine(self, name: str, spaces: list[str], start: str, masked: tuple[Path, ...]) -> Machine:
        self.boots[name] += 1
        mounts = "\n".join(_mounts(self._own(name), masked, (*INSTALLED, self.folder)))
        environment = {"PATH": os.environ["PATH"], "HOME": str(HOME), "LANG": "C.UTF-8"}
        process = subprocess.Popen(
            [*spaces, "bash", "-c", LIVE.format(mounts=mounts, start=start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,  # so that Ctrl-C is for the tests, which end it
        )
        assert process.stdout
        if not (pid := process.stdout.readline()):
            raise RuntimeError(f"{name} did not come up, exit code {process.wait()}")
        return Machine(process, int(pid))


def _mounts(own: Path, masked: tuple[Path, ...], kept: tuple[Path, ...]) -> Iterator[str]:
    """The commands that put folders of a machine's own in place of `masked`, in which `kept` stay where they are."""
    for place in masked:
        if any(place.is_relative_to(other) for other in masked if other != place):
            continue
        new = own / place.name
        new.mkdir(parents=True)
        for path in kept:
            if path.is_relative_to(place):
                (new / path.relative_to(place)).mkdir(parents=True, exist_ok=True)
                yield shlex.join(["mount", "--bind", str(path), str(new / path.relative_to(place))])
        yield shlex.join(["mount", "--rbind", str(new), str(place)])
