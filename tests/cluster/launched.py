"""A cluster that `ray up` has made of hosts, and the commands that a person types at the desk."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.hosts import HOME, ROOT, Hosts

HEAD, WORKERS = 0, (1, 2)
STARTS = 3  # of Ray, which times out on a loaded machine


@dataclass
class Command:
    """A command that was started at the desk."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, timeout_s: float = 900) -> int:
        """Waits for its exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args} has not ended in {timeout_s} s:\n{self.output}") from None


@dataclass
class Cluster:
    """A head that drives and two workers that train, with `hosts.folder/shared` as their shared file system."""

    hosts: Hosts
    failed_starts: int = 0  # of Ray; no failure of what is tested
    commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.hosts.folder
        self.checkout, self.shared = self.folder / "checkout", self.folder / "shared"
        self.results = self.shared / "results"
        self.epochs = self.shared / "epochs"  # one file for every epoch that any worker has trained
        self.epochs.mkdir(parents=True)
        # Not the repository itself: a test edits it, and Ray reads all that lies in it, packages and results too.
        subprocess.run(
            ["rsync", "-a", "--no-owner", "--no-group", "--filter=:- .gitignore", f"{ROOT}/", self.checkout], check=True
        )
        token = self.folder / "auth_token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        text = (ROOT / "clusters" / "test.yaml").read_text(encoding="utf-8")
        for name, value in {
            "HEAD_IP": self.hosts.address(HEAD),
            **{f"WORKER_IP_{number}": self.hosts.address(number) for number in WORKERS},
            "SSH_KEY": self.folder / "key",
            "AUTH_TOKEN": token,
            "VENV": sys.prefix,
            "SHARED_FOLDER": self.shared,
        }.items():
            text = text.replace(f"<{name}>", str(value))
        assert not re.search(r"<[A-Z_]+>", text)
        self.file = self.folder / "cluster.yaml"
        self.file.write_text(text, encoding="utf-8")

    def start(self, *words: object) -> Command:
        """Starts a command at the desk, in the checkout, with the interpreter's own commands first on the path."""
        log = self.folder / f"command-{len(self.commands)}.log"
        settings = [f"PATH={Path(sys.prefix) / 'bin'}:{os.environ['PATH']}", f"HOME={HOME}"]
        clean = ["env", "--ignore-environment", f"--chdir={self.checkout}", *settings]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*self.hosts.at_desk, *clean, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.commands.append(Command(process, log))
        return self.commands[-1]

    def run(self, *words: object, timeout_s: float = 900) -> tuple[int, str]:
        """The exit code and the output of a command at the desk."""
        command = self.start(*words)
        return command.end(timeout_s), command.output

    def submitted(self, *flags: str) -> tuple[str, ...]:
        """`ray submit` with the study, and its flags."""
        return "ray", "submit", str(self.file), "sweeps/deepship_rates.py", "--", *flags

    def up(self) -> None:
        """`ray up`, and waits until all workers have joined, which the command does not."""
        for _ in range(STARTS):
            code, output = self.run("ray", "up", "-y", self.file)
            if code == 0 and until(lambda: self.num_nodes() == 1 + len(WORKERS), timeout_s=150):
                return
            self.failed_starts += 1
        raise AssertionError(f"Ray did not start in {STARTS} attempts; the last said:\n{output}")

    def num_nodes(self) -> int:
        """The number of nodes that the head knows."""
        status = self.hosts.on(HEAD, "ray status").stdout
        return sum(int(number) for number in re.findall(r"^ (\d+) local\.cluster\.node", status, re.MULTILINE))


def until(condition: Callable[[], bool], timeout_s: float, every_s: float = 0.5) -> bool:
    """Waits for a condition, and returns whether it came true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every_s)
    return False
