"""Measures the memory for the clips of 1 to 8 trials on a machine, against separate arrays in each process.

    python -m benchmarks.memory [--clips N] [--trials 1,2,4,8] [--json FILE]

Every trial is a process that opens the same cache entry and reads every page of it. The peer loads the clips like the
data module of Mohammadi et al. 2024: 16-bit samples and a float32 copy, both kept. The figure is the proportional share
(PSS), in which a page that several processes map is divided among them, so that the sum over the processes is the use
of the machine. For ours it is the map of the clips alone, with the whole growth of the processes in the note; for the
peer it is the growth.

The log-mels that a trial makes from the clips are not shared. They are on the trial's device: on a CPU that is this
memory.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured import Row, as_a_worker, at_most, parser, show
from datasets.engine.clips import open_clips

PEER = "own arrays"
PAGE = 4096 // 2  # samples


@dataclass(frozen=True)
class Taken:
    """Memory of all trials together [MB]."""

    growth: float  # growth of the processes since before they had any data
    clips: float  # the part of it that is the map of the clips


def map_clips(folder: Path) -> Any:
    """Opens the memory map that all trials share, as ours do, and reads every page of it."""
    clips = open_clips(folder)
    return clips, int(clips.wave.reshape(-1)[::PAGE].max())


def own_arrays(folder: Path) -> Any:
    """Loads the samples as integers and as scaled floats, as the peer does."""
    samples = [np.array(wave) for wave in np.load(folder / "clips.npy")]
    low, high = min(wave.min() for wave in samples), max(wave.max() for wave in samples)
    return samples, [(wave.astype(np.float32) - low) / np.float32(int(high) - int(low)) for wave in samples]


def make_logmels(folder: Path) -> Any:
    """Makes the log-mels in half precision that a trial on a CPU holds besides the clips."""
    from benchmarks import feed

    clips = open_clips(folder)
    return feed.hold(feed.LOGMELS, clips)


def trial(load: Callable[[Path], Any], folder: Path, parent: Connection) -> None:
    """Runs one process: it reports that it is up, loads when told to, reports that, and ends when told to."""
    if load is make_logmels:  # torch, and the memory for its first log-mel, must not count as data
        import torch

        from benchmarks import feed
        from trainable.network.frontend import logmel

        torch.set_num_threads(1)
        logmel(torch.zeros(feed.examples.CLIPS_AT_ONCE, 160_000), feed.LOGMELS.card.front_end)
    parent.send("up")
    parent.recv()
    data = load(folder)
    parent.send("loaded")
    parent.recv()
    del data


def measure(load: Callable[[Path], Any], folder: Path, num_trials: int) -> Taken:
    """The memory of `num_trials` processes at the same time."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        trials = []
        for _ in range(num_trials):
            parent, child = spawn.Pipe()
            process = spawn.Process(target=trial, args=(load, folder, child), daemon=True)
            process.start()
            child.close()  # so that a dead trial is an end of file here, not endless waiting
            stack.callback(process.join)
            stack.enter_context(parent)  # closing it ends the trial
            trials.append((process, parent))
        _hear(trials)
        before = sum(pss_mb(process.pid) for process, _ in trials)
        for _, parent in trials:
            parent.send("load")
        _hear(trials)
        pids = [process.pid for process, _ in trials]
        taken = Taken(sum(map(pss_mb, pids)) - before, sum(pss_mb(pid, folder / "clips.npy") for pid in pids))
        for _, parent in trials:
            parent.send("end")
    return taken


def _hear(trials: Sequence[tuple[Any, Connection]]) -> None:
    """Waits for a message from every trial."""
    for _, parent in trials:
        parent.recv()


def pss_mb(pid: int | None, mapped: Path | None = None) -> float:
    """The proportional share of a process's memory [MB], or of its map of one file."""
    if not mapped:
        return _pss(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines())
    lines, inside = [], False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        if not line.split()[0].endswith(":"):  # the first line of a map: its addresses, and the file if there is one
            inside = line.endswith(str(mapped.resolve()))
        elif inside:
            lines.append(line)
    return _pss(lines)


def _pss(lines: Sequence[str]) -> float:
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def rows(
    ours: dict[int, Taken], peer: dict[int, Taken], logmels: dict[int, Taken], file_mb: float, logmel_mb: float
) -> list[Row]:
    """The table.

    Args:
        ours: memory by number of trials.
        peer: memory by number of trials.
        logmels: additional memory of our log-mels, by number of trials.
        file_mb: size of the file with the clips [MB].
        logmel_mb: size of their log-mels [MB].
    """
    unit, least, most = "MB", min(ours), max(ours)
    table = []
    for n, taken in ours.items():
        note = f"processes grew by {taken.growth:.0f} MB" + (f"; the file has {file_mb:.0f}" if n == least else "")
        case, ratio = f"clips, {n} trial{'s' * (n > 1)}", peer[n].growth / taken.clips
        table.append(Row(case, unit, taken.clips, peer[n].growth, PEER, ratio, note=note))
    grown, peers_grown = ours[most].clips / ours[least].clips, peer[most].growth / peer[least].growth
    table.append(at_most(f"clips, {most} trials over {least}", "times", grown, 1.1, peer=peers_grown, peer_name=PEER))
    for n, taken in logmels.items():
        note = f"each its own: {logmel_mb:.0f} MB on its device, this memory where that is a CPU, and what malloc keeps"
        table.append(Row(f"log-mels besides, {n} trial{'s' * (n > 1)}", unit, taken.growth, note=note))
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the results as JSON if asked."""
    from benchmarks import feed, noise  # imported here because trials import this module and do not need them

    options = parser(__doc__)
    options.add_argument("--clips", type=int, default=288, metavar="N", help="of 5 s at 32 kHz; default 288")
    options.add_argument("--trials", default="1,2,4,8", metavar="N,N", help="at once; default 1,2,4,8")
    args = options.parse_args(argv)
    numbers = sorted({int(n) for n in args.trials.split(",")})
    with tempfile.TemporaryDirectory(prefix="memory-") as temporary:
        folder = noise.entry(Path(temporary), args.clips)
        ours = {n: measure(map_clips, folder, n) for n in numbers}
        peer = {n: measure(own_arrays, folder, n) for n in numbers}
        logmels = {n: measure(make_logmels, folder, n) for n in (numbers[0], numbers[-1])}
        file_mb = (folder / "clips.npy").stat().st_size / 1e6
        logmel_mb = 2 * len(open_clips(folder).wave) * math.prod(feed.LOGMELS.logmel_shape) / 1e6
    show(rows(ours, peer, logmels, file_mb, logmel_mb), args)


if __name__ == "__main__":
    as_a_worker()
    main()
