"""ESC-50 (Piczak 2015), and any corpus of its layout: a table names the files, their classes, folds and sources.

`meta/esc50.csv` has the header `filename,fold,target,category,esc10,src_file,take`, for the files in `audio/`.
Fragments of one source recording share `src_file` and a fold; the five folds are the published split. `published:K`
scores fold K and chooses the epoch on the next. `published` is none of these: it scores fold 5 and chooses on fold 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, chosen, recording_id
from datasets.engine.files import BadText, read_lines, rows_of
from datasets.engine.splits import Split

GROUPS, SAMPLED_BY, FOLDS = ("fold", "source"), "source", 5
COLUMNS = {"filename": ".+", "fold": "[1-9][0-9]?", "category": ".+", "src_file": ".+"}
LAYOUT = "--data-root must hold meta/esc50.csv and audio/"
FOLD_ROLES = {"1": "train", "2": "train", "3": "train", "4": "validation", "5": "test"}


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings that `meta/esc50.csv` names; their groups are source and fold.

    Raises:
        CorpusError: if the csv or the audio folder cannot be read, a row of the csv is incomplete, or a class in
            `classes` does not exist.
    """
    table, audio = root / "meta" / "esc50.csv", root / "audio"
    rows = _rows(table)
    try:  # The keys are normalised names: a file system may return another Unicode form than the csv's.
        files = {recording_id(path.name): path for path in audio.iterdir()}
    except OSError as error:
        raise CorpusError(f"{audio}: cannot be read ({error.strerror}); {LAYOUT}") from None
    labels = chosen({row["category"] for row in rows}, classes)
    recordings, problems = [], []
    for row in (row for row in rows if row["category"] in labels):
        path = files.get(recording_id(row["filename"]))
        if path is None:
            problems.append(Problem(audio / row["filename"], f"named by {table.name} but missing"))
        else:
            groups = {"source": row["src_file"], "fold": row["fold"]}
            recordings.append(Recording(recording_id(path.stem), path, row["category"], groups))
    return Corpus("esc50", root, labels, tuple(sorted(recordings, key=lambda r: r.id)), problems=tuple(problems))


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        lines = read_lines(table)
    except BadText as error:
        raise CorpusError(f"{table}: {error}; {LAYOUT}") from None
    try:
        return list(rows_of(lines, COLUMNS, "all of them, and a fold of 1 to 99").values())
    except BadText as error:
        raise CorpusError(f"{table}: {error}") from None


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """Folds 1 to 3 for training, 4 for validation, 5 for test.

    Raises:
        CorpusError: if there are further folds, as other corpora of this layout have.
    """
    if more := sorted({r.groups["fold"] for r in corpus.recordings} - FOLD_ROLES.keys(), key=int):
        raise CorpusError(f"split=published: ESC-50 has five folds, and there is a fold {more[0]}; write split=fold")
    return Split("published", {r.id: FOLD_ROLES[r.groups["fold"]] for r in corpus.recordings})
