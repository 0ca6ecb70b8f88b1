"""Reads every file of a corpus once, and reports its facts and faults before anything is trained.

The facts of a file are remembered by path, size and modification time, so that the next scan need not read it. When the
rules for good files have changed, every file is read again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from datasets.engine.corpus import Corpus, CorpusError, Problem
from datasets.engine.decoding.audio import AudioFacts, BadAudio, decode

INDEX = "facts.sqlite"  # in the cache folder
RULES = 2  # raise it when a file that used to be good may be refused or decoded to other samples

OnBad = Literal["refuse", "drop"]
Progress = Callable[[Iterable, int, str], Iterable]  # (items, total, title) -> the same items, counted as they pass

# A file being read takes up to 1 GB (20 minutes at 64 kHz), and sixteen at once are faster than a disk.
NUM_THREADS = min(16, len(os.sched_getaffinity(0)))

Outcome = AudioFacts | str  # the facts of a good file, or why the file is bad
Stat = tuple[int, int, int]  # size, modification time, and the rules that the file was checked against


@dataclass(frozen=True)
class Scan:
    """A corpus without its bad files, the facts of the good ones, and what was dropped."""

    corpus: Corpus
    facts: dict[str, AudioFacts]  # by recording id
    dropped: tuple[Problem, ...] = ()

    @cached_property  # every trial asks for it, and it covers all recordings
    def sha256(self) -> str:
        """Identity of the data: a hash of every recording's id, label and bytes."""
        rows = [(r.id, r.label, self.facts[r.id].sha256) for r in self.corpus.recordings]
        return hashlib.sha256(json.dumps([self.corpus.classes, rows]).encode()).hexdigest()

    def num_clips(self, clip_s: float) -> dict[str, int]:
        """The number of whole clips in each recording; the remainder is dropped."""
        return {i: int(f.num_frames / (f.rate_hz * clip_s) + 1e-9) for i, f in self.facts.items()}


def scan(
    corpus: Corpus, clip_s: float, cache_dir: Path, on_bad: OnBad = "refuse", progress: Progress | None = None
) -> Scan:
    """Examines every file of `corpus`, on all cores.

    Args:
        clip_s: length of a clip [s]; a shorter recording is bad.
        on_bad: "refuse" lists all bad files in one error; "drop" leaves them out and records them in `dropped`.

    Raises:
        CorpusError: for bad files that are refused or whose loss would leave a class empty, or for a cache folder
            that cannot be written.
    """
    paths = [r.path for r in corpus.recordings]
    outcomes = examined(paths, cache_dir, progress)
    problems, facts, kept = list(corpus.problems), {}, []
    for recording in corpus.recordings:
        outcome = outcomes[recording.path]
        if isinstance(outcome, AudioFacts) and outcome.duration_s < clip_s:
            outcome = f"{_unlike(outcome.duration_s, clip_s)} s long, shorter than one clip of {clip_s:g} s"
        if isinstance(outcome, str):
            problems.append(Problem(recording.path, outcome))
        else:
            facts[recording.id] = outcome
            kept.append(recording)
    empty_classes = set(corpus.classes) - {r.label for r in kept}
    if problems and (on_bad == "refuse" or empty_classes):
        problem_list = "\n  ".join(map(str, problems))
        remedy = "fix or remove them, or leave them out and have that recorded: --bad-files drop"
        if empty_classes:
            remedy = f"without them nothing is left of class {', '.join(sorted(empty_classes))}; fix them"
        raise CorpusError(f"{len(problems)} bad files in {corpus.root}; nothing was run:\n  {problem_list}\n{remedy}")
    return Scan(dataclasses.replace(corpus, recordings=tuple(kept), problems=()), facts, tuple(problems))


def remembered(corpus: Corpus, clip_s: float, cache_dir: Path) -> Scan | None:
    """The scan of a corpus if every file is remembered as good, else None. Reads no audio."""
    recalled = _recall([r.path for r in corpus.recordings], cache_dir)
    facts = {
        r.id: f
        for r in corpus.recordings
        if isinstance(f := recalled.get(r.path), AudioFacts) and f.duration_s >= clip_s
    }
    return Scan(corpus, facts) if len(facts) == len(corpus.recordings) and not corpus.problems else None


def examined(paths: Sequence[Path], cache_dir: Path, progress: Progress | None = None) -> dict[Path, Outcome]:
    """The facts of each file, or why it is bad; files that are remembered in `cache_dir` are not read.

    Raises:
        CorpusError: if the cache folder cannot be written.
    """
    outcomes = _recall(paths, cache_dir)
    progress = progress or (lambda items, total, what: items)
    new = [p for p in paths if p not in outcomes]
    if not new:
        return outcomes
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        # Threads use all cores here: hashing, decoding and numpy release the interpreter's lock.
        with _opened(cache_dir / INDEX) as connection, ThreadPoolExecutor(NUM_THREADS) as pool:
            for path, (stat, outcome) in progress(
                zip(new, pool.map(_examine, new), strict=True), len(new), "reading audio"
            ):
                outcomes[path] = outcome
                if stat and isinstance(outcome, AudioFacts):  # a bad file is not stored, because it may get fixed
                    size, mtime_ns, rules = stat
                    row = (str(path), size, mtime_ns, json.dumps({"rules": rules, **dataclasses.asdict(outcome)}))
                    with connection:
                        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", row)
    except (OSError, sqlite3.Error) as error:
        raise CorpusError(f"--cache-dir {cache_dir}: cannot be written ({error}); choose another") from None
    return outcomes


def _examine(path: Path) -> tuple[Stat | None, Outcome]:
    try:
        stat = _stat(path)
        return stat, decode(path)[1]
    except BadAudio as error:
        return None, str(error)
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"


def _stat(path: Path) -> Stat:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, RULES


def _unlike(seconds: float, clip_s: float) -> str:
    """A duration with enough digits to tell it from the length of a clip: 4.99995 s is not shown as 5.00 s."""
    roundings = (f"{seconds:.{digits}f}" for digits in range(2, 18))
    return next((text for text in roundings if float(text) < clip_s), repr(seconds))


def _recall(paths: Sequence[Path], cache_dir: Path) -> dict[Path, Outcome]:
    rows = memory(cache_dir)
    outcomes: dict[Path, Outcome] = {}
    for path in paths:
        if path in rows:
            stat, facts = rows[path]
            with suppress(OSError):  # the file no longer exists
                if _stat(path) == stat:
                    outcomes[path] = facts
    return outcomes


def memory(cache_dir: Path) -> dict[Path, tuple[Stat, AudioFacts]]:
    """Every file that was ever good, under any rules, with its size and time then, and its facts."""
    index = cache_dir / INDEX
    if not index.exists():
        return {}
    try:
        with _opened(index) as connection:
            rows = connection.execute("SELECT path, size, mtime_ns, facts FROM facts").fetchall()
    except sqlite3.Error:
        with suppress(OSError):
            index.unlink()  # it only saves time: the files are read again
        return {}
    facts_of = {}
    for path, size, mtime_ns, facts in rows:
        with suppress(ValueError, TypeError, AttributeError):  # facts that are damaged or have other fields
            fields = json.loads(facts)
            facts_of[Path(path)] = (size, mtime_ns, fields.pop("rules", 1)), AudioFacts(**fields)
    return facts_of


@contextmanager
def _opened(index: Path) -> Iterator[sqlite3.Connection]:
    columns = "path TEXT PRIMARY KEY, size INT, mtime_ns INT, facts TEXT"
    with closing(sqlite3.connect(index, timeout=60)) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS facts ({columns}) WITHOUT ROWID")
        yield connection
