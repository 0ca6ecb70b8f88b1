"""What is drawn on a terminal, and the only file that loads rich: the table of a sweep, and a bar for files."""

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
SHORTEST_S, CLOCK_S = 0.4, 1.0  # between two drawings: at least, and at most
WIDEST = 120  # columns; numbers too far from their name are hard to read
BAR, GAP = 40, 2
DIM, GOOD, BAD = "dim", "green", "red"
COLUMNS = {  # of a running trial: their widths, and the least width of a terminal that has them
    "epoch": (7, 0),
    "best val.": (9, 32),
    "train loss": (10, 92),
    "val. loss": (9, 78),
    "s/epoch": (7, 68),
    "left": (10, 58),
}


def can_draw(stream: TextIO) -> bool:
    """Whether a terminal can move its cursor and has the signs that are drawn with."""
    console = Console(file=stream)
    return console.is_interactive and console.encoding.startswith("utf")


def bar(stream: TextIO, items: Iterable[Item], total: int, what: str, unit: str) -> Iterable[Item]:
    """The items, with a bar while they pass, which is gone at the end."""
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
        progress.console.show_cursor()  # whoever is killed outright could not show it again
        yield from progress.track(items, total, description=what, update_period=0.25)


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        left_s = task.time_remaining
        return Text("" if left_s is None else f"{duration(left_s)} left", DIM)


