"""Reads every file of a corpus once, and reports its facts and faults before anything is trained.

The facts of a file are remembered by path, size and modification time, so that the next scan need not read it. When the
rules for good files have changed, every file is read again. While a file is read, the landmarks of its sound are noted
too (`datasets.engine.twins`), so that the same sound is recognised in other files; a file without them is read again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from datasets.engine.clips import Cut
from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording
from datasets.engine.decoding.audio import AudioFacts, BadAudio, Silence, decode
from datasets.engine.twins import finding, shelf
from datasets.engine.twins.finding import Twin
from datasets.engine.twins.landmarks import Landmarks, landmarks

INDEX = "facts.sqlite"  # in the cache folder
RULES = 2  # raise it when a file that used to be good may be refused or decoded to other samples

TOO_SHORT = "shorter than one clip"

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
    twins: tuple[Twin, ...] = ()  # the files with the same sound

    @cached_property  # every trial asks for it, and it covers all recordings
    def sha256(self) -> str:
        """Identity of the data: a hash of every recording's id, label and bytes."""
        rows = [(r.id, r.label, self.facts[r.id].sha256) for r in self.corpus.recordings]
        return hashlib.sha256(json.dumps([self.corpus.classes, rows]).encode()).hexdigest()

    def num_clips(self, cut: Cut | float) -> dict[str, int]:
        """The number of clips of each recording; a number is the length of a clip [s]."""
        return {i: Cut.of(cut).number(f.num_frames, f.rate_hz) for i, f in self.facts.items()}


def scan(
    corpus: Corpus,
    cut: Cut | float,
    cache_dir: Path,
    on_bad: OnBad = "refuse",
    progress: Progress | None = None,
    silence: Silence = "refuse",
) -> Scan:
    """Examines every file of `corpus`, on all cores.

    Args:
        cut: the way to cut recordings, which says whether a short one is bad; a number is the length of a clip [s].
        on_bad: "refuse" lists all bad files in one error; "drop" leaves them out and records them in `dropped`.
        silence: "refuse" makes a silent file a bad one.

    Raises:
        CorpusError: for bad files that are refused or whose loss would leave a class empty, or for a cache folder
            that cannot be written.
    """
    paths, cut = [r.path for r in corpus.recordings], Cut.of(cut)
    outcomes = examined(paths, cache_dir, progress, silence)
    problems, facts, kept = list(corpus.problems), {}, []
    for recording in corpus.recordings:
        outcome = of_recording(recording, outcomes[recording.path])
        if isinstance(outcome, AudioFacts) and not cut.takes(outcome.duration_s):
            excerpt = f"its excerpt at {recording.start_s:g} s is " if recording.file else ""
            outcome = f"{excerpt}{_unlike(outcome.duration_s, cut.clip_s)} s long, {TOO_SHORT} of {cut.clip_s:g} s"
        if isinstance(outcome, str):
            problems.append(Problem(recording.path, outcome))
        else:
            facts[recording.id] = outcome
            kept.append(recording)
    empty_classes = set(corpus.classes) - {r.label for r in kept}
    if problems and (on_bad == "refuse" or empty_classes):
        problem_list, remedy = "\n  ".join(map(str, problems)), _remedy(problems, empty_classes)
        raise CorpusError(f"{len(problems)} bad files in {corpus.root}; nothing was run:\n  {problem_list}\n{remedy}")
    good = dataclasses.replace(corpus, recordings=tuple(kept), problems=())
    return Scan(good, facts, tuple(problems), twins_among(good, facts, cache_dir, progress))


def _remedy(problems: Iterable[Problem], empty_classes: Iterable[str]) -> str:
    reasons = [problem.reason for problem in problems]
    ways = ", fill up short ones (--set short=pad)" * any(TOO_SHORT in reason for reason in reasons)
    ways += ", allow silence (--silence allow)" * any(reason.startswith("silent") for reason in reasons)
    if empty := sorted(empty_classes):
        return f"without them nothing is left of class {', '.join(empty)}; fix them{ways}"
    return f"fix or remove them{ways}, or leave them out and have that recorded: --bad-files drop"


def remembered(corpus: Corpus, cut: Cut | float, cache_dir: Path, silence: Silence = "refuse") -> Scan | None:
    """The scan of a corpus if every file is remembered as good, else None.

    Reads no audio, but where this selection of files is new: then the few that sound alike.
    """
    recalled, cut = _recall([r.path for r in corpus.recordings], cache_dir, silence), Cut.of(cut)
    facts = {
        r.id: f
        for r in corpus.recordings
        if isinstance(f := of_recording(r, recalled.get(r.path, "")), AudioFacts) and cut.takes(f.duration_s)
    }
    if len(facts) < len(corpus.recordings) or corpus.problems:
        return None
    return Scan(corpus, facts, twins=twins_among(corpus, facts, cache_dir))


