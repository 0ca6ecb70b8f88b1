"""Prepares a corpus for trials: the identity of its data, its split, and its clips at every rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.engine import cache, corpus, scan, splits
from datasets.engine.clips import Cut, Short, open_clips
from datasets.engine.corpus import CorpusError, Problem
from datasets.engine.decoding.audio import Silence
from datasets.engine.scan import OnBad, Progress, Scan
from datasets.engine.splits import Split
from datasets.engine.splitting.groups import JOINT, is_unknown, seen_notes, units_of
from datasets.engine.splitting.spellings import near_notes

MOSTLY = 0.5  # the share of a class's clips, above which filling is noted


@dataclass(frozen=True)
class Wanted:
    """The part of a corpus that a trial needs; it is the same for all sampling rates."""

    corpus: str
    classes: tuple[str, ...]
    split: str
    clip_s: float
    groups: str = ""  # the pattern of the files' names, for a corpus that takes one
    target: str = ""  # the group that is the label; empty for the corpus's own label
    short: Short = "refuse"
    overlap: float = 0.0

    @property
    def cut(self) -> Cut:
        """The way to cut recordings."""
        return Cut(self.clip_s, self.short, self.overlap)


@dataclass(frozen=True)
class Source:
    """The places of a corpus and its cache on this machine, and how to treat bad files."""

    data_root: Path
    cache_dir: Path
    split_file: Path | None = None
    on_bad: OnBad = "refuse"
    silence: Silence = "refuse"


@dataclass(frozen=True)
class Prepared:
    """A corpus that has been read, checked and split."""

    scan: Scan
    split: Split
    counts: dict[str, tuple[int, int]]  # recordings and clips of each role
    filled: tuple[str, ...] = ()  # notes on classes whose clips are mostly filled up

    @property
    def notes(self) -> tuple[str, ...]:
        """Every fact about the data that a report must repeat."""
        dropped = tuple(f"left out: {problem}" for problem in self.scan.dropped)
        beyond = sum(f.peak > 1 for f in self.scan.facts.values())
        clipped = [f"{beyond} files go beyond full scale, and are clipped there"] if beyond else []
        silent = sum(bool(f.silence) for f in self.scan.facts.values())
        quiet = [f"{silent} files are silent, which --silence allow lets in"] if silent else []
        channels = sum(f.num_channels > 1 for f in self.scan.facts.values())
        mixed = [f"{channels} files with several channels, averaged"] if channels else []
        rates_hz = Counter(f.rate_hz for f in self.scan.facts.values())
        if len(rates_hz) > 1:  # a network may learn the rate instead of the class
            num_by_rate = ", ".join(f"{num} at {hz} Hz" for hz, num in sorted(rates_hz.items()))
            mixed.append(f"files were recorded at several rates: {num_by_rate}")
        near = tuple(near_notes(self.scan.corpus))
        return (*self.scan.corpus.notes, *near, *self.split.notes, *self.filled, *clipped, *quiet, *mixed, *dropped)


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
    if wanted.target and wanted.target in wanted.split.partition(":")[0].split(JOINT):
        raise CorpusError(
            f"split={wanted.split}: is the target, so each role would lack classes; split by another group"
        )
    if not wanted.target and (names := getattr(module, "CLASS_NAMES", ())):
        corpus.chosen(names, wanted.classes)
    splits.check_name(wanted.split, wanted.corpus, groups, split_file)


def prepare(wanted: Wanted, source: Source, progress: Progress | None = None) -> Prepared:
    """Reads a corpus, refuses or drops its bad files, and splits it.

    Raises:
        CorpusError: if anything must be fixed first; the message names all bad files at once.
    """
    files = _found(wanted, source)
    scanned = scan.scan(files, wanted.cut, source.cache_dir, source.on_bad, progress, source.silence)
    return _split(scanned, wanted, source)


def remembered(wanted: Wanted, source: Source) -> Prepared | None:
    """Prepares a corpus from remembered facts, without reading audio; None if a file is new, changed or bad.

    Raises:
        CorpusError: if the folder does not hold this corpus, or the corpus cannot be split this way.
    """
    files = _found(wanted, source)
    past_scan = scan.remembered(files, wanted.cut, source.cache_dir, source.silence)
    return _split(past_scan, wanted, source) if past_scan else None


def _found(wanted: Wanted, source: Source) -> corpus.Corpus:
    return corpus.find(wanted.corpus, source.data_root, wanted.classes, wanted.groups, wanted.target)


def clips(
    prepared: Prepared, rates_hz: Sequence[int], cut: Cut | float, source: Source, progress: Progress | None = None
) -> dict[int, Path]:
    """The cache folder of each rate; missing ones are built.

    Args:
        cut: the way to cut recordings, as they were prepared; a number is the length of a clip [s].

    Raises:
        CorpusError: if one cannot be built or is damaged.
    """
    folders = cache.build(prepared.scan, rates_hz, cut, source.cache_dir, progress)
    for folder in folders.values():
        open_clips(folder, prepared.scan.corpus)
    return folders


def _split(scanned: Scan, wanted: Wanted, source: Source) -> Prepared:
    if source.on_bad == "drop":
        scanned = known(scanned, wanted.split)
    num_clips = scanned.num_clips(wanted.cut)
    split = splits.make(scanned.corpus, num_clips, wanted.split, wanted.clip_s, source.split_file)
    sha256_of = {i: f.sha256 for i, f in scanned.facts.items()}
    splits.check(split, scanned.corpus, sha256_of, scanned.twins)
    twins = splits.twin_notes(split, scanned.corpus, sha256_of, scanned.twins)
    notes = (*split.notes, *twins, *seen_notes(scanned.corpus, split.roles, num_clips))
    split, counts = replace(split, notes=notes), split.counts(num_clips)
    return Prepared(scanned, split, counts, tuple(mostly_filled(scanned, wanted.cut)))


def known(scanned: Scan, split: str) -> Scan:
    """The scan without the recordings of which the group that the split is by is unknown; they count as dropped.

    If a class would lose all its recordings, none is left out, so that the split is refused with their names.
    """
    files = scanned.corpus
    units = [unit for unit in units_of(split, files.group_names) if unit in files.group_names]
    unknown = {r.id: next((unit for unit in units if is_unknown(r.groups[unit])), "") for r in files.recordings}
    kept = tuple(r for r in files.recordings if not unknown[r.id])
    if {r.label for r in kept} != {r.label for r in files.recordings}:
        return scanned
    out = [Problem(r.path, f"its {unit} is unknown") for r in files.recordings if (unit := unknown[r.id])]
    facts = {r.id: scanned.facts[r.id] for r in kept}
    return replace(scanned, corpus=replace(files, recordings=kept), facts=facts, dropped=(*scanned.dropped, *out))


def mostly_filled(scanned: Scan, cut: Cut) -> Iterator[str]:
    """Yields a note on each class of whose clips more than half is filled up: the filling may give it away."""
    num_clips = scanned.num_clips(cut)
    own, whole = dict.fromkeys(scanned.corpus.classes, 0.0), dict.fromkeys(scanned.corpus.classes, 0.0)
    for r in scanned.corpus.recordings:
        own[r.label] += num_clips[r.id] * min(scanned.facts[r.id].duration_s, cut.clip_s)
        whole[r.label] += num_clips[r.id] * cut.clip_s
    what = {"pad": "zeros", "repeat": "repeated"}.get(cut.short, "")
    for label in scanned.corpus.classes:
        if whole[label] and (share := 1 - own[label] / whole[label]) > MOSTLY:
            yield (
                f"class {label}: {100 * share:.0f} % of its clips is {what} (short={cut.short}), which may give it "
                "away; choose a shorter clip_s"
            )
