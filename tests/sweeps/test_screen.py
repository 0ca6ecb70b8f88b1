"""The display on a terminal: a table that fits, lines above it exactly once, and no table at the end."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sweeps.engine.display import screen
from sweeps.engine.display.standing import Failed, Finished, Running, Standing
from trainable.scores.accuracy import Accuracy

ROOT = Path(__file__).resolve().parents[2]

NAMES = [f"cnn14-32k on {khz} kHz, seed {seed}" for khz in (2, 4, 8, 16, 32, 64) for seed in range(1, 10)]
STANDING = Standing(
    main_score=Accuracy(),
    total=54,
    num_finished=17,
    num_failed=2,
    elapsed_s=2460,
    eta_s=3300,
    part_done=0.4,
    best=(0.8125, NAMES[3]),
    waiting="",
    waited_s=0,
    tested=True,
    longest_name=NAMES[-1],
    most_epochs=100,
    running=[Running(NAMES[0], 100, 12, 0.7128, 0.8121, 0.9344, 4.214, 360), Running(NAMES[30], 100)],
    finished=[Finished(NAMES[3], 0.7812, 23, 73, 185), Finished(NAMES[4], None, 0, 3, 12)],
    failed=[
        Failed(NAMES[5], "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.40 GiB"),
        Failed(NAMES[6], "no"),
    ],
)


def lines(standing: Standing, width: int, height: int) -> list[str]:
    """The table as text."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(screen.table(standing, width, height))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_says_how_everything_stands() -> None:
    """Every number is below its heading, with the summary at the end."""
    assert lines(STANDING, 80, 24) == [
        "",
        "running                        epoch  best val.  val. loss  s/epoch        left",
        "cnn14-32k on 2 kHz, seed 1    12/100     71.3 %      0.934     4.21       6 min",
        "cnn14-32k on 16 kHz, seed 4    0/100          -          -        -           -",
        "finished                        kept       test                            took",
        "cnn14-32k on 2 kHz, seed 4     23/73     78.1 %                           3 min",
        "cnn14-32k on 2 kHz, seed 5         -   diverged                            12 s",
        "failed",
        "cnn14-32k on 2 kHz, seed 6   OutOfMemoryError: CUDA out of memory. Tried to all…",
        "cnn14-32k on 2 kHz, seed 7   no",
        "",
        "━━━━━━━━━━━━━━━━────────────────────────  17 of 54 done, 55 min left",
        "2 running, 2 failed, 33 to run, 41 min so far",
        "best finished: validation 81.2 % (cnn14-32k on 2 kHz, seed 4)",
    ]


def test_a_wide_terminal_has_more_numbers_and_a_narrow_one_fewer() -> None:
    """The least informative go first; 40 columns still show name, epoch and score."""
    assert "train loss" in lines(STANDING, 120, 24)[1]
    assert lines(STANDING, 40, 24)[1:3] == [
        "running                 epoch  best val.",
        "cnn14-32…kHz, seed 1   12/100     71.3 %",
    ]


def test_before_and_after_the_trials_it_says_what_is_waited_for() -> None:
    """The line has the seconds."""
    for running in [], STANDING.running:  # at the end some may have been cut off
        standing = replace(STANDING, running=running, waiting="starting workers", waited_s=12.3)
        assert lines(standing, 80, 24)[1] == "starting workers, 12 s"
        assert lines(standing, 80, 24)[2].startswith("finished ")


def test_a_search_is_scored_on_validation() -> None:
    """The heading says so."""
    (heading,) = [line for line in lines(replace(STANDING, tested=False), 80, 24) if line.startswith("finished")]
    assert heading.split() == ["finished", "kept", "val.", "took"]


