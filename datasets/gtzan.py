"""GTZAN (Tzanetakis and Cook 2002): ten genres of music, 100 excerpts of 30 s each, `<genre>/<genre>.000NN.wav`.

The genre folders are in --data-root, or below it in `genres/` or `genres_original/`. Known faults (Sturm 2013): 14
pairs of files are copies, one of them under two genres, and share the group `song`; in many copies of the corpus
jazz.00054 cannot be read; an artist may be in several roles, as the layout names none. The published split is the
fault-filtered one of Kereliuk et al. 2015: --split-file names its train_filtered.txt, beside which valid_filtered.txt
and test_filtered.txt lie. It leaves out one of each pair.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, audio_files, chosen, recording_id
from datasets.engine.files import BadText, read_lines
from datasets.engine.splits import Split

CLASS_NAMES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
GROUPS, SAMPLED_BY, SPLIT_FILE = ("song",), "song", "train_filtered.txt"  # nothing tells the artist
NAME = re.compile(rf"(?P<genre>{'|'.join(CLASS_NAMES)})\.\d{{5}}", re.ASCII)
FOLDERS = ("genres", "genres_original")

COPIES = (  # found by the hashes of the files
    ("disco.00098", "disco.00099"), ("hiphop.00039", "hiphop.00045"), ("hiphop.00076", "hiphop.00078"),
    ("metal.00034", "metal.00094"), ("metal.00040", "metal.00061"), ("metal.00041", "metal.00062"),
    ("metal.00042", "metal.00063"), ("metal.00043", "metal.00064"), ("metal.00044", "metal.00065"),
    ("metal.00045", "metal.00066"), ("metal.00058", "rock.00016"), ("pop.00054", "pop.00060"),
    ("pop.00067", "pop.00071"), ("reggae.00081", "reggae.00082"),
)  # fmt: skip
SONG_OF = {name: pair[0] for pair in COPIES for name in pair}

# The published lists: role, file, number of names, and SHA-256 of the sorted names (blues.00000), joined by newlines.
LISTS = (
    ("train", "train_filtered.txt", 443, "82df3d4426e1dc8a15f1dece2ed0d89ce240ecbd9818b6f947488a9f5d581c85"),
    ("validation", "valid_filtered.txt", 197, "049e4ab67938aa22901cf0c611958fce0b9b9ff14362f658036bde470a37f71d"),
    ("test", "test_filtered.txt", 290, "54cd6cf4ad283da2fba4c6ab3f4733374983708eeef9ee209d7670a575d8d988"),
)


def find(root: Path, classes: Sequence[str] = ()) -> Corpus:
    """The excerpts, labelled by genre; their group is the song, which only copies share.

    Raises:
        CorpusError: if no file has a name of this corpus, or if a class in `classes` does not exist.
    """
    folder = next((root / name for name in FOLDERS if (root / name).is_dir()), root)
    recordings, problems = [], []
    for path in audio_files(folder):
        name = NAME.fullmatch(path.stem)
        if not name or path.parent != folder / name["genre"]:
            problems.append(Problem(path, "is not GENRE/GENRE.000NN.wav; move or rename it"))
            continue
        song = {"song": SONG_OF.get(path.stem, path.stem)}
        recordings.append(Recording(recording_id(name["genre"], path.stem), path, name["genre"], song))
    if not recordings:
        raise CorpusError(
            f"{folder}: no file is named like those of GTZAN, blues/blues.00000.wav; --data-root must hold a folder "
            "for each genre, with WAV files"
        )
    labels = chosen({r.label for r in recordings}, classes)
    kept = tuple(sorted((r for r in recordings if r.label in labels), key=lambda r: r.id))
    return Corpus("gtzan", root, labels, kept, _notes(kept), tuple(problems))


def _notes(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The copies that are there, which a report must name."""
    here = {r.path.stem for r in recordings}
    pairs = [" = ".join(pair) for pair in COPIES if here.issuperset(pair)]
    return (f"{len(pairs)} pairs of files are copies: {', '.join(pairs)}",) if pairs else ()


def published_split(corpus: Corpus, num_clips: Mapping[str, int], clip_s: float, file: Path | None) -> Split:
    """The fault-filtered split, from the user's copies of its three lists; a file in none of them has no role.

    Raises:
        CorpusError: if a list is missing or is not the published one, by its length and its hash.
    """
    if file is None:
        raise CorpusError(f"split=published: name the authors' file with --split-file {SPLIT_FILE}")
    role_of: dict[str, str] = {}
    for role, name, number, sha256 in LISTS:
        role_of |= dict.fromkeys(_names(file.with_name(name), number, sha256), role)
    roles = {r.id: role_of[r.path.stem] for r in corpus.recordings if r.path.stem in role_of}
    genres = {r.label for r in corpus.recordings}
    wanted = {name for name in role_of if name.partition(".")[0] in genres}
    missing = sorted(wanted - {r.path.stem for r in corpus.recordings})
    notes = [f"{len(corpus.recordings) - len(roles)} files are in no list of the fault-filtered split, and left out"]
    notes += [f"{len(missing)} files of the split are missing: {', '.join(missing[:20])}"] if missing else []
    return Split("published", roles, tuple(notes))


def _names(path: Path, number: int, sha256: str) -> set[str]:
    """The names in one list, such as `blues.00000`; a line may have the folder and the suffix too."""
    try:
        lines = read_lines(path)
    except BadText as error:
        lists = ", ".join(name for _, name, *_ in LISTS)
        raise CorpusError(f"--split-file {path}: {error}; the three lists must be in one folder: {lists}") from None
    names = {PurePosixPath(line.strip().replace("\\", "/")).name.removesuffix(".wav") for line in lines} - {""}
    if hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() != sha256:
        raise CorpusError(
            f"--split-file {path}: is not the published list ({len(names)} names, and that has {number}); "
            "get it from its authors again"
        )
    return names
