"""Reads every file of a corpus again and compares its SHA-256 with what was remembered when it was scanned.

    python -m datasets.engine.verify CORPUS --data-root DIR --cache-dir DIR [--classes A,B]

A sweep takes a file of the same size and modification time for the same file, because that costs no reading. Start this
when more than that must be known: after a disk was copied, moved or repaired, before numbers are published, when a
trial does not come out as it did. The clip cache holds no hashes: its entries are opened, which finds what is missing
or cut; one that is in doubt can be deleted, and is built again.
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


def verify(corpus: Corpus, cache_dir: Path) -> Iterator[Problem]:
    """Every file that is changed, missing or new since the corpus was scanned, by path.

    Raises:
        CorpusError: if nothing of the corpus was ever scanned into this cache folder.
    """
    known = {path: facts.sha256 for path, (_, facts) in memory(cache_dir).items() if path.is_relative_to(corpus.root)}
    if not known:
        raise CorpusError(f"{cache_dir / INDEX}: remembers no file of {corpus.root}; start a sweep on it first")
    paths = sorted({*known, *(r.path for r in corpus.recordings)})
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for path, sha256 in zip(paths, pool.map(_sha256, paths), strict=True):
            if isinstance(sha256, OSError):
                yield Problem(path, f"missing: cannot be read ({sha256.strerror})")
            elif path not in known:
                yield Problem(path, "new: was never scanned and found good")
            elif sha256 != known[path]:
                yield Problem(path, f"changed: its SHA-256 is {sha256}, and was {known[path]} when it was scanned")


def damaged_entries(cache_dir: Path) -> Iterator[Problem]:
    """The entries of the clip cache that are not whole."""
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
    """Prints what is not as it was.

    Returns:
        Exit code: 0 if every file is as it was scanned, 1 if not, 2 if there is nothing to compare.
    """
    parser = Flags("python -m datasets.engine.verify", __doc__)
    parser.add_argument("corpus", metavar="CORPUS", help="deepship, esc50, ...")
    parser.add_argument("--data-root", required=True, metavar="DIR", help="the folder of the corpus")
    parser.add_argument("--cache-dir", required=True, metavar="DIR", help="where sweeps keep their cache")
    parser.add_argument("--classes", default="", metavar="A,B", help="if only these classes are there")
    args = parser.parse_args(argv)
    try:
        corpus = find(args.corpus, args.data_root, [name for name in args.classes.split(",") if name])
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
