"""Drawings on a terminal: the table of a sweep, and a progress bar. The only file that loads rich."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from sweeps.engine.display.standing import MOST_RECENT, Failed, Finished, Running, Standing, duration, shown

Item = TypeVar("Item")
SHORTEST_S, CLOCK_S = 0.4, 1.0  # the shortest and longest time between two drawings
WIDEST = 120  # columns; numbers too far from their names are hard to read
BAR, GAP = 40, 2
DIM, GOOD, BAD = "dim", "green", "red"
COLUMNS = {  # for a running trial: the width of each, and the narrowest terminal that shows it
    "epoch": (7, 0),
    "best val.": (9, 32),
    "train loss": (10, 92),
    "val. loss": (9, 78),
    "s/epoch": (7, 68),
    "left": (10, 58),
}


def can_draw(stream: TextIO) -> bool:
    """Whether a terminal can move its cursor and has the characters for the drawings."""
    console = Console(file=stream)
    return console.is_interactive and console.encoding.startswith("utf")


def bar(stream: TextIO, items: Iterable[Item], total: int, what: str, unit: str) -> Iterable[Item]:
    """Yields the items, with a progress bar that is removed at the end."""
    progress = Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(20, style=DIM, complete_style=GOOD, finished_style=GOOD),
        TextColumn("{task.completed:.0f} of {task.total:.0f} " + f"{unit}s", markup=False),
        _Left(),
        console=Console(file=stream),
        refresh_per_second=4,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )
    with progress:
        progress.console.show_cursor()  # a process that is killed outright could not show it again
        yield from progress.track(items, total, description=what, update_period=0.25)


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        left_s = task.time_remaining
        return Text("" if left_s is None else f"{duration(left_s)} left", DIM)


class Screen:
    """A drawing at the bottom of a terminal, in its own thread; text that is printed meanwhile goes above it.

    Only that thread writes to the terminal, so that callers never wait for it.

    Args:
        stream: the terminal.
        draw: makes the drawing for a number of columns and lines.
    """

    def __init__(self, stream: TextIO, draw: Callable[[int, int], RenderableType]) -> None:
        self._console = Console(file=stream)
        self._live = Live(
            _Drawn(draw),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._lines: deque[str] = deque()  # lines to print above
        self._changed, self._closing = threading.Event(), threading.Event()
        self._live.start()
        self._console.show_cursor()  # a driver that is killed outright could not show it again
        self._streams = sys.stdout, sys.stderr
        self._above = [_Above(s, self._print) if s.isatty() else s for s in self._streams]
        sys.stdout, sys.stderr = self._above
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def changed(self) -> None:
        """Requests a new drawing, soon."""
        self._changed.set()

    def close(self) -> None:
        """Removes the drawing, and leaves the lines above it."""
        if not self._live.is_started:
            return
        self._closing.set()
        self._changed.set()
        self._thread.join()
        sys.stdout, sys.stderr = self._streams
        for above in self._above:
            if isinstance(above, _Above):
                above.end()
        with suppress(OSError):
            self._draw()
            self._live.stop()
        atexit.unregister(self.close)

    def _print(self, line: str) -> None:
        self._lines.append(line)
        self._changed.set()

    def _work(self) -> None:
        with suppress(OSError):  # the terminal is gone, and trials continue
            while not self._closing.wait(SHORTEST_S):
                self._changed.wait(CLOCK_S - SHORTEST_S)
                self._changed.clear()
                self._draw()

    def _draw(self) -> None:
        lines = [_foreign(self._lines.popleft()) for _ in range(len(self._lines))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)  # one write, with the drawing redone below
        else:
            self._live.refresh()


class _Drawn:
    """A drawing that is made when it is shown, for the size of the terminal at that moment."""

    def __init__(self, draw: Callable[[int, int], RenderableType]) -> None:
        self._draw = draw

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._draw(options.size.width, options.size.height)


class _Above:
    """A standard stream during a drawing: whole lines go above it. After the end it is the plain stream."""

    def __init__(self, stream: TextIO, take: Callable[[str], None]) -> None:
        self.stream = stream
        self._take: Callable[[str], None] | None = take
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes printed text."""
        if self._take is None:
            return self.stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Takes several texts."""
        self.write("".join(texts))

    def flush(self) -> None:
        """Flushes the stream after the end; until then, unfinished lines are kept."""
        if self._take is None:
            self.stream.flush()

    def end(self) -> None:
        """Makes later writes go to the stream itself, because a logger may have kept this object."""
        if self._take and self._rest:
            self._take(self._rest)
        self._take = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def table(standing: Standing, width: int, height: int) -> Group:
    """The table of a sweep: running trials, a few that have ended, and a summary; it fits any number of trials."""
    width = min(width, WIDEST)
    spare = max(1, height - max(1, height // 5))  # the remaining lines are for the text above
    summary = _whole(standing, width)[:spare]
    recent = min(MOST_RECENT, max(0, (spare - len(summary) - 11) // 3))  # of each kind; running trials take precedence
    finished, failed = standing.finished[:recent], standing.failed[:recent]
    columns = _Columns.fitting(width, standing.longest_name, standing.most_epochs)
    ended = [*_finished(finished, standing.main_score, standing.tested, columns), *_failed(failed, columns)]
    space = spare - len(summary) - len(ended) - 3  # two blank lines, and a heading
    waiting = [_text(f"{standing.waiting}, {duration(standing.waited_s)}")] if standing.waiting else []
    body = [*(waiting or _running(standing.running, standing.main_score, space, columns)), *ended]
    lines = [Text(), *body, Text(), *summary] if body and space > 0 else summary
    return Group(*lines)


@dataclass(frozen=True)
class _Columns:
    """The columns beside a trial's name, with their widths."""

    name: int
    widths: Mapping[str, int]

    @classmethod
    def fitting(cls, width: int, longest: str, epochs: int) -> _Columns:
        """The columns that fit, beside names that can still be told apart."""
        shown = {heading: cells for heading, (cells, least) in COLUMNS.items() if width >= least}
        shown["epoch"] = max(len("epoch"), len(f"{epochs}/{epochs}"))
        room = width - sum(shown.values()) - GAP * len(shown)
        return cls(max(1, min(max(len("finished"), cell_len(longest)), room)), shown)

    def line(self, name: str, cells: Mapping[str, str], style: str = "") -> Text:
        """One line: a name and its numbers, aligned in columns."""
        numbers = "".join(f"{cells.get(heading, ''):>{GAP + width}}" for heading, width in self.widths.items())
        return _text((f"{cut(name, self.name)}{numbers}", style))


