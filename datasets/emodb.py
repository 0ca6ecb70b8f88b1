"""Berlin emotional speech (EmoDB, Burkhardt et al. 2005): ten speakers, ten sentences, seven emotions.

The files lie in `wav/` and are named by speaker (2 digits), sentence (3), emotion (1, its German name's letter) and
version: `03a01Wa.wav` is anger. Speakers and sentences are groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id

GROUPS = ("speaker", "sentence")
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
    """The recordings in `wav/`, in the emotions that are there; groups are speaker and sentence.

    Raises:
        CorpusError: if there is no such folder, or no file in it has a name of this corpus.
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
    wanted = chosen({r.label for r in recordings}, classes)
    found = tuple(sorted((r for r in recordings if r.label in wanted), key=lambda r: r.id))
    return Corpus("emodb", root, wanted, found, problems=tuple(problems))