@pytest.mark.parametrize("size", [(80, 24), (40, 24), (20, 10), (80, 5), (80, 1), (1, 24), (200, 60)])
@pytest.mark.parametrize("num_running", [0, 1, 5, 40])
def test_it_fits_whatever_there_is_to_show(num_running: int, size: tuple[int, int]) -> None:
    """No line is wider than the terminal, lines are left for the text above, and no running trial is ignored."""
    width, height = size
    wide = "深海の船の音をきく" * 4 + ", seed 3"
    running = [Running(name, 100, 99, 1.0, 1e9, float("nan"), 1e6, 1e6) for name in [wide, *NAMES][:num_running]]
    ended = [Finished(wide, 1.0, 100, 100, 1e6)] * 5
    failed = [Failed(wide, "\x1b[31mError\x1b[0m:\tno\r\a \udcff " * 20)] * 5
    standing = replace(STANDING, total=10_000, longest_name=wide, running=running, finished=ended, failed=failed)
    shown = lines(standing, width, height)
    assert len(shown) <= max(1, height - 1)
    assert max(map(cell_len, shown)) <= width
    assert not re.search(r"[\x00-\x1f\ud800-\udfff]", "".join(shown))
    if size == (80, 24):
        rows = [line for line in shown if " 99/100 " in line]
        more = [int(match[1]) for line in shown if (match := re.fullmatch(r"and (\d+) more", line))]
        assert len(rows) + sum(more) == num_running
        assert len(rows) >= min(num_running, 5)
        assert sum(", seed 3" in line for line in shown) >= 4


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("cnn14-8k on 2 kHz, seed 1", 27, "cnn14-8k on 2 kHz, seed 1  "),
        ("timm/mobilenetv3_large_100.ra_in1k-32k on 44.1 kHz, seed 12", 28, "timm/mobile…4.1 kHz, seed 12"),
        ("船" * 20, 10, "船船…船船 "),
        ("abc", 1, "…"),
    ],
)
def test_a_long_name_keeps_both_ends(name: str, width: int, expected: str) -> None:
    """The seed is at the end."""
    assert screen.cut(name, width) == expected
    assert cell_len(expected) == width


@dataclass
class Terminal:
    """The contents of an 80 x 24 terminal after some output, including lines that have scrolled away."""

    output: str
    cursor: bool = True

    def __post_init__(self) -> None:
        self.rows, self.row, self.column = [""], 0, 0
        self.wrapped: set[int] = set()  # rows that go on in the next
        for control, up, character in re.findall(r"(\x1b\[(?:(\d+)A|[?\d;]*[a-zA-Z]))|(.)", self.output, re.DOTALL):
            if control:
                self.control(control, int(up or 0))
            else:
                self.put(character)

    def control(self, control: str, up: int) -> None:
        self.row -= up
        assert self.row >= len(self.rows) - 24, "what has scrolled away is out of reach"
        if control == "\x1b[2K":
            self.rows[self.row] = ""
        elif control in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor = control.endswith("h")
        else:
            assert up or control.endswith("m"), repr(control)

    def put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
            return
        if character == "\n" or self.column == 80:
            if character != "\n":
                self.wrapped.add(self.row)
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row == len(self.rows))
        if character != "\n":
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> str:
        """The non-empty lines; a wrapped line counts as one."""
        text = "".join(row + "\n" * (n not in self.wrapped) for n, row in enumerate(self.rows))
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


PROGRAM = """
import dataclasses, os, signal, sys, time
from sweeps.engine.plan import grid
from sweeps.engine.display.progress import TrialProgress, each
from sweeps.recipes.mohammadi import RATES

BASE = RATES.but(corpus="deepship", backbone="cnn14", pretrain_hz=32_000, data_hz=32_000, augment="none", seed=1)
TRIALS = grid(BASE, data_hz=(8_000, 32_000), seed=(1, 2))
SCORES = {"test_accuracy": 0.8123, "best_val_accuracy": 0.75, "best_epoch": 3, "epochs_run": 5}
shown = TrialProgress(TRIALS)
"""


def on_terminal(program: str, stdout: int | None = None, **environment: str) -> tuple[str, str]:
    """The output of a program on an 80 x 24 terminal, and on its standard output if that is a pipe."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}
    words = [sys.executable, "-c", PROGRAM + textwrap.dedent(program)]
    environment = {**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment}
    shown = b""
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdin=slave, stdout=stdout or slave, stderr=slave) as run:
        os.close(slave)
        with suppress(OSError):  # how Linux says that the other end is closed
            while chunk := os.read(master, 65536):
                shown += chunk
        piped = run.stdout.read() if run.stdout else b""
    os.close(master)
    return shown.decode(), piped.decode()


EVENTS = """
for trial in TRIALS[:3]:
    shown.started(trial.key)
