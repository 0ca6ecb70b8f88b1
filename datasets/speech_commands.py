"""Speech Commands (Warden 2018), version 1 or 2: single words by thousands of speakers, at most 1 s, at 16 kHz.

A folder for each word holds its files, `<word>/<speaker>_nohash_<n>.wav`. `testing_list.txt` and `validation_list.txt`
are the published split, which keeps each speaker in one role; a file in neither is for training. `_background_noise_`
holds no words and is left out. Many words are shorter than a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
from datasets.engine.files import BadText, read_lines
from datasets.engine.splits import Split

GROUPS, SAMPLED_BY = ("speaker",), "speaker"
NAME = re.compile(r"(?P<speaker>[0-9a-z]+)_nohash_(?P<number>\d+)", re.ASCII)
NOISE = "_background_noise_"
LISTS = {"test": "testing_list.txt", "validation": "validation_list.txt"}


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The words, labelled by their folders; the group is the speaker.

    Raises:
        CorpusError: if no file has a name of this corpus, or if a class in `classes` does not exist.
    """
    recordings, problems, num_noise = [], [], 0
    for path in audio_files(root):
        folder, name = path.relative_to(root).parts[:-1], NAME.fullmatch(path.stem)
        if NOISE in folder:
            num_noise += 1
        elif len(folder) != 1 or not name:
            problems.append(Problem(path, "is not WORD/SPEAKER_nohash_NUMBER.wav; move or rename it"))
        else:
            label = recording_id(folder[0])
            recordings.append(Recording(f"{label}/{path.stem}", path, label, {"speaker": name["speaker"]}))
    if not recordings:
        raise CorpusError(
            f"{root}: no file is named like those of Speech Commands, yes/0ab3b47d_nohash_0.wav; --data-root must hold "
            "a folder for each word"
        )
    labels = chosen({r.label for r in recordings}, classes)
    kept = tuple(sorted((r for r in recordings if r.label in labels), key=lambda r: r.id))
    notes = (f"{num_noise} files in {NOISE} are left out: they are no words",) if num_noise else ()
    return Corpus("speech_commands", root, labels, kept, notes, tuple(problems))


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The roles that the corpus's own two lists tell.

    Raises:
        CorpusError: if a list cannot be read, or the two name one file.
    """
    role_of: dict[str, str] = {}
    for role, name in LISTS.items():
        path = corpus.root / name
        try:
            lines = read_lines(path)
        except BadText as error:
            raise CorpusError(f"{path}: {error}; the published split needs {' and '.join(LISTS.values())}") from None
        names = {recording_id(line.strip().removesuffix(".wav")) for line in lines if line.strip()}
        if twice := sorted(names & role_of.keys()):
            raise CorpusError(f"{path}: {twice[0]} is in {LISTS['test']} too; get both lists from the corpus again")
        role_of |= dict.fromkeys(names, role)
    return Split("published", {r.id: role_of.get(r.id, "train") for r in corpus.recordings})
