"""UrbanSound8K (Salamon et al. 2014): ten classes of city sounds, 8,732 excerpts of at most 4 s in ten folds.

`metadata/UrbanSound8K.csv` has the header `slice_file_name,fsID,start,end,salience,fold,classID,class`, for the files
in `audio/fold1` to `audio/fold10`. Excerpts of one source recording share `fsID`, and nearly always a fold: the notes
name the sources that do not, five in the whole corpus. Results on other folds than these cannot be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
from datasets.engine.files import BadText, read_lines, rows_of
from datasets.engine.splits import Split

CLASS_NAMES = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot",
    "jackhammer", "siren", "street_music",
)  # fmt: skip
GROUPS, SAMPLED_BY, FOLDS = ("fold", "source"), "source", 10
LAYOUT = "--data-root must hold metadata/UrbanSound8K.csv and audio/fold1 to audio/fold10"
COLUMNS = {"slice_file_name": ".+", "fsID": ".+", "fold": "[1-9]|10", "class": "|".join(CLASS_NAMES)}


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The excerpts that `metadata/UrbanSound8K.csv` names; their groups are source and fold.

    Raises:
        CorpusError: if the csv or the audio folder cannot be read, a row of the csv is incomplete or of an unknown
            fold or class, or a class in `classes` does not exist.
    """
    table, audio = root / "metadata" / "UrbanSound8K.csv", root / "audio"
    rows = _rows(table)
    paths = audio_files(audio)
    files = {recording_id(path.parent.name, path.name): path for path in paths}
    elsewhere = {recording_id(path.name): path.parent.name for path in paths}
    labels = chosen({row["class"] for row in rows}, classes)
    recordings, problems = [], []
    for row in (row for row in rows if row["class"] in labels):
        name, fold = recording_id(row["slice_file_name"]), row["fold"]
        if path := files.get(f"fold{fold}/{name}"):
            groups = {"source": row["fsID"], "fold": fold}
            recordings.append(Recording(recording_id(path.stem), path, row["class"], groups))
        else:
            place = elsewhere.get(name)
            reason = (
                f"is in {place}, and {table.name} says fold {fold}" if place else f"named by {table.name} but missing"
            )
            problems.append(Problem(audio / f"fold{fold}" / row["slice_file_name"], reason))
    named = {recording_id(row["slice_file_name"]) for row in rows}
    unnamed = sum(name not in named for name in elsewhere)
    notes = [f"{unnamed} audio files are left out, as {table.name} does not name them"] if unnamed else []
    kept = tuple(sorted(recordings, key=lambda r: r.id))
    return Corpus("urbansound8k", root, labels, kept, (*notes, *_straddling(kept)), tuple(problems))


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        lines = read_lines(table)
    except BadText as error:
        raise CorpusError(f"{table}: {error}; {LAYOUT}") from None
    try:
        needs = f"all of them, a fold of 1 to {FOLDS}, and one of the {len(CLASS_NAMES)} classes"
        return list(rows_of(lines, COLUMNS, needs).values())
    except BadText as error:
        raise CorpusError(f"{table}: {error}") from None


def _straddling(recordings: Sequence[Recording]) -> Iterator[str]:
    """A note on each source that is in several folds, so that these folds are not independent."""
    folds = defaultdict(list)
    for recording in recordings:
        folds[recording.groups["source"]].append(int(recording.groups["fold"]))
    for source, numbers in sorted(folds.items()):
        if len(there := sorted(set(numbers))) > 1:
            yield f"source {source} ({len(numbers)} excerpts) is in folds {' and '.join(map(str, there))}"


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """Folds 1 to 8 for training, 9 for validation, 10 for test: the last of the ten official turns."""
    role_of = {"9": "validation", "10": "test"}
    return Split("published", {r.id: role_of.get(r.groups["fold"], "train") for r in corpus.recordings})
