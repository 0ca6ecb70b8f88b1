"""DeepShip (Irfan et al. 2021): four classes of ships, one WAV a passage, and metafiles that name the vessel.

Both trees that exist are read: `<Class>/<YYYYMMDD[letter]-id>/<file>.wav`, where the letter orders a day's passages and
the file is named by its time or its id, and the flat `<Class>/<id>.wav` of the public sample. A class's headerless
metafile has rows `id,AIS code,ship,YYYYMMDD,HHMMSS,duration_s,start-end range_m,`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
from datasets.engine.decoding.audio import duration_s
from datasets.engine.files import NUMBER, SEPARATORS, BadText, cells, read_lines, separator
from datasets.engine.splits import ROLES, Split

CLASSES = {
    "cargo": "Cargo",
    "passengership": "Passengership",
    "passenger": "Passengership",
    "tanker": "Tanker",
    "tug": "Tug",
}
CLASS_NAMES, GROUPS = tuple(sorted(set(CLASSES.values()))), ("day", "vessel")
SPLIT_FILE = "split_indices.txt"
ROW = (NUMBER, r"[0-9]*", r".+", r"[0-9]{8}", r"[0-9]{6}", NUMBER)
FOLDER = re.compile(r"(?P<day>\d{8})(?P<letter>[a-z]?)-(?P<id>\d+)")

SPLIT_COLUMNS = ["split", "class", "recording_dir", "wav_stem", "n_segments_5s"]

# What the authors' split holds of the whole corpus (Mohammadi et al. 2024, section II.B): recordings and 5 s clips.
PUBLISHED_COUNTS = {"train": (428, 23_088), "validation": (60, 3_974), "test": (121, 6_708)}
PUBLISHED_CLIP_S = 5.0


@dataclass(frozen=True)
class Passage:
    """One row of a metafile."""

    id: int
    vessel: str
    day: str
    time: str
    duration_s: int


@dataclass(frozen=True)
class _Place:
    """What a path says of its recording; None where it says nothing."""

    path: Path
    label: str
    day: str | None
    letter: str
    id: int | None


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings of either tree, joined with their metafiles to give vessel, day and time.

    A recording whose vessel no join finds is a vessel of its own, and the notes count such.

    Raises:
        CorpusError: if there is no class folder, or none of the one asked for.
    """
    folders = {p: CLASSES[p.name.lower()] for p in sorted(root.iterdir()) if p.is_dir() and p.name.lower() in CLASSES}
    if not folders:
        raise CorpusError(f"{root}: no class folder; DeepShip has {', '.join(CLASS_NAMES)}, one folder each")
    wanted = chosen(CLASS_NAMES, classes)
    recordings, notes, problems = [], [], []
    for label in wanted:
        own = [folder for folder, its in folders.items() if its == label]
        places = [_place(path, folder, label) for folder in own for path in audio_files(folder)]
        passages, bad = _read_metafiles(own)
        problems += bad
        if places and not passages:
            notes.append(f"{label}: no metafile, so no vessel, in {', '.join(map(str, own))}")
        joined = _join(places, passages)
        how = Counter(name for name, _ in joined.values())
        notes.append(
            f"{label}: {len(places)} recordings; vessel by " + (", ".join(f"{n} {h}" for h, n in how.items()) or "none")
        )
        recordings += [_recording(p, root, *joined[p.path]) for p in places]
    ignored = sorted(p.name for p in root.iterdir() if p.is_dir() and p not in folders and not p.name.startswith("."))
    if ignored:
        notes.append(f"folders that are no class, ignored: {', '.join(ignored)}")
    return Corpus(
        "deepship", root, wanted, tuple(sorted(recordings, key=lambda r: r.id)), tuple(notes), tuple(problems)
    )


def _place(path: Path, folder: Path, label: str) -> _Place:
    parent = FOLDER.fullmatch(path.parent.name) if path.parent != folder else None
    if parent:
        return _Place(path, label, parent["day"], parent["letter"], int(parent["id"]))
    return _Place(path, label, None, "", int(path.stem) if path.parent == folder and path.stem.isdecimal() else None)


def _recording(place: _Place, root: Path, how: str, passage: Passage | None) -> Recording:
    below = place.path.relative_to(root).with_suffix("").parts[1:]
    name = recording_id(place.label, *below)
    day = place.day or (passage.day if passage else f"unknown: {name}")
    return Recording(
        name, place.path, place.label, {"vessel": passage.vessel if passage else f"unknown: {name}", "day": day}
    )


def _join(places: list[_Place], passages: list[Passage]) -> dict[Path, tuple[str, Passage | None]]:
    """For every recording, how its vessel was found and the passage that names it.

    Ids and folder ids disagree (two numberings are concatenated for Tanker), so time comes first: day and time, day and
    id, the one vessel of that day, the letters of that day in order of time. A flat file has its id alone: the row that
    has this id and the file's duration, or the one row that has this id.
    """
    of_day = defaultdict(list)
    for passage in passages:
        of_day[passage.day].append(passage)
    siblings = defaultdict(list)
    for place in places:
        siblings[place.day].append(place)
    return {place.path: _passage(place, passages, of_day, siblings) for place in places}


def _passage(
    place: _Place, passages: list[Passage], of_day: dict[str, list[Passage]], siblings: dict[str | None, list[_Place]]
) -> tuple[str, Passage | None]:
    if place.day is None:
        rows = [p for p in passages if p.id == place.id]
        if len(rows) > 1:
            length = duration_s(place.path)
            rows = [p for p in rows if length is not None and abs(p.duration_s - length) < 1]
        return ("id", rows[0]) if len(rows) == 1 else ("nothing", None)
    today = sorted(of_day.get(place.day, []), key=lambda p: p.time)
    for how, rows in (
        ("day and time", [p for p in today if p.time == place.path.stem]),
        ("day and id", [p for p in today if p.id == place.id]),
    ):
        if len(rows) == 1:
            return how, rows[0]
    if len({p.vessel for p in today}) == 1:
        return "only vessel of the day", today[0]
    order = sorted(siblings[place.day], key=lambda p: p.letter)
    if len(order) == len(today) > 0:
        return "order in the day", today[order.index(place)]
    return "nothing", None


