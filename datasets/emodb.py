"""Berlin emotional speech (EmoDB, Burkhardt et al. 2005): ten speakers, ten sentences, seven emotions.

The files are in `wav/`. A name consists of the speaker (2 digits), the sentence (3 characters), the emotion (the first
letter of its German name) and the version: `03a01Wa.wav` is anger. Speakers and sentences are groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id

GROUPS, SAMPLED_BY = ("speaker", "sentence"), "speaker"
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
NAME = re.compile(r"(?P<speaker>\d{2})(?P<sentence>[a-z]\d{2})(?P<emotion>[WLEAFNT])[a-z]?", re.ASCII)


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings in `wav/`, labelled by emotion; their groups are speaker and sentence.

    Raises:
        CorpusError: if there is no such folder, if no file in it has a name of this corpus, or if a class in `classes`
            does not exist.
    """
    folder = root / "wav"
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder; --data-root must hold wav/")
    recordings, problems = [], []
    for path in audio_files(folder):
        if not (name := NAME.fullmatch(path.stem)):
            problems.append(Problem(path, "its name is not of the form 03a01Wa: speaker, sentence, emotion, version"))
            continue
        groups = {group: name[group] for group in GROUPS}
        recordings.append(Recording(recording_id(path.stem), path, EMOTIONS[name["emotion"]], groups))
    if not recordings:
        raise CorpusError(f"{folder}: no file is named like those of EmoDB, 03a01Wa.wav; is it this corpus?")
    labels = chosen({r.label for r in recordings}, classes)
    kept_recordings = tuple(sorted((r for r in recordings if r.label in labels), key=lambda r: r.id))
    return Corpus("emodb", root, labels, kept_recordings, problems=tuple(problems))
