"""Prepares a corpus for trials: the identity of its data, its split, and its clips at every rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.engine import cache, corpus, scan, splits
from datasets.engine.clips import open_clips
from datasets.engine.scan import OnBad, Progress, Scan
from datasets.engine.splits import Split


@dataclass(frozen=True)
class Wanted:
    """The part of a corpus that a trial needs; it is the same for all sampling rates."""

    corpus: str
    classes: tuple[str, ...]
    split: str
    clip_s: float
    groups: str = ""  # the pattern of the files' names, for a corpus that takes one
    target: str = ""  # the group that is the label; empty for the corpus's own label


@dataclass(frozen=True)
class Source:
    """The places of a corpus and its cache on this machine, and how to treat bad files."""

    data_root: Path
    cache_dir: Path
    split_file: Path | None = None
    on_bad: OnBad = "refuse"


@dataclass(frozen=True)
class Prepared:
    """A corpus that has been read, checked and split."""

    scan: Scan
    split: Split
    counts: dict[str, tuple[int, int]]  # recordings and clips of each role

    @property
    def notes(self) -> tuple[str, ...]:
        """Every fact about the data that a report must repeat."""
        dropped = tuple(f"left out: {problem}" for problem in self.scan.dropped)
        beyond = sum(f.peak > 1 for f in self.scan.facts.values())
        clipped = [f"{beyond} files go beyond full scale, and are clipped there"] if beyond else []
        channels = sum(f.num_channels > 1 for f in self.scan.facts.values())
        mixed = [f"{channels} files with several channels, averaged"] if channels else []
        rates_hz = Counter(f.rate_hz for f in self.scan.facts.values())
        if len(rates_hz) > 1:  # a network may learn the rate instead of the class
            num_by_rate = ", ".join(f"{num} at {hz} Hz" for hz, num in sorted(rates_hz.items()))
            mixed.append(f"files were recorded at several rates: {num_by_rate}")
        return (*self.scan.corpus.notes, *self.split.notes, *clipped, *mixed, *dropped)


def check(wanted: Wanted, split_file: Path | None = None) -> None:
    """Refuses what is wrong in any folder: an unknown corpus, or a class, target or split that the corpus never has.

    Raises:
        CorpusError: with the names that exist.
    """
    corpus.check_groups(wanted.corpus, wanted.groups)
    module = corpus.module(wanted.corpus)
    groups = getattr(module, "GROUPS", None)
    if wanted.target and groups is not None:
        corpus.check_target(wanted.corpus, wanted.target, groups)
        groups = (*groups, corpus.LABEL)
    if not wanted.target and (names := getattr(module, "CLASS_NAMES", ())):
        corpus.chosen(names, wanted.classes)
    splits.check_name(wanted.split, wanted.corpus, groups, split_file)


def prepare(wanted: Wanted, source: Source, progress: Progress | None = None) -> Prepared:
    """Reads a corpus, refuses or drops its bad files, and splits it.

    Raises:
        CorpusError: if anything must be fixed first; the message names all bad files at once.
    """
    files = _found(wanted, source)
    return _split(scan.scan(files, wanted.clip_s, source.cache_dir, source.on_bad, progress), wanted, source)


def remembered(wanted: Wanted, source: Source) -> Prepared | None:
    """Prepares a corpus from remembered facts, without reading audio; None if a file is new, changed or bad.

    Raises:
        CorpusError: if the folder does not hold this corpus, or the corpus cannot be split this way.
    """
    files = _found(wanted, source)
    past_scan = scan.remembered(files, wanted.clip_s, source.cache_dir)
    return _split(past_scan, wanted, source) if past_scan else None


def _found(wanted: Wanted, source: Source) -> corpus.Corpus:
    return corpus.find(wanted.corpus, source.data_root, wanted.classes, wanted.groups, wanted.target)


def clips(
    prepared: Prepared, rates_hz: Sequence[int], clip_s: float, source: Source, progress: Progress | None = None
) -> dict[int, Path]:
    """The cache folder of each rate; missing ones are built.

    Raises:
        CorpusError: if one cannot be built or is damaged.
    """
    folders = cache.build(prepared.scan, rates_hz, clip_s, source.cache_dir, progress)
    for folder in folders.values():
        open_clips(folder, prepared.scan.corpus)
    return folders


def _split(scanned: Scan, wanted: Wanted, source: Source) -> Prepared:
    num_clips = scanned.num_clips(wanted.clip_s)
    split = splits.make(scanned.corpus, num_clips, wanted.split, wanted.clip_s, source.split_file)
    splits.check(split, scanned.corpus, {i: f.sha256 for i, f in scanned.facts.items()})
    return Prepared(scanned, split, split.counts(num_clips))