def cut(name: str, width: int) -> str:
    """A name in `width` columns; a long one keeps its beginning and its end, which has the seed."""
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    tail = (width - 1) * 3 // 5
    begin, end = set_cell_size(name, width - 1 - tail), set_cell_size(name[::-1], tail)[::-1]
    return set_cell_size(f"{begin.rstrip()}…{end.lstrip()}", width)  # half of a wide character becomes a space


def _running(running: Sequence[Running], main: Any, space: int, columns: _Columns) -> list[Text]:
    some = running if len(running) <= space else running[: max(0, space - 1)]
    if not some:
        return []
    lines = [columns.line("running", {heading: heading for heading in columns.widths}, DIM)]
    for trial in some:
        cells = {
            "epoch": f"{trial.epoch}/{trial.epochs}",
            "best val.": _shown(main, trial.best),
            "train loss": _number(trial.train_loss, 3),
            "val. loss": _number(trial.val_loss, 3),
            "s/epoch": _number(trial.epoch_s, 2),
            "left": "-" if trial.left_s is None else duration(trial.left_s),
        }
        lines.append(columns.line(trial.name, cells))
    if len(some) < len(running):
        lines.append(_text((f"and {len(running) - len(some)} more", DIM)))
    return lines


def _finished(finished: Sequence[Finished], main: Any, tested: bool, columns: _Columns) -> list[Text]:
    headings = {"epoch": "kept", "best val.": "test" if tested else "val.", "left": "took"}
    lines = [columns.line("finished", headings, DIM)]
    for trial in finished:
        kept = f"{trial.kept}/{trial.epochs}" if trial.score is not None else "-"
        score = _shown(main, trial.score) if trial.score is not None else "diverged"
        lines.append(columns.line(trial.name, {"epoch": kept, "best val.": score, "left": duration(trial.took_s)}))
    return lines if finished else []


def _failed(failed: Sequence[Failed], columns: _Columns) -> list[Text]:
    lines = [_text(("failed", DIM))]
    for trial in failed:
        reason = _foreign(trial.reason).plain.expandtabs(1)
        lines.append(_text(f"{cut(trial.name, columns.name)}{'':{GAP}}", (reason, BAD)))
    return lines if failed else []


def _whole(standing: Standing, width: int) -> list[Text]:
    left = "" if standing.eta_s is None else f", {duration(standing.eta_s)} left"
    done = f"  {standing.num_finished} of {standing.total} done{left}"
    cells = max(1, min(BAR, width - len(done)))
    full = round(cells * min(1.0, standing.part_done))
    to_run = standing.total - standing.num_finished - standing.num_failed - len(standing.running)
    counts = f"{len(standing.running)} running, "
    after = f", {to_run} to run, {duration(standing.elapsed_s)} so far"
    lines = [
        _text(("━" * full, GOOD), ("─" * (cells - full), DIM), done),
        _text(counts, (f"{standing.num_failed} failed", BAD if standing.num_failed else ""), after),
    ]
    if standing.best:
        lines.append(
            _text(f"best finished: validation {_shown(standing.main_score, standing.best[0])} ({standing.best[1]})")
        )
    return lines


def _shown(main: Any, value: float | None) -> str:
    """A main score for the table."""
    return "-" if value is None else shown(main, value)


def _number(value: float | None, places: int) -> str:
    """A number with some decimal places, or in scientific notation if it is large."""
    return "-" if value is None else f"{value:.{places}f}" if value < 10_000 else f"{value:.1e}"


def _foreign(line: str) -> Text:
    """Text from elsewhere: colours are interpreted, and undecodable bytes of file names are escaped."""
    return Text.from_ansi(line.encode(errors="backslashreplace").decode())


def _text(*parts: str | tuple[str, str]) -> Text:
    """A line of parts, plain or with a style."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
