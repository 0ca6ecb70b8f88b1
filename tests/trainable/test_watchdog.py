"""A process that makes no steps is ended wherever it hangs, and says where; one that makes steps survives."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainable.device import watchdog
from trainable.device.watchdog import beat, watch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HANGS = {
    "sleeping": "time.sleep(60)",
    "computing": "while True: pass",
    "in C, holding the interpreter's lock": "re.fullmatch('(a+)+b', 'a' * 60)",
    "waiting for a lock": "threading.Lock().acquire() and (lock := threading.Lock()).acquire() and lock.acquire()",
    "catching everything": "[suppress_all() for _ in itertools.count()]",
}
PROGRAM = """
import itertools, pathlib, re, sys, threading, time
from trainable.device.watchdog import beat, watch

def suppress_all():
    try:
        time.sleep(60)
    except BaseException:
        pass

def where_it_hangs():
    {hang}

with watch(0.3, pathlib.Path(sys.argv[1])):
    beat()
    where_it_hangs()
"""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("hang", HANGS)
def test_a_process_that_hangs_is_ended(hang: str, tmp_path: Path) -> None:
    """It exits with code 1, wherever it hangs, and the file names the function."""
    stacks = tmp_path / "trial" / "stacks.txt"
    ended = run(PROGRAM.format(hang=HANGS[hang]), stacks)
    assert ended.returncode == 1, ended.stderr
    assert "Timeout (0:00:00.300000)!" in stacks.read_text()
    assert "in where_it_hangs" in stacks.read_text()


def test_a_process_that_is_stopped_is_killed(tmp_path: Path) -> None:
    """It can neither end itself nor write its stacks; the file says so."""
    program = PROGRAM.replace("beat, watch\n", "beat, watch\nimport os, signal, trainable.device.watchdog\n", 1)
    program = program.replace("with watch", "trainable.device.watchdog.GRACE_S = 0.2\nwith watch")
    stacks = tmp_path / "stacks.txt"
    ended = run(program.format(hang="os.kill(os.getpid(), signal.SIGSTOP)"), stacks)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert "did not run at all" in stacks.read_text()


def test_every_thread_is_in_the_file(tmp_path: Path) -> None:
    """The hanging thread may differ from the watched one: a trial is a thread of its worker."""
    in_a_thread = PROGRAM.replace("    where_it_hangs()", "    threading.Thread(target=where_it_hangs).start()")
    stacks = tmp_path / "stacks.txt"
    ended = run(in_a_thread.format(hang="time.sleep(60)") + "    time.sleep(60)\n", stacks)
    assert ended.returncode == 1
    assert "in where_it_hangs" in stacks.read_text()
    assert "in <module>" in stacks.read_text()


def test_a_process_that_makes_steps_lives(tmp_path: Path) -> None:
    """It runs ten times as long as the limit; then nothing is armed, and no file is left."""
    program = (
        "import pathlib, sys, time\nfrom trainable.device.watchdog import beat, watch\n"
        "with watch(0.3, pathlib.Path(sys.argv[1])):\n"
        "    for _ in range(30):\n"
        "        time.sleep(0.1); beat()\n"
        "beat()\n"
        "time.sleep(0.6)\n"
        "print('alive')\n"
    )
    ended = run(program, tmp_path / "stacks.txt")
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_armed_after_an_error(tmp_path: Path) -> None:
    """After a failed trial, the worker can take the next one, and no file looks like a hang."""
    with pytest.raises(ValueError, match="its own"), watch(0.1, tmp_path / "stacks.txt"):
        raise ValueError("its own")
    beat()
    assert watchdog._watch is None
    time.sleep(0.3)
    assert not list(tmp_path.iterdir())


def test_an_older_hang_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """The file of an earlier attempt is removed when the next watch starts."""
    stacks = tmp_path / "stacks.txt"
    stacks.write_text("Timeout (0:30:00)!")
    with watch(5, stacks):
        assert stacks.read_text() == ""


def test_a_file_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """A late attempt may have removed it; the result must not be lost for that."""
    with watch(5, tmp_path / "stacks.txt"):
        (tmp_path / "stacks.txt").unlink()


def test_where_nobody_watches_a_step_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a sweep nothing is armed."""
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *a, **k: pytest.fail("armed"))
    beat()