def twins_among(
    corpus: Corpus, facts: Mapping[str, AudioFacts], cache_dir: Path, progress: Progress | None = None
) -> tuple[Twin, ...]:
    """The pairs of files with the same sound in other bytes, once per corpus; silent files are left out.

    Raises:
        CorpusError: if a file cannot be read any more.
    """
    files = {facts[r.id].sha256: r.path for r in corpus.recordings if r.id in facts and not facts[r.id].silence}
    return finding.find(files, cache_dir / INDEX, progress)


def of_recording(recording: Recording, outcome: Outcome) -> Outcome:
    """The facts of a recording: those of its file, and of an excerpt its own length."""
    if not recording.file or not isinstance(outcome, AudioFacts):
        return outcome
    end_s = outcome.duration_s if recording.end_s is None else min(recording.end_s, outcome.duration_s)
    num_frames = round(end_s * outcome.rate_hz) - round(recording.start_s * outcome.rate_hz)
    if num_frames <= 0:
        return f"its excerpt at {recording.start_s:g} s lies beyond its end at {outcome.duration_s:.2f} s"
    return dataclasses.replace(outcome, num_frames=num_frames)


def examined(
    paths: Sequence[Path], cache_dir: Path, progress: Progress | None = None, silence: Silence = "refuse"
) -> dict[Path, Outcome]:
    """The facts of each file, or why it is bad; files that are remembered in `cache_dir` are not read.

    Raises:
        CorpusError: if the cache folder cannot be written.
    """
    outcomes = _recall(paths, cache_dir, silence)
    progress = progress or (lambda items, total, what: items)
    new = list(dict.fromkeys(p for p in paths if p not in outcomes))
    examine = partial(_examine, silence=silence)
    if not new:
        return outcomes
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        # Threads use all cores here: hashing, decoding and numpy release the interpreter's lock.
        with _opened(cache_dir / INDEX) as connection, ThreadPoolExecutor(NUM_THREADS) as pool:
            for path, (stat, outcome, sound) in progress(
                zip(new, pool.map(examine, new), strict=True), len(new), "reading audio"
            ):
                outcomes[path] = outcome
                if (
                    stat and sound and isinstance(outcome, AudioFacts)
                ):  # a bad file is not stored, because it may get fixed
                    size, mtime_ns, rules = stat
                    row = (str(path), size, mtime_ns, json.dumps({"rules": rules, **dataclasses.asdict(outcome)}))
                    with connection:
                        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", row)
                        shelf.keep(connection, outcome.sha256, sound)
    except (OSError, sqlite3.Error) as error:
        raise CorpusError(f"--cache-dir {cache_dir}: cannot be written ({error}); choose another") from None
    return outcomes


def _examine(path: Path, silence: Silence) -> tuple[Stat | None, Outcome, Landmarks | None]:
    try:
        stat = _stat(path)
        wave, facts = decode(path, silence)
        return stat, facts, landmarks(wave, facts.rate_hz)
    except BadAudio as error:
        return None, str(error), None
    except OSError as error:
        return None, f"cannot be read ({error.strerror})", None


def _stat(path: Path) -> Stat:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, RULES


def _unlike(seconds: float, clip_s: float) -> str:
    """A duration with enough digits to tell it from the length of a clip: 4.99995 s is not shown as 5.00 s."""
    roundings = (f"{seconds:.{digits}f}" for digits in range(2, 18))
    return next((text for text in roundings if float(text) < clip_s), repr(seconds))


def _recall(paths: Sequence[Path], cache_dir: Path, silence: Silence) -> dict[Path, Outcome]:
    rows, heard = memory(cache_dir), shelf.kept(cache_dir / INDEX)
    outcomes: dict[Path, Outcome] = {}
    for path in paths:
        if path in rows and rows[path][1].sha256 in heard:
            stat, facts = rows[path]
            with suppress(OSError):  # the file no longer exists
                if _stat(path) == stat:
                    refused = silence == "refuse" and facts.silence
                    outcomes[path] = f"silent: {facts.silence}" if refused else facts
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
        connection.execute(
            "PRAGMA synchronous = OFF"
        )  # a file that power loss damages is made anew; waiting for it is slow
        connection.execute(f"CREATE TABLE IF NOT EXISTS facts ({columns}) WITHOUT ROWID")
        yield connection