def _read_metafiles(folders: list[Path]) -> tuple[list[Passage], list[Problem]]:
    passages, problems = [], []
    for path in (p for folder in folders for p in sorted(folder.glob("[!.]*metafile*")) if not p.is_dir()):
        try:
            lines = read_lines(path)
        except BadText as error:
            problems.append(Problem(path, str(error)))
            continue
        separated_by = separator(next((line for line in lines if line.strip(SEPARATORS)), ""))
        for number, line in enumerate(lines, 1):
            row = [cell.strip() for cell in cells(line, separated_by)]
            if not any(row):
                continue
            if len(row) < 6 or not all(re.fullmatch(p, c) for p, c in zip(ROW, row, strict=False)):
                problems.append(
                    Problem(path, f"line {number} is not id,code,ship,YYYYMMDD,HHMMSS,duration,...: {line[:60]!r}")
                )
                continue
            passages.append(Passage(int(row[0]), _vessel(row[2]), row[3], row[4], int(row[5])))
    return list(dict.fromkeys(passages)), problems  # a copy of a metafile beside it must not make its rows ambiguous


def _vessel(name: str) -> str:
    """A ship's name in one spelling: upper case, single spaces, without the nine-digit MMSI that some rows append."""
    return " ".join(re.sub(r"\b\d{9}\b", "", name).upper().split())


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The authors' split, from their `split_indices.txt` or its csv (split, class, recording_dir, wav_stem, ...).

    Raises:
        CorpusError: if the file is missing or is neither, names no role for a recording of the corpus, or gives other
            counts than the paper's when the whole corpus is there.
    """
    rows = _published_rows(file)
    of_folder = {(row.label, row.folder): row for row in rows}
    of_flat = {(row.label, row.stem): row for row in rows if row.folder.endswith(f"-{row.stem}")}
    found = {}
    for recording in corpus.recordings:
        label, name, *rest = recording.id.split("/")
        found[recording.id] = (of_folder if rest else of_flat).get((label, name))
    if missing := [i for i, row in found.items() if row is None]:
        raise CorpusError(f"{file}: no role for {', '.join(missing[:20])}; it names {len(rows)} recordings")
    split = Split("published", {i: row.role for i, row in found.items() if row})
    absent = len(rows) - len({row for row in found.values() if row})
    differing = (
        [i for i, row in found.items() if row and row.num_clips != num_clips[i]] if clip_s == PUBLISHED_CLIP_S else []
    )
    if not absent and clip_s == PUBLISHED_CLIP_S and (counts := split.counts(num_clips)) != PUBLISHED_COUNTS:
        raise CorpusError(
            f"split=published: {counts} (recordings, clips); the paper has {PUBLISHED_COUNTS}; "
            f"other clips than the authors': {', '.join(differing[:20]) or 'none'}"
        )
    notes = [f"{absent} of the split's {len(rows)} recordings are not here"] if absent else []
    notes += [f"cut otherwise than the authors' copy: {', '.join(differing)}"] if differing else []
    return Split(split.name, split.roles, tuple(notes))


@dataclass(frozen=True)
class _PublishedRow:
    """One recording of the authors' split file."""

    role: str
    label: str
    folder: str
    stem: str
    num_clips: int


def _published_rows(file: Path | None) -> list[_PublishedRow]:
    if file is None:
        raise CorpusError("split=published: name the authors' file with --split-file split_indices.txt")
    try:
        lines = read_lines(file)
        is_table = cells(lines[0], separator(lines[0]))[: len(SPLIT_COLUMNS)] == SPLIT_COLUMNS
        segments = _split_table(lines) if is_table else _split_indices(lines)
    except BadText as error:
        raise CorpusError(f"--split-file {file}: {error}") from None
    if {key[0] for key in segments} != set(ROLES):
        raise CorpusError(f"--split-file {file}: neither the authors' split_indices.txt nor its csv")
    return [_PublishedRow(*key, count) for key, count in segments.items()]


def _split_table(lines: list[str]) -> Counter[tuple[str, str, str, str]]:
    """The clips of each (role, class, folder, stem) by the csv."""
    segments: Counter[tuple[str, str, str, str]] = Counter()
    separated_by = separator(lines[0])
    for number, line in enumerate(lines[1:], 2):
        row = cells(line, separated_by)
        if not any(row):
            continue
        if len(row) < 5 or row[0] not in ROLES or not re.fullmatch(NUMBER, row[4]):
            raise BadText(f"line {number} is not {','.join(SPLIT_COLUMNS)}: {line[:60]!r}")
        segments[row[0], row[1], row[2], row[3]] = int(row[4])
    return segments


def _split_indices(lines: list[str]) -> Counter[tuple[str, str, str, str]]:
    """The same by the authors' own file, which names every clip below a heading for each role."""
    segments: Counter[tuple[str, str, str, str]] = Counter()
    role = ""
    for line in (line.strip(' \t"').replace("\\", "/") for line in lines):
        if heading := re.fullmatch(r"(Train|Validation|Test) indices and paths:", line):
            role = heading[1].lower()
        elif entry := re.fullmatch(r"\d+: .*/([^/]+)/([^/]+)/([^/]+)_[^/_]+-Segment_\d+\.wav", line):
            segments[role, entry[1], entry[2], entry[3]] += 1
    return segments
