"""DeepShip (Irfan et al. 2021): four classes of ships, one WAV file per passage, and metafiles that name the vessel.

Two layouts exist, and both are read: `<Class>/<YYYYMMDD[letter]-id>/<file>.wav`, where the letter orders a day's
passages and the file is named after its time or its id, and the flat `<Class>/<id>.wav` of the public sample. The
metafile of a class has no header; its rows are `id,AIS code,ship,YYYYMMDD,HHMMSS,duration_s,start-end range_m,`.

A recording may have been cut beforehand: files whose names are those of a recording with a counter, such as
`093012_Tug-Segment_3.wav` or `12_3.wav`, or several in the folder of one passage, are its pieces, and share a role.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.engine.corpus import UNKNOWN, Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
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
CLASS_NAMES, GROUPS, SAMPLED_BY = tuple(sorted(set(CLASSES.values()))), ("day", "vessel"), "vessel"
SPLIT_FILE = "split_indices.txt"
ROW = (NUMBER, r"[0-9]*", r".+", r"[0-9]{8}", r"[0-9]{6}", NUMBER)
FOLDER = re.compile(r"(?P<day>\d{8})(?P<letter>[a-z]?)-(?P<id>\d+)")

PIECES = (  # the name of a recording, its id or time or any, and the counter of a piece
    re.compile(r"(\d{1,6})[-_ ][-_ a-z]*\d{1,5}", re.IGNORECASE),
    re.compile(r"(.+?)(?:_[a-z]+)?[-_ ](?:segment|seg|piece|part|chunk|clip|slice)[-_ ]?\d+", re.IGNORECASE),
)

SPLIT_COLUMNS = ["split", "class", "recording_dir", "wav_stem", "n_segments_5s"]

# The authors' split of the whole corpus (Mohammadi et al. 2024, section II.B): recordings and 5 s clips of each role.
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
    """A file as its path describes it; None where the path says nothing."""

    path: Path
    label: str
    day: str | None
    letter: str
    id: int | None
    stem: str  # of the whole recording
    name: str  # the recording id
    whole: str = ""  # of a piece, the id of its whole recording

    @property
    def unit(self) -> str:
        """The id of the whole recording."""
        return self.whole or self.name


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings of either layout, joined with their metafiles to give vessel and day.

    A recording whose vessel cannot be found counts as a vessel of its own; the notes say how many there are.

    Raises:
        CorpusError: if there is no class folder, or a class in `classes` does not exist.
    """
    folders = {p: CLASSES[p.name.lower()] for p in sorted(root.iterdir()) if p.is_dir() and p.name.lower() in CLASSES}
    if not folders:
        raise CorpusError(f"{root}: no class folder; DeepShip has {', '.join(CLASS_NAMES)}, one folder each")
    labels = chosen(CLASS_NAMES, classes)
    recordings, notes, problems = [], [], []
    for label in labels:
        label_folders = [folder for folder, folder_label in folders.items() if folder_label == label]
        places = [place for folder in label_folders for place in _places(folder, label)]
        passages, bad = _read_metafiles(label_folders)
        problems += bad
        if places and not passages:
            notes.append(f"{label}: no metafile, so no vessel, in {', '.join(map(str, label_folders))}")
        joined = _join(places, passages)
        joins = Counter(name for name, _ in joined.values())
        notes.append(
            f"{label}: {len(joined)} recordings; vessel by "
            + (", ".join(f"{n} {j}" for j, n in joins.items()) or "none")
        )
        if pieces := [place.unit for place in places if place.whole]:
            num = len(set(pieces))
            notes.append(f"{label}: {len(pieces)} files are pieces of {num} recordings, which share a role each")
        recordings += [_recording(p, joined[p.unit][1]) for p in places]
    ignored = sorted(p.name for p in root.iterdir() if p.is_dir() and p not in folders and not p.name.startswith("."))
    if ignored:
        notes.append(f"ignored folders that are not classes: {', '.join(ignored)}")
    return Corpus(
        "deepship", root, labels, tuple(sorted(recordings, key=lambda r: r.id)), tuple(notes), tuple(problems)
    )


def _places(folder: Path, label: str) -> list[_Place]:
    """The files of a class folder."""
    paths = audio_files(folder)
    num_beside = Counter(path.parent for path in paths)
    return [_place(path, folder, label, num_beside[path.parent]) for path in paths]


def _place(path: Path, folder: Path, label: str, num_beside: int) -> _Place:
    *above, stem = path.relative_to(folder).with_suffix("").parts
    name = recording_id(label, *above, stem)
    piece = next((match for pattern in PIECES if (match := pattern.fullmatch(stem))), None)
    stem = piece[1] if piece else stem
    if above and (passage := FOLDER.fullmatch(path.parent.name)):
        whole = recording_id(label, *above) if piece or num_beside > 1 else ""  # the folder is of one passage
        return _Place(path, label, passage["day"], passage["letter"], int(passage["id"]), stem, name, whole)
    number = int(stem) if not above and stem.isdecimal() else None
    return _Place(path, label, None, "", number, stem, name, recording_id(label, *above, stem) if piece else "")


