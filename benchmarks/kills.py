"""Starts a command again and again while processes of it are killed at seeded moments, and notes what came of each.

Every start is a session of its own, so that what belongs to it is found by its id and never by a name over the machine.
The command's work is counted in files, one for every epoch trained (`trainable.device.faults` writes them).
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
    "term": signal.SIGTERM,  # these two to the driver too
    "interrupt": signal.SIGINT,
    "worker": signal.SIGKILL,
    "worker-term": signal.SIGTERM,
    "freeze": signal.SIGSTOP,  # a worker, which somebody must then end
    "raylet": signal.SIGKILL,  # with which Ray loses the node
    "gcs": signal.SIGKILL,  # with which Ray loses the cluster
}
WORKER = "ray::ImplicitFunc"  # what Ray calls the process of a trial
NAMES = {"raylet": "/raylet/raylet ", "gcs": "/gcs/gcs_server "}  # in the command lines of these processes
TICK_S = 0.05
DIES_S, ENDS_S = 120, 900  # how long a victim may take to die, and a start to end
SPARE_STARTS = 6  # beside one for every kill: Ray may not come up on a loaded machine
MAX_LIES = 2  # exit codes of 0 that are not true; then the command will not finish by itself


class Missed(AssertionError):
    """A victim that lived on: the run shows nothing."""


@dataclass(frozen=True)
class Kill:
    """Whom to kill, and when: so many epochs after the start or the kill before, and then a moment."""

    what: str  # of SIGNALS
    epochs: int  # 0: at once, so that a start is killed before it trains
    pause_s: float


@dataclass(frozen=True)
class Job:
    """A command that is to end with 0 however often it is killed."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path  # for its output
    epochs: Path  # a folder that gets a file for every epoch trained
    look: Callable[[], None]  # called at every tick
    is_complete: Callable[[], bool]  # whether all that is planned is finished


@dataclass
class Start:
    """One start of the command, and how it ended."""

    began: float  # [s since 1970]
    kills: list[str] = field(default_factory=list)
    code: int | None = None
    lied: bool = False  # exited with 0, though not everything that was planned is finished
    recovered_s: float | None = None  # from the start to the first epoch that one of its workers trained
    tail: str = ""  # the last lines of a start that failed, or lied, though nobody killed its driver


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    session: int
    began: int  # [ticks since boot], because an id may be used again
    name: str


def schedule(what: Sequence[str], num: int, seed: int, num_epochs: int) -> list[Kill]:
    """`num` kills, evenly of each kind, spread over about three quarters of `num_epochs`; a sixth of them at starts."""
    draw = random.Random(seed)
    kinds = [what[n % len(what)] for n in range(num)]
    draw.shuffle(kinds)
    longest = max(1, round(1.5 * num_epochs / max(num, 1)))
    early = [draw.random() < 1 / 6 for _ in kinds]
    return [
        Kill(kind, 0 if soon else draw.randint(1, longest), draw.uniform(0, 15 if soon else 1))
        for kind, soon in zip(kinds, early, strict=True)
    ]


def disturb(job: Job, kills: Sequence[Kill]) -> list[Start]:
    """Starts the command until it exits with 0 and is complete, and kills it on the way.

    Raises:
        Missed: if a victim lived on.
    """
    left, starts, sessions = list(kills), list[Start](), list[int]()
    # In the background of a shell Ctrl-C is ignored, and so it would be by all that is started here.
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
            follow(driver, start, job, left)
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


def follow(driver: subprocess.Popen[bytes], start: Start, job: Job, left: list[Kill]) -> None:
    """Stays with one start to its end, and kills when the moment has come; takes what it did from `left`."""
    before, worked, due = count(job.epochs), 0.0, 0.0
    while driver.poll() is None:
        time.sleep(TICK_S)
        job.look()
        everyone = processes(driver.pid)
        found = [p for p in everyone if p.name.startswith(WORKER)]
        worked = worked or (time.time() if found else 0.0)
        if worked and start.recovered_s is None and (new := first_after(job.epochs, worked)):
            start.recovered_s = new - start.began
        if time.time() - start.began > ENDS_S:
            driver.kill()
        if not left:
            continue
        kill = left[0]
        if kill.what in NAMES:
            victims = [p for p in everyone if NAMES[kill.what] in p.name]
        else:
            of_trials = kill.what in ("worker", "worker-term", "freeze")
            victims = found if of_trials else list(filter(None, [alive(driver.pid)]))
        if not due and count(job.epochs) - before >= kill.epochs:
            due = time.time() + kill.pause_s
        if not due or time.time() < due or not victims:
            continue
        if strike(random.Random(len(left)).choice(victims), SIGNALS[kill.what], driver):
            start.kills.append(kill.what)
            left.pop(0)
            before, due = count(job.epochs), 0.0


def strike(victim: Process, number: int, driver: subprocess.Popen[bytes]) -> bool:
    """Sends a signal to a process and sees it die; whether it was still there to be hit.

    Raises:
        Missed: if it lives on.
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
    """The process with this id; None if it is dead, also if nobody has asked for its exit code yet."""
    with suppress(OSError):
        state, _, _, session, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return Process(pid, int(session), int(rest[15]), name) if state not in "ZX" else None
    return None


def is_alive(process: Process) -> bool:
    """Whether it is this one that lives, and not another with its id."""
    found = alive(process.pid)
    return found is not None and found.began == process.began


def end_session(session: int) -> None:
    """Ends what is left of a session that this program has started."""
    for process in processes(session):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def count(folder: Path) -> int:
    """How many files there are."""
    return sum(1 for _ in os.scandir(folder))


def first_after(folder: Path, moment: float) -> float | None:
    """When the first file after a moment was made."""
    return min((t for entry in os.scandir(folder) if (t := entry.stat().st_mtime) > moment), default=None)
