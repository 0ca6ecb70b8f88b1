"""Starts a command repeatedly while its processes are killed at seeded moments, and notes the outcome of each start.

Every start has its own session, so that its processes are found by the session id and never by name across the machine.
The work of the command is counted in files, one for every trained epoch (`trainable.device.faults` writes them).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SIGNALS = {
    "driver": signal.SIGKILL,
    "term": signal.SIGTERM,  # this one and the next go to the driver too
    "interrupt": signal.SIGINT,
    "worker": signal.SIGKILL,
    "worker-term": signal.SIGTERM,
    "freeze": signal.SIGSTOP,  # to a worker, which the command must then end
    "raylet": signal.SIGKILL,  # Ray then loses the node
    "gcs": signal.SIGKILL,  # Ray then loses the cluster
}
WORKER = "ray::ImplicitFunc"  # Ray's name for the process of a trial
NAMES = {"raylet": "/raylet/raylet ", "gcs": "/gcs/gcs_server "}  # part of the command lines of these processes
TICK_S = 0.05
DIES_S, ENDS_S = 120, 900  # how long a victim may take to die, and a start to end
SPARE_STARTS = 6  # beyond one for every kill, because Ray may fail to start on a loaded machine
MAX_LIES = 2  # wrong exit codes of 0 after which the command is assumed never to finish


class Missed(AssertionError):
    """A victim that survived, so the run shows nothing."""


@dataclass(frozen=True)
class Kill:
    """A planned kill: its victim, and its time after the start or the previous kill."""

    what: str  # a key of SIGNALS
    epochs: int  # epochs to wait for; 0 kills a start before it trains
    pause_s: float  # time after these epochs


@dataclass(frozen=True)
class Job:
    """A command that should end with 0, however often it is killed."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path  # for its output
    epochs: Path  # a folder that gets a file for every trained epoch
    look: Callable[[], None]  # called at every tick
    is_complete: Callable[[], bool]  # whether all planned trials are finished


@dataclass
class Start:
    """One start of the command, and how it ended."""

    began: float  # [s since 1970]
    kills: list[str] = field(default_factory=list)
    code: int | None = None
    lied: bool = False  # whether it exited with 0 before all planned trials were finished
    recovered_s: float | None = None  # from the start to the first epoch that one of its workers trained
    tail: str = ""  # the last lines of its output, if it failed or lied without a kill of its driver


@dataclass(frozen=True)
class Process:
    """A process on this machine."""

    pid: int
    session: int
    began: int  # [ticks since boot], because process ids are reused
    name: str


def schedule(victims: Sequence[str], num: int, seed: int, num_epochs: int) -> list[Kill]:
    """Plans `num` kills, spread over about three quarters of `num_epochs`; a sixth of them are at starts.

    Args:
        victims: keys of SIGNALS, each of which gets the same number of kills.
    """
    draw = random.Random(seed)
    kinds = [victims[n % len(victims)] for n in range(num)]
    draw.shuffle(kinds)
    longest = max(1, round(1.5 * num_epochs / max(num, 1)))
    early = [draw.random() < 1 / 6 for _ in kinds]
    return [
        Kill(kind, 0 if soon else draw.randint(1, longest), draw.uniform(0, 15 if soon else 1))
        for kind, soon in zip(kinds, early, strict=True)
    ]


def disturb(job: Job, kills: Sequence[Kill]) -> list[Start]:
    """Starts the command until it exits with 0 and is complete, and carries out the kills meanwhile.

    Raises:
        Missed: if a victim survived.
    """
    pending, starts, sessions = list(kills), list[Start](), list[int]()
    # A background job of a shell ignores Ctrl-C, and all processes started here would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while len(starts) < len(kills) + SPARE_STARTS and sum(s.lied for s in starts) < MAX_LIES:
            output = job.folder / f"start-{len(starts):02d}.txt"
            with output.open("w") as file:
                driver = subprocess.Popen(  # noqa: S603
                    job.command, env={**os.environ, **job.environment}, stdout=file, stderr=file, start_new_session=True
                )
            sessions.append(driver.pid)
            start = Start(time.time())
            starts.append(start)
            follow(driver, start, job, pending)
            start.code = driver.returncode
            start.lied = start.code == 0 and not job.is_complete()
            if start.code == 0 and not start.lied:
                break
            if not set(start.kills) - {"worker", "worker-term", "freeze"}:
                start.tail = "\n".join(output.read_text(errors="replace").splitlines()[-15:])
    finally:
        for session in sessions:
            end_session(session)
    return starts


def follow(driver: subprocess.Popen[bytes], start: Start, job: Job, pending: list[Kill]) -> None:
    """Follows one start to its end, and kills when the time has come; removes what it has done from `pending`."""
    before, worked, due = count(job.epochs), 0.0, 0.0
    while driver.poll() is None:
        time.sleep(TICK_S)
        job.look()
        members = processes(driver.pid)
        workers = [p for p in members if p.name.startswith(WORKER)]
        worked = worked or (time.time() if workers else 0.0)
        if worked and start.recovered_s is None and (new := first_after(job.epochs, worked)):
            start.recovered_s = new - start.began
        if time.time() - start.began > ENDS_S:
            driver.kill()
        if not pending:
            continue
        kill = pending[0]
        if kill.what in NAMES:
            victims = [p for p in members if NAMES[kill.what] in p.name]
        else:
            of_trials = kill.what in ("worker", "worker-term", "freeze")
            victims = workers if of_trials else list(filter(None, [alive(driver.pid)]))
        if not due and count(job.epochs) - before >= kill.epochs:
            due = time.time() + kill.pause_s
        if not due or time.time() < due or not victims:
            continue
        if strike(random.Random(len(pending)).choice(victims), SIGNALS[kill.what], driver):
            start.kills.append(kill.what)
            pending.pop(0)
            before, due = count(job.epochs), 0.0


def strike(victim: Process, number: int, driver: subprocess.Popen[bytes]) -> bool:
    """Sends a signal to a process and waits until it is dead; returns whether it was alive before.

    Raises:
        Missed: if it survives.
    """
    if not is_alive(victim):
        return False
    os.kill(victim.pid, number)
    for _ in range(round(DIES_S / TICK_S)):
        driver.poll()
        if not is_alive(victim):
            return True
        time.sleep(TICK_S)
    raise Missed(f"process {victim.pid} ({victim.name}) lives on, {DIES_S} s after signal {number}")


def processes(session: int) -> list[Process]:
    """Every living process of a session."""
    members = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if path.name.isdigit() and os.getsid(int(path.name)) == session:
                members.append(alive(int(path.name)))
    return [member for member in members if member]


def alive(pid: int) -> Process | None:
    """The process with this id; None if it is dead, even if its exit code has not been collected yet."""
    with suppress(OSError):
        state, _, _, session, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return Process(pid, int(session), int(rest[15]), name) if state not in "ZX" else None
    return None


def is_alive(process: Process) -> bool:
    """Whether this process is alive, and not another one with the same id."""
    current = alive(process.pid)
    return current is not None and current.began == process.began


def end_session(session: int) -> None:
    """Kills the remaining processes of a session that this program has started."""
    for process in processes(session):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def count(folder: Path) -> int:
    """The number of files in a folder."""
    return sum(1 for _ in os.scandir(folder))


def first_after(folder: Path, moment: float) -> float | None:
    """The time of the first file that is newer than a moment [s since 1970]; None if there is none."""
    return min((t for entry in os.scandir(folder) if (t := entry.stat().st_mtime) > moment), default=None)