def _recording(place: _Place, passage: Passage | None) -> Recording:
    unknown = UNKNOWN + place.unit
    vessel, day = (passage.vessel, passage.day) if passage else (unknown, unknown)
    groups = {"vessel": vessel, "day": place.day or day}
    return Recording(place.name, place.path, place.label, groups, place.whole)


def _join(places: list[_Place], passages: list[Passage]) -> dict[str, tuple[str, Passage | None]]:
    """For every whole recording, by id, the way its vessel was found and the passage that names it.

    The ids of metafiles and folders disagree (two numberings are concatenated for Tanker), so time comes first. The
    joins are tried in this order: day and time; day and id; the only vessel of that day; the letters of that day in
    order of time. A flat file has only its id: its passage is the only row with that id, or the one of those rows that
    also has the file's duration.
    """
    of_day = defaultdict(list)
    for passage in passages:
        of_day[passage.day].append(passage)
    siblings, wholes = defaultdict(list), {place.unit: place for place in places}
    for place in wholes.values():
        siblings[place.day].append(place)
    return {name: _passage(place, passages, of_day, siblings) for name, place in wholes.items()}


def _passage(
    place: _Place, passages: list[Passage], of_day: dict[str, list[Passage]], siblings: dict[str | None, list[_Place]]
) -> tuple[str, Passage | None]:
    if place.day is None:
        rows = [p for p in passages if p.id == place.id]
        if len(rows) > 1:
            length = None if place.whole else duration_s(place.path)
            rows = [p for p in rows if length is not None and abs(p.duration_s - length) < 1]
        return ("id", rows[0]) if len(rows) == 1 else ("nothing", None)
    today = sorted(of_day.get(place.day, []), key=lambda p: p.time)
    for join, rows in (
        ("day and time", [p for p in today if p.time == place.stem]),
        ("day and id", [p for p in today if p.id == place.id]),
    ):
        if len(rows) == 1:
            return join, rows[0]
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
    return list(dict.fromkeys(passages)), problems  # if a metafile lies beside its copy, its rows stay unambiguous


def _vessel(name: str) -> str:
    """A ship's name in one spelling: upper case, single spaces, without the nine-digit MMSI that some rows add."""
    return " ".join(re.sub(r"\b\d{9}\b", "", name).upper().split())


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The authors' split, from their `split_indices.txt` or its csv (split, class, recording_dir, wav_stem, ...).

    Raises:
        CorpusError: if the file is missing or is neither of the two, if it has no role for a recording of the corpus,
            or if the whole corpus is there and the counts differ from the paper's.
    """
    rows = _published_rows(file)
    of_folder = {(row.label, row.folder): row for row in rows}
    of_flat = {(row.label, row.stem): row for row in rows if row.folder.endswith(f"-{row.stem}")}
    row_of = {}
    for recording in corpus.recordings:
        (label, name, *_), (*_, stem) = recording.id.split("/"), recording.unit.split("/")
        in_folder = recording.id.count("/") > 1
        row_of[recording.id] = of_folder.get((label, name)) if in_folder else of_flat.get((label, stem))
    if missing := [i for i, row in row_of.items() if row is None]:
        raise CorpusError(f"{file}: no role for {', '.join(missing[:20])}; it names {len(rows)} recordings")
    split = Split("published", {i: row.role for i, row in row_of.items() if row})
    of_unit, own_clips = {r.unit: row for r in corpus.recordings if (row := row_of[r.id])}, Counter[str]()
    for recording in corpus.recordings:
        own_clips[recording.unit] += num_clips[recording.id]
    absent = len(rows) - len({row for row in row_of.values() if row})
    differing = (
        [unit for unit, row in of_unit.items() if row.num_clips != own_clips[unit]]
        if clip_s == PUBLISHED_CLIP_S
        else []
    )
    whole = Split("published", {unit: row.role for unit, row in of_unit.items()})
    if not absent and clip_s == PUBLISHED_CLIP_S and (counts := whole.counts(own_clips)) != PUBLISHED_COUNTS:
        raise CorpusError(
            f"split=published: {counts} (recordings, clips); the paper has {PUBLISHED_COUNTS}; "
            f"clips that differ from the authors': {', '.join(differing[:20]) or 'none'}"
        )
    notes = [f"{absent} of the split's {len(rows)} recordings are missing"] if absent else []
    notes += [f"cut differently from the authors' copy: {', '.join(differing)}"] if differing else []
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
        raise CorpusError(
            f"--split-file {file}: neither the authors' split_indices.txt nor its csv, nor recording,role"
        )
    return [_PublishedRow(*key, count) for key, count in segments.items()]


def _split_table(lines: list[str]) -> Counter[tuple[str, str, str, str]]:
    """The number of clips of each (role, class, folder, stem), from the csv."""
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
    """The number of clips of each (role, class, folder, stem), from the authors' own file.

    That file names every clip, below a heading for each role.
    """
    segments: Counter[tuple[str, str, str, str]] = Counter()
    role = ""
    for line in (line.strip(' \t"').replace("\\", "/") for line in lines):
        if heading := re.fullmatch(r"(Train|Validation|Test) indices and paths:", line):
            role = heading[1].lower()
        elif entry := re.fullmatch(r"\d+: .*/([^/]+)/([^/]+)/([^/]+)_[^/_]+-Segment_\d+\.wav", line):
            segments[role, entry[1], entry[2], entry[3]] += 1
    return segments
