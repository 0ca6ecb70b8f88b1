"""ShipsEar (Santos-Dominguez et al. 2016): 90 recordings of ships and of the harbour itself, in five classes.

The classes are the paper's: A fishing boats, trawlers, mussel boats, tugs and dredgers; B motorboats, pilot boats and
sailing boats; C passenger ferries; D ocean liners and ro-ro vessels; E natural ambient noise. A name begins with the
number of the recording, as in `6__10_07_13_marDeCangas_Entra.wav`; everything else follows from the number, by the
tables below, so that the workbook shipsEar.xlsx is not read. They are from public transcripts of that workbook, not
compared with it: types from its column Type, ships from the number of the photograph. A recording without a
photograph counts as a ship of its own. There is no official split; by recordings, most ferries are in several roles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id

CLASS_NAMES, GROUPS, SAMPLED_BY = ("A", "B", "C", "D", "E"), ("ship", "type"), "ship"
NAME = re.compile(r"(?P<number>\d{1,3})__.+", re.ASCII)
TYPES = {  # the class and the numbers of each type
    "dredger": ("A", (80, 93, 94, 95, 96)),
    "fishing boat": ("A", (73, 74, 75, 76)),
    "mussel boat": ("A", (46, 47, 48, 49, 66)),
    "trawler": ("A", (28,)),
    "tug": ("A", (15, 31)),
    "motorboat": ("B", (21, 26, 27, 33, 39, 45, 50, 51, 52, 70, 72, 77, 79)),
    "pilot boat": ("B", (29, 30)),
    "sailing boat": ("B", (37, 56, 57, 68)),
    "ferry": ("C", (*range(6, 15), 17, 32, 34, 35, 36, 38, *range(40, 44), 53, 54, 55, *range(59, 66), 67)),
    "ocean liner": ("D", (16, 22, 23, 24, 25, 69, 71)),
    "ro-ro": ("D", (18, 19, 20, 58, 78)),
    "ambient noise": ("E", tuple(range(81, 93))),
}
ONE_SHIP = (  # recordings with one photograph
    (6, 7, 40, 60, 61, 62), (8, 9, 10, 34, 35, 63, 64), (11, 12, 36, 41, 65), (13, 14, 42, 43, 67), (17, 59),
    (18, 19, 20), (22, 23, 24, 25), (26, 27), (29, 30), (32, 38), (33, 39), (53, 54, 55), (80, 93, 94, 95, 96),
)  # fmt: skip
TYPE_OF = {number: name for name, (_, numbers) in TYPES.items() for number in numbers}
SHIP_OF = {number: numbers[0] for numbers in ONE_SHIP for number in numbers}


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The recordings, labelled by class; their groups are type and ship.

    Raises:
        CorpusError: if no file has a name of this corpus, or if a class in `classes` does not exist.
    """
    recordings, problems = [], []
    for path in audio_files(root):
        name = NAME.fullmatch(path.stem)
        number = int(name["number"]) if name else 0
        if number not in TYPE_OF:
            problems.append(Problem(path, "its name does not begin with the number of a recording, as in 6__10_07_13"))
            continue
        kind = TYPE_OF[number]
        groups = {"type": kind, "ship": f"of recording {SHIP_OF.get(number, number)}"}
        recordings.append(Recording(recording_id(path.stem), path, TYPES[kind][0], groups))
    if not recordings:
        raise CorpusError(
            f"{root}: no file is named like those of ShipsEar, 6__10_07_13_marDeCangas_Entra.wav; is it this corpus?"
        )
    labels = chosen({r.label for r in recordings}, classes)
    kept = tuple(sorted((r for r in recordings if r.label in labels), key=lambda r: r.id))
    return Corpus("shipsear", root, labels, kept, problems=tuple(problems))