class Screen:
    """The lower end of a terminal, drawn in a thread of its own; what is printed meanwhile stands above, once.

    Only that thread writes to the terminal, and it alone takes time: what it is told costs nothing.

    Args:
        draw: what to show on so many columns and lines.
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
        self._lines: deque[str] = deque()  # to be printed above
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
        """Has it drawn again, soon."""
        self._changed.set()

    def close(self) -> None:
        """Leaves the lines above, and nothing of the drawing."""
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
        with suppress(OSError):  # the terminal has gone, and trials go on
            while not self._closing.wait(SHORTEST_S):
                self._changed.wait(CLOCK_S - SHORTEST_S)
                self._changed.clear()
                self._draw()

    def _draw(self) -> None:
        lines = [_foreign(self._lines.popleft()) for _ in range(len(self._lines))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)  # with the drawing anew below, in one write
        else:
            self._live.refresh()


class _Drawn:
    """What is drawn, made when it is drawn, for the size that the terminal has then."""

    def __init__(self, draw: Callable[[int, int], RenderableType]) -> None:
        self._draw = draw

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._draw(options.size.width, options.size.height)


class _Above:
    """A standard stream while the screen is drawn: whole lines go above it; after its end the stream itself."""

    def __init__(self, stream: TextIO, take: Callable[[str], None]) -> None:
        self.stream = stream
        self._take: Callable[[str], None] | None = take
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes what is printed."""
        if self._take is None:
            return self.stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """The same, of several."""
        self.write("".join(texts))

    def flush(self) -> None:
        """Leaves half a line where it is."""
        if self._take is None:
            self.stream.flush()

    def end(self) -> None:
        """From now on writes to the stream: a logger may have kept this object."""
        if self._take and self._rest:
            self._take(self._rest)
        self._take = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def table(now: Standing, width: int, height: int) -> Group:
    """How a sweep stands: trials that run, a few that have ended, and the whole; it fits whatever their number."""
    width = min(width, WIDEST)
    spare = max(1, height - max(1, height // 5))  # the others are left for what stands above
    whole = _whole(now, width)[:spare]
    recent = min(MOST_RECENT, max(0, (spare - len(whole) - 11) // 3))  # of each kind; running trials come first
    finished, failed = now.finished[:recent], now.failed[:recent]
    columns = _Columns.fitting(width, now.longest_name, now.most_epochs)
    ended = [*_finished(finished, now.main_score, now.tested, columns), *_failed(failed, columns)]
    space = spare - len(whole) - len(ended) - 3  # two blank lines, and a heading
    waiting = [_text(f"{now.waiting}, {duration(now.waited_s)}")] if now.waiting else []
    body = [*(waiting or _running(now.running, now.main_score, space, columns)), *ended]
    lines = [Text(), *body, Text(), *whole] if body and space > 0 else whole
    return Group(*lines)


@dataclass(frozen=True)
class _Columns:
    """Which numbers stand beside a trial's name, and how wide."""

    name: int
    widths: Mapping[str, int]

    @classmethod
    def fitting(cls, width: int, longest: str, epochs: int) -> _Columns:
        """As many as there is room for, beside names that can still be told apart."""
        shown = {heading: cells for heading, (cells, least) in COLUMNS.items() if width >= least}
        shown["epoch"] = max(len("epoch"), len(f"{epochs}/{epochs}"))
        room = width - sum(shown.values()) - GAP * len(shown)
        return cls(max(1, min(max(len("finished"), cell_len(longest)), room)), shown)

    def line(self, name: str, cells: Mapping[str, str], style: str = "") -> Text:
        """A name and its numbers, each under the others."""
        numbers = "".join(f"{cells.get(heading, ''):>{GAP + width}}" for heading, width in self.widths.items())
        return _text((f"{cut(name, self.name)}{numbers}", style))


def cut(name: str, width: int) -> str:
    """A name in so many columns; of a long one, its beginning and its end, which has the seed."""
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    tail = (width - 1) * 3 // 5
    begin, end = set_cell_size(name, width - 1 - tail), set_cell_size(name[::-1], tail)[::-1]
    return set_cell_size(f"{begin.rstrip()}…{end.lstrip()}", width)  # half of a wide sign is a space


def _running(running: Sequence[Running], main: Any, space: int, columns: _Columns) -> list[Text]:
    some = running if len(running) <= space else running[: max(0, space - 1)]
    if not some:
        return []
    lines = [columns.line("running", {heading: heading for heading in columns.widths}, DIM)]
    for one in some:
        cells = {
            "epoch": f"{one.epoch}/{one.epochs}",
            "best val.": _shown(main, one.best),
            "train loss": _number(one.train_loss, 3),
            "val. loss": _number(one.val_loss, 3),
            "s/epoch": _number(one.epoch_s, 2),
            "left": "-" if one.left_s is None else duration(one.left_s),
        }
        lines.append(columns.line(one.name, cells))
    if len(some) < len(running):
        lines.append(_text((f"and {len(running) - len(some)} more", DIM)))
    return lines


def _finished(finished: Sequence[Finished], main: Any, tested: bool, columns: _Columns) -> list[Text]:
    headings = {"epoch": "kept", "best val.": "test" if tested else "val.", "left": "took"}
    lines = [columns.line("finished", headings, DIM)]
    for one in finished:
        kept = f"{one.kept}/{one.epochs}" if one.score is not None else "-"
        score = _shown(main, one.score) if one.score is not None else "diverged"
        lines.append(columns.line(one.name, {"epoch": kept, "best val.": score, "left": duration(one.took_s)}))
    return lines if finished else []


def _failed(failed: Sequence[Failed], columns: _Columns) -> list[Text]:
    lines = [_text(("failed", DIM))]
    for one in failed:
        reason = _foreign(one.reason).plain.expandtabs(1)
        lines.append(_text(f"{cut(one.name, columns.name)}{'':{GAP}}", (reason, BAD)))
    return lines if failed else []


def _whole(now: Standing, width: int) -> list[Text]:
    left = "" if now.eta_s is None else f", {duration(now.eta_s)} left"
    done = f"  {now.num_finished} of {now.total} done{left}"
    cells = max(1, min(BAR, width - len(done)))
    full = round(cells * min(1.0, now.part_done))
    to_run = now.total - now.num_finished - now.num_failed - len(now.running)
    counts = f"{len(now.running)} running, "
    after = f", {to_run} to run, {duration(now.elapsed_s)} so far"
    lines = [
        _text(("━" * full, GOOD), ("─" * (cells - full), DIM), done),
        _text(counts, (f"{now.num_failed} failed", BAD if now.num_failed else ""), after),
    ]
    if now.best:
        lines.append(_text(f"best finished: validation {_shown(now.main_score, now.best[0])} ({now.best[1]})"))
    return lines


def _shown(main: Any, value: float | None) -> str:
    """The main score."""
    return "-" if value is None else shown(main, value)


def _number(value: float | None, places: int) -> str:
    """With so many places, or as many digits as there is room for."""
    return "-" if value is None else f"{value:.{places}f}" if value < 10_000 else f"{value:.1e}"


def _foreign(line: str) -> Text:
    """What others have written: colours are understood, and bytes of file names that are no text can be shown."""
    return Text.from_ansi(line.encode(errors="backslashreplace").decode())


def _text(*parts: str | tuple[str, str]) -> Text:
    """A line of words, and of words with their style."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
