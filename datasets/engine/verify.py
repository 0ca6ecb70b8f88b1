"""Reads every file of a corpus again and compares its SHA-256 with the one from its scan.

    python -m datasets.engine.verify CORPUS --data-root DIR --cache-dir DIR [--classes A,B]

To save time, a sweep does not read a file again while its size and modification time stay the same. Run this command to
be sure: after a disk was copied, moved or repaired, before numbers are published, or when a trial cannot be reproduced.
The clip cache holds no hashes: its entries are opened, which reveals missing or truncated ones. A doubtful entry can be
deleted; it is built again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets.engine.clips import open_clips
from datasets.engine.corpus import Corpus, CorpusError, Problem, find, folder
from datasets.engine.files import opened
from datasets.engine.refusal import Refusal
from datasets.engine.scan import INDEX, NUM_THREADS, memory
from datasets.engine.words.flags import Flags
from datasets.engine.words.names import names_in


def verify(corpus: Corpus, cache_dir: Path) -> Iterator[Problem]:
    """Yields, sorted by path, every file that has changed, vanished or appeared since the corpus was scanned.

    Raises:
        CorpusError: if no file of the corpus was ever scanned with this cache folder.
    """
    scanned = {path: facts.sha256 for path, (_, facts) in memory(cache_dir).items() if path.is_relative_to(corpus.root)}
    if not scanned:
        raise CorpusError(f"{cache_dir / INDEX}: remembers no file of {corpus.root}; start a sweep on it first")
    paths = sorted({*scanned, *(r.path for r in corpus.recordings)})
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for path, sha256 in zip(paths, pool.map(_sha256, paths), strict=True):
            if isinstance(sha256, OSError):
                yield Problem(path, f"missing: cannot be read ({sha256.strerror})")
            elif path not in scanned:
                yield Problem(path, "new: was never scanned and found good")
            elif sha256 != scanned[path]:
                yield Problem(path, f"changed: its SHA-256 is {sha256}, and was {scanned[path]} when it was scanned")


def damaged_entries(cache_dir: Path) -> Iterator[Problem]:
    """Yields the entries of the clip cache that are incomplete."""
    for entry in sorted((cache_dir / "clips").glob("[!.]*")):
        try:
            open_clips(entry)
        except CorpusError as error:
            yield Problem(entry, str(error).removeprefix(f"{entry}: "))


def _sha256(path: Path) -> str | OSError:
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def main(argv: Sequence[str] | None = None) -> int:
    """Prints every file and cache entry that is not as it should be.

    Returns:
        The exit code: 0 if there are no problems, 1 if there are some, 2 if nothing can be compared.
    """
    parser = Flags("python -m datasets.engine.verify", __doc__)
    parser.add_argument("corpus", metavar="CORPUS", help="deepship, esc50, ...")
    parser.add_argument("--data-root", required=True, metavar="DIR", help="the folder of the corpus")
    parser.add_argument("--cache-dir", required=True, metavar="DIR", help="where sweeps keep their cache")
    parser.add_argument("--classes", default="", metavar="A,B", help="if only these classes are there")
    parser.add_argument("--groups", default="", metavar="REGEX", help="as the study has it")
    parser.add_argument("--target", default="", metavar="GROUP", help="as the study has it")
    args = parser.parse_args(argv)
    try:
        corpus = find(args.corpus, args.data_root, names_in(args.classes), args.groups, args.target)
        cache_dir = folder(args.cache_dir, "--cache-dir ")
        problems = [*verify(corpus, cache_dir), *damaged_entries(cache_dir)]
    except Refusal as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    print(f"{corpus.root}: {len(corpus.recordings)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
