"""Free Spoken Digit Dataset (FSDD, Jackson et al.): ten digits, 50 times each by every speaker, at 8 kHz.

The files are `recordings/<digit>_<speaker>_<index>.wav`. The official split is by index: 0 to 4 are the test, 5 to 49
the training. Each speaker is in both, so that it measures known speakers; `--split speaker` measures unknown ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
from datasets.engine.splits import Split

CLASS_NAMES, GROUPS, SAMPLED_BY = tuple("0123456789"), ("speaker",), "speaker"
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d{1,9})", re.ASCII)
TEST_BELOW, VALIDATION_BELOW = 5, 10  # the index


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings in `recordings/`, labelled by digit; their group is the speaker.

    Raises:
        CorpusError: if there is no such folder, if no file in it has a name of this corpus, or if a class in `classes`
            does not exist.
    """
    folder = root / "recordings"
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder; --data-root must hold recordings/")
    recordings, problems = [], []
    for path in audio_files(folder):
        if not (name := NAME.fullmatch(path.stem)):
            problems.append(Problem(path, "its name is not of the form 7_jackson_32: digit, speaker, index"))
            continue
        groups = {"speaker": recording_id(name["speaker"])}
        recordings.append(Recording(recording_id(path.stem), path, name["digit"], groups))
    if not recordings:
        raise CorpusError(f"{folder}: no file is named like those of FSDD, 7_jackson_32.wav; is it this corpus?")
    labels = chosen({r.label for r in recordings}, classes)
    kept = tuple(sorted((r for r in recordings if r.label in labels), key=lambda r: r.id))
    return Corpus("fsdd", root, labels, kept, problems=tuple(problems))


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The official test, and a validation that is cut out of the official training in the same way."""
    roles = {}
    for recording in corpus.recordings:
        index = int(recording.id.rpartition("_")[2])
        roles[recording.id] = (
            "test" if index < TEST_BELOW else "validation" if index < VALIDATION_BELOW else "train"
        )  # fmt: skip
    note = f"validation is cut out of the official training: index {TEST_BELOW} to {VALIDATION_BELOW - 1}"
    return Split("published", roles, (note,))