shown.epoch(TRIALS[0].key, {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.25, "epoch_s": 2.0})
time.sleep(0.6)
shown.finished(TRIALS[0].key, SCORES)
print("a library's line of \\udcff.wav", file=sys.stderr)
print("half a line, ", end="", flush=True)
time.sleep(0.6)
print("and its end")
shown.failed(TRIALS[1].key, "Traceback:\\n" + "NotFinite: " + "lower lr " * 12)
shown.note("the store is back")
"""
SAID = [
    "[1/4] cnn14-32k on 8 kHz, seed 1: test accuracy 81.2 %, epoch 3 of 5",
    "a library's line of \\udcff.wav",
    "half a line, and its end",
    "FAILED cnn14-32k on 8 kHz, seed 2 (key KEY): NotFinite: " + ("lower lr " * 12).strip(),
    "the store is back",
]
ENDS = {
    "closed": "shown.close()",
    "never closed": "",
    "an exception": "raise SystemExit(3)",
    "a traceback": "sys.tracebacklimit = 0\nraise ValueError('of one line')",
    "exit in a handler": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\nos.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_lines_stand_above_once_and_the_table_goes(end: str) -> None:
    """However the program ends, its lines are there, in order, once; the table is gone, and the cursor is back."""
    output, _ = on_terminal(EVENTS + ENDS[end])
    terminal = Terminal(output)
    expected = [*SAID, *["ValueError: of one line"] * (end == "a traceback")]
    assert "running" in output
    assert re.sub(r"key [0-9a-f]{12}", "key KEY", terminal.text) == "\n".join(expected)
    assert terminal.cursor


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_a_cursor() -> None:
    """Nobody could show it again, so it is never hidden for long."""
    output, _ = on_terminal(EVENTS + "os.kill(os.getpid(), signal.SIGKILL)")
    assert "of 4 done" in output
    assert Terminal(output).cursor


@pytest.mark.slow
def test_the_table_on_a_terminal_is_the_sweeps() -> None:
    """It contains the reported events."""
    output, _ = on_terminal(EVENTS + "time.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)")
    shown = Terminal(output).text.splitlines()
    assert "cnn14-32k on 32 kHz, seed 1    0/100          -          -        -           -" in shown
    assert shown[-1] == "best finished: validation 75.0 % (cnn14-32k on 8 kHz, seed 1)"
    assert shown[-2].startswith("1 running, 1 failed, 1 to run, ")
    assert any(line.startswith("cnn14-32k on 8 kHz, seed 2   NotFinite: lower lr") for line in shown)


@pytest.mark.slow
def test_ten_thousand_events_are_few_drawings() -> None:
    """However fast events come, the terminal is written at most every 0.4 s."""
    output, _ = on_terminal(
        """
        began = time.monotonic()
        for trial in TRIALS:
            shown.started(trial.key)
        for epoch in range(10_000):
            shown.epoch(TRIALS[epoch % 4].key, {"epoch": epoch % 100, "val_accuracy": 0.5})
        time.sleep(1.2)
        shown.close()
        print(f"SECONDS {time.monotonic() - began:.3f}")
        """
    )
    seconds = float(re.search(r"SECONDS ([\d.]+)", output)[1])  # type: ignore[index]
    assert 2 <= output.count(" 0 of 4 done") <= seconds / screen.SHORTEST_S + 3


@pytest.mark.slow
def test_with_output_to_a_file_the_file_has_plain_lines() -> None:
    """`python -m sweeps.x > log` logs the same as without a terminal, and the terminal has the table."""
    output, log = on_terminal(EVENTS + "shown.close()", stdout=subprocess.PIPE)
    assert log.splitlines()[0].startswith(SAID[0] + ", 2 running, 0 failed, ")
    assert "\x1b" not in log
    assert Terminal(output).text.splitlines() == [SAID[1]]
    assert "of 4 done" in output


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}])
def test_a_terminal_that_cannot_show_it_has_plain_lines(environment: dict[str, str]) -> None:
    """It lacks cursor control or the characters."""
    output, _ = on_terminal("for _ in each('ab', 2, 'reading'): pass\n" + EVENTS + "shown.close()", **environment)
    assert "\x1b" not in output
    assert output.splitlines()[0] == "reading: 2 files"
    assert "0 failed, " in output.splitlines()[1]


@pytest.mark.slow
def test_no_color_is_kept_to() -> None:
    """See https://no-color.org"""
    colours = re.compile(r"\x1b\[[\d;]*3\d(;|m)")
    assert colours.search(on_terminal(EVENTS + "shown.close()")[0])
    assert not colours.search(on_terminal(EVENTS + "shown.close()", NO_COLOR="1")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "last"),
    [
        ("except KeyboardInterrupt: print('stopped', file=sys.stderr); sys.exit(130)", "stopped"),
        ("finally: sys.tracebacklimit = 0", "KeyboardInterrupt"),
    ],
)
def test_a_bar_goes_with_its_items_or_with_an_error(handler: str, last: str) -> None:
    """It shows its progress; an error, which keeps the loop alive until the end, leaves no bar."""
    output, _ = on_terminal(
        f"""
        shown.close()
        for item in each(iter(range(40)), 40, "reading [audio]"):
            time.sleep(0.02)
        print("between")
        try:
            for item in each(iter(range(40)), 40, "reading audio"):
                time.sleep(0.5)
                raise KeyboardInterrupt
        {handler}
        """
    )
    assert "reading [audio]" in output
    assert re.search(r"\d+ of 40 files", re.sub(r"\x1b\[[\d;]*m", "", output))
    assert Terminal(output).text.splitlines() == ["between", last]
    assert Terminal(output).cursor
