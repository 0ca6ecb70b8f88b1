"""ESC-50 (Piczak 2015), and what is laid out like it: a table names the files, their class, fold and source.

`meta/esc50.csv` has the header `filename,fold,target,category,esc10,src_file,take`, for the files in `audio/`.
Fragments of one source recording share `src_file` and a fold; the five folds are the published split.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.corpus import Corpus, CorpusError, Problem, Recording, chosen, recording_id
from datasets.splits import Split

COLUMNS = ("filename", "fold", "category", "src_file")
FOLD_ROLES = {"1": "train", "2": "train", "3": "train", "4": "validation", "5": "test"}


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings that `meta/esc50.csv` names; groups are source and fold.

    Raises:
        CorpusError: if the csv is missing, lacks a column, or names no file of a class.
    """
    table = root / "meta" / "esc50.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(
            f"{table}: cannot be read ({error}); --data-root must hold meta/esc50.csv and audio/"
        ) from None
    if not rows or (missing := [c for c in COLUMNS if not rows[0].get(c)]):
        what = f"has no column {', '.join(missing)}" if rows else "has no rows"
        raise CorpusError(f"{table}: {what}; it needs {', '.join(COLUMNS)}")
    if strange := sorted({row["fold"] for row in rows} - set(FOLD_ROLES)):
        raise CorpusError(f"{table}: fold {', '.join(strange)}; the folds are 1 to 5")
    wanted = chosen({row["category"] for row in rows}, classes)
    recordings = [
        Recording(
            id=recording_id(Path(row["filename"]).stem),
            path=root / "audio" / row["filename"],
            label=row["category"],
            groups={"source": row["src_file"], "fold": row["fold"]},
        )
        for row in rows
        if row["category"] in wanted
    ]
    problems = [Problem(r.path, f"named by {table.name}, and not there") for r in recordings if not r.path.exists()]
    there = [r for r in recordings if r.path.exists()]
    return Corpus("esc50", root, wanted, tuple(sorted(there, key=lambda r: r.id)), problems=tuple(problems))


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """Folds 1 to 3 for training, 4 for validation, 5 for test: one turn of the published five."""
    return Split("published", {r.id: FOLD_ROLES[r.groups["fold"]] for r in corpus.recordings})
